package kube

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"
	"github.com/weft-mesh/weft/pkg/mesh"
	"github.com/weft-mesh/weft/pkg/smi"
	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"
	"k8s.io/klog/v2"
)

// ClusterConfig is what a Cluster needs. Client and Dynamic are required; give
// Client the protobuf content type and neither of them a rate limit.
type ClusterConfig struct {
	Client  kubernetes.Interface
	Dynamic dynamic.Interface
	// Namespace is Weft's own (default "weft"), where the shadow Services are.
	Namespace string
	// Node is the name of the node that this process is on, so that its zone is
	// found; empty where it does not matter.
	Node string
	// LookAgain is how long the source waits before it looks again for a kind
	// that is not installed (default 5 s).
	LookAgain time.Duration
	// Failed, where set, is told each time that a kind cannot be listed or
	// watched, for whoever does not want to wait until it can. Secrets are not
	// told of: mostly they may not be read.
	Failed func(kind string, err error)
	Log    zerolog.Logger
}

// Cluster is a control.Source that watches an API server. Make it with
// NewCluster, run it once.
//
// It watches Services, EndpointSlices, Pods, Namespaces and the kinds of the
// Service Mesh Interface in all namespaces; Endpoints need no watch, for a
// cluster mirrors them into slices. Each kind of the Service Mesh Interface is
// watched in the newest version that is served; while its CRD is not installed
// there are none. A Secret is watched by its name while a Service or a Namespace
// names it as a CA, as far as Weft may. Services in Weft's own namespace that
// stand for others become frontends.
//
// It survives what an API server does: after a lost connection it goes on where
// it was, after 410 Gone it lists anew, and while there is no API server what
// was last read stays. It tries again after 0.2 s, then less often, up to every
// 5 s.
type Cluster struct {
	config  ClusterConfig
	feeds   []*feed
	secrets secrets
	waiting atomic.Int32 // feeds without their first list
	emit    func(mesh.Change)
}

// NewCluster returns a Cluster that waits to be run.
func NewCluster(config ClusterConfig) *Cluster {
	if config.Namespace == "" {
		config.Namespace = "weft"
	}
	if config.LookAgain == 0 {
		config.LookAgain = 5 * time.Second
	}
	c := &Cluster{config: config}
	core, discovery := config.Client.CoreV1(), config.Client.DiscoveryV1()
	services, slices, pods := core.Services(""), discovery.EndpointSlices(""), core.Pods("")
	namespaces := core.Namespaces()
	c.secrets = secrets{cluster: c, wanted: map[mesh.Name]*wantedSecret{}}
	c.add("", "Service", &corev1.Service{}, lister(services.List), services.Watch).store.heed = c.secrets.heed
	c.add(discoveryv1.GroupName, "EndpointSlice", &discoveryv1.EndpointSlice{}, lister(slices.List), slices.Watch)
	c.add("", "Pod", &corev1.Pod{}, lister(pods.List), pods.Watch)
	c.add("", "Namespace", &corev1.Namespace{}, lister(namespaces.List), namespaces.Watch).store.heed = c.secrets.heed
	for _, kind := range smi.Kinds() {
		c.addSMI(kind)
	}
	c.waiting.Store(int32(len(c.feeds)))
	return c
}

// Run watches until the context ends. It returns nil.
func (c *Cluster) Run(ctx context.Context, emit func(mesh.Change)) error {
	c.emit = emit
	// The reflectors' own log lines are left out: Status and Log tell it.
	ctx = klog.NewContext(ctx, klog.Logger{})
	var group errgroup.Group
	c.secrets.group, c.secrets.ctx = &group, ctx
	for _, f := range c.feeds {
		group.Go(func() error { f.run(ctx); return nil })
	}
	return group.Wait()
}

// Status is how it stands with each kind, always in the same order.
func (c *Cluster) Status() []WatchStatus {
	out := make([]WatchStatus, len(c.feeds))
	for i, f := range c.feeds {
		out[i] = f.status.get()
	}
	return out
}

// firstList is called by each feed when it has told its first list.
func (c *Cluster) firstList() {
	if c.waiting.Add(-1) == 0 {
		c.emit(mesh.Change{Synced: true})
	}
}

// newFeed adds a kind of a group.
func (c *Cluster) newFeed(group, kind string) *feed {
	f := &feed{status: newStatus(kind, c.config.Log), lookAgain: c.config.LookAgain}
	f.status.failed = c.config.Failed
	trimmer := newTrimmer(c.config.Namespace)
	trimmer.node = c.config.Node
	f.store = &store{
		group: group, kind: kind, trimmer: trimmer, ledger: newLedger(), status: f.status,
		emit: func(change mesh.Change) { c.emit(change) }, first: c.firstList,
	}
	c.feeds = append(c.feeds, f)
	return f
}

// add adds a built-in kind.
func (c *Cluster) add(group, kind string, example runtime.Object, list listFunc, watch watchFunc) *feed {
	f := c.newFeed(group, kind)
	reflector := f.reflector(c.config.Client, example, list, watch)
	f.open = func(context.Context) (*cache.Reflector, error) { return reflector, nil }
	return f
}

type (
	listFunc  = func(context.Context, metav1.ListOptions) (runtime.Object, error)
	watchFunc = func(context.Context, metav1.ListOptions) (watch.Interface, error)
)

// lister makes a typed client's List one of any kind.
func lister[L runtime.Object](list func(context.Context, metav1.ListOptions) (L, error)) listFunc {
	return func(ctx context.Context, options metav1.ListOptions) (runtime.Object, error) {
		return list(ctx, options)
	}
}
