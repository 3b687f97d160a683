package metricsapi

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/rs/zerolog"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"

	"github.com/weft-mesh/weft/internal/pki"
)

// Name is that of the Secret that holds the authority which the replicas share,
// of the ConfigMap in which its certificate is published for the node proxies,
// both in Weft's namespace; and of the key of that certificate in either.
const (
	Name           = "weft-metrics-api"
	CertificateKey = "ca.crt"
	privateKey     = "ca.key"
)

// publishEvery is how often what is published is looked at.
const publishEvery = 30 * time.Second

// Authority reads the authority of the metrics API, and makes it where there is
// none. All replicas get the same one.
func Authority(ctx context.Context, client kubernetes.Interface, namespace string) (*pki.Authority, error) {
	secrets := client.CoreV1().Secrets(namespace)
	found, err := secrets.Get(ctx, Name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		made, failed := pki.New(Name)
		if failed != nil {
			return nil, failed
		}
		fresh := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: Name, Labels: labels()}}
		fresh.Data = map[string][]byte{CertificateKey: made.Certificate, privateKey: made.Key}
		if found, err = secrets.Create(ctx, fresh, metav1.CreateOptions{}); apierrors.IsAlreadyExists(err) {
			found, err = secrets.Get(ctx, Name, metav1.GetOptions{}) // another replica was first
		}
	}
	if err != nil {
		return nil, fmt.Errorf("the authority of the metrics API: %w", err)
	}
	authority, err := pki.Parse(found.Data[CertificateKey], found.Data[privateKey])
	if err != nil {
		return nil, fmt.Errorf("the authority in Secret %s/%s: %w; without it a new one is made at the next start", namespace, Name, err)
	}
	return authority, nil
}

// Clients reads, as a node proxy, which authority's certificates may ask it.
func Clients(ctx context.Context, client kubernetes.Interface, namespace string) (*x509.CertPool, error) {
	found, err := client.CoreV1().ConfigMaps(namespace).Get(ctx, Name, metav1.GetOptions{})
	if err != nil {
		return nil, fmt.Errorf("whom to answer: %w", err)
	}
	return pki.ReadPool([]byte(found.Data[CertificateKey]))
}

func labels() map[string]string {
	return map[string]string{"app.kubernetes.io/name": "weft-controller", "app.kubernetes.io/part-of": "weft"}
}

// Publisher tells the API server and the node proxies by which authority the
// replicas are known. Each replica runs it: they all say the same.
type Publisher struct {
	Typed       kubernetes.Interface
	Dynamic     dynamic.Interface
	Namespace   string
	Certificate []byte // the authority's, as PEM
	Log         zerolog.Logger
}

// Run publishes, and publishes again what was changed, until the context ends.
func (p *Publisher) Run(ctx context.Context) error {
	ticker := time.NewTicker(publishEvery)
	defer ticker.Stop()
	for {
		if err := p.publish(ctx); err != nil && ctx.Err() == nil {
			p.Log.Warn().Err(err).Msg("metrics API: its certificate is not published; trying again")
		}
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
	}
}

func (p *Publisher) publish(ctx context.Context) error {
	failed := p.configMap(ctx)
	for _, version := range Versions() {
		failed = errors.Join(failed, p.apiService(ctx, version+"."+Group))
	}
	return failed
}

func (p *Publisher) configMap(ctx context.Context) error {
	maps := p.Typed.CoreV1().ConfigMaps(p.Namespace)
	want := map[string]string{CertificateKey: string(p.Certificate)}
	found, err := maps.Get(ctx, Name, metav1.GetOptions{})
	switch {
	case apierrors.IsNotFound(err):
		_, err = maps.Create(ctx, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: Name, Labels: labels()}, Data: want}, metav1.CreateOptions{})
	case err == nil && found.Data[CertificateKey] != want[CertificateKey]:
		found.Data = want
		_, err = maps.Update(ctx, found, metav1.UpdateOptions{})
	}
	return err
}

// apiService puts the certificate into an APIService. One that is not there was
// not installed, or is removed just now: it is not made here, for an APIService
// that nobody serves keeps namespaces from being deleted.
func (p *Publisher) apiService(ctx context.Context, name string) error {
	services := p.Dynamic.Resource(schema.GroupVersionResource{Group: "apiregistration.k8s.io", Version: "v1", Resource: "apiservices"})
	found, err := services.Get(ctx, name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil
	}
	if err != nil {
		return err
	}
	patch, err := json.Marshal(map[string]any{"spec": map[string]any{"caBundle": p.Certificate}})
	if err != nil {
		return err
	}
	if bundle, _, _ := unstructured.NestedString(found.Object, "spec", "caBundle"); bytes.Contains(patch, []byte(`"`+bundle+`"`)) {
		return nil
	}
	_, err = services.Patch(ctx, name, types.MergePatchType, patch, metav1.PatchOptions{})
	return err
}
