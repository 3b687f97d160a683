package kube

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"sync"

	"github.com/weft-mesh/weft/pkg/mesh"
	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"
)

// secrets watches those Secrets that policies name as a CA, each by its name and
// for as long as it is named: Weft has no right to read any other, and none to
// read these before somebody in their namespace grants it.
type secrets struct {
	cluster *Cluster
	group   *errgroup.Group // of the watches
	ctx     context.Context // of all watches; set before anything is wanted

	mu     sync.Mutex // guards wanted
	wanted map[mesh.Name]*wantedSecret
}

// wantedSecret is one Secret that was ever wanted.
type wantedSecret struct {
	by    int // how many objects want it now
	stop  context.CancelFunc
	ended chan struct{} // is closed when its last watch is over
}

// heed takes in what edits of Services and Namespaces say of Secrets. first tells
// that the first list is not told yet: then the source waits for the Secrets too.
func (s *secrets) heed(edits []edit, first bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, e := range edits {
		for _, name := range named(e.key, e.after.piece) {
			s.want(name, first)
		}
		for _, name := range named(e.key, e.before.piece) {
			s.unwant(name)
		}
	}
}

// named are the Secrets that an object wants.
func named(k key, p piece) (names []mesh.Name) {
	var policies mesh.Policies
	namespace := k.name.Namespace
	switch p := p.(type) {
	case servicePiece:
		policies = p.Policies
	case namespacePiece:
		policies, namespace = p.Policies, k.name.Name
	}
	for _, secret := range policies.CASecrets() {
		names = append(names, mesh.Name{Namespace: namespace, Name: secret})
	}
	return names
}

// want watches a Secret unless it is watched. The caller holds mu.
func (s *secrets) want(name mesh.Name, first bool) {
	w := s.wanted[name]
	if w == nil {
		w = &wantedSecret{ended: make(chan struct{})}
		close(w.ended)
		s.wanted[name] = w
	}
	if w.by++; w.by > 1 {
		return
	}
	told := func() {}
	if first {
		s.cluster.waiting.Add(1)
		told = sync.OnceFunc(s.cluster.firstList)
	}
	ctx, cancel := context.WithCancel(s.ctx)
	before, ended := w.ended, make(chan struct{})
	w.stop, w.ended = cancel, ended
	s.group.Go(func() error {
		defer close(ended)
		<-before // what it read is forgotten only then
		s.watch(ctx, name, told)
		return nil
	})
}

// unwant ends the watch of a Secret that nobody else wants. The caller holds mu.
func (s *secrets) unwant(name mesh.Name) {
	w := s.wanted[name]
	if w.by--; w.by == 0 {
		w.stop()
	}
}

// watch keeps one Secret up to date until the context ends, and forgets it then.
// told is called once it is known how it stands with the Secret.
func (s *secrets) watch(ctx context.Context, name mesh.Name, told func()) {
	defer told()
	config := &s.cluster.config
	log := config.Log.With().Str("secret", name.String()).Logger()
	f := &feed{status: newStatus("Secret", log), lookAgain: config.LookAgain}
	f.store = &store{kind: "Secret", trimmer: newTrimmer(config.Namespace), ledger: newLedger(), status: f.status, emit: s.cluster.emit, first: told}
	f.failed = func(err error) {
		if apierrors.IsForbidden(err) {
			f.store.forbidden(name)
		}
		told()
	}
	client, only := config.Client.CoreV1().Secrets(name.Namespace), fields.OneTermEqualSelector(metav1.ObjectNameField, name.Name).String()
	reflector := f.reflector(config.Client, &corev1.Secret{}, lister(func(ctx context.Context, o metav1.ListOptions) (*corev1.SecretList, error) {
		o.FieldSelector = only
		return client.List(ctx, o)
	}), func(ctx context.Context, o metav1.ListOptions) (watch.Interface, error) {
		o.FieldSelector = only
		return client.Watch(ctx, o)
	})
	f.open = func(context.Context) (*cache.Reflector, error) { return reflector, nil }
	f.run(ctx)
	f.store.tell(f.store.ledger.drop(keyOf(secretRef(name))))
}

func secretRef(name mesh.Name) mesh.Ref {
	return mesh.Ref{APIVersion: "v1", Kind: "Secret", Namespace: name.Namespace, Name: name.Name}
}

// forbidden records that a Secret may not be read, and how to change that. What
// was read of it before stays.
func (s *store) forbidden(name mesh.Name) {
	ref := secretRef(name)
	stays, _ := s.ledger.held[keyOf(ref)].piece.(caPiece)
	stays.Problem = fmt.Sprintf("Weft may not read it; to allow it: "+
		"kubectl -n %[1]s create role weft-%[2]s --verb=get,list,watch --resource=secrets --resource-name=%[2]s && "+
		"kubectl -n %[1]s create rolebinding weft-%[2]s --role=weft-%[2]s --group=system:serviceaccounts:%[3]s", name.Namespace, name.Name, s.trimmer.namespace)
	s.tell(s.ledger.put(reading{ref: ref, piece: stays}))
}

// ReadCA reads the CA of one Secret now, as a Cluster would, for whoever is no
// node proxy. An error is the API server's.
func ReadCA(ctx context.Context, client kubernetes.Interface, name mesh.Name) (mesh.CAInput, error) {
	secret, err := client.CoreV1().Secrets(name.Namespace).Get(ctx, name.Name, metav1.GetOptions{})
	if err != nil {
		return mesh.CAInput{}, err
	}
	return mesh.CAInput(ca(secret)), nil
}

// ca reads the CA of a Secret and nothing else of it.
func ca(s *corev1.Secret) caPiece {
	content, ok := s.Data[corev1.ServiceAccountRootCAKey]
	if text, written := s.StringData[corev1.ServiceAccountRootCAKey]; written {
		content, ok = []byte(text), true // of a file; the API server makes it data
	}
	if !ok {
		return caPiece{Problem: "it has no key " + corev1.ServiceAccountRootCAKey}
	}
	var kept []byte
	for rest := content; ; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		if block.Type != "CERTIFICATE" {
			continue
		}
		if _, err := x509.ParseCertificate(block.Bytes); err != nil {
			return caPiece{Problem: corev1.ServiceAccountRootCAKey + " holds a certificate that cannot be read: " + err.Error()}
		}
		kept = append(kept, pem.EncodeToMemory(&pem.Block{Type: block.Type, Bytes: block.Bytes})...)
	}
	if kept == nil {
		return caPiece{Problem: corev1.ServiceAccountRootCAKey + " holds no certificate in PEM"}
	}
	return caPiece{PEM: string(kept)}
}
