package shadow

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"
	"github.com/weft-mesh/weft/pkg/mesh"
	"github.com/weft-mesh/weft/pkg/reconcile"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"
)

// Config of a Reconciler. Client is required; every other zero value works.
type Config struct {
	Client kubernetes.Interface
	// Namespace is Weft's own, where everything is written (default "weft").
	Namespace string
	// Selector finds the node proxies' pods in it (default
	// app.kubernetes.io/name=weft-node).
	Selector map[string]string
	// WatchNamespaces, where there are any, are the only ones that are meshed;
	// IgnoreNamespaces never are.
	WatchNamespaces, IgnoreNamespaces []string
	// Ports is where mesh ports come from.
	Ports PortRange
	// Problems, where set, is called after each pass with all problems there
	// are, on the goroutine of Run.
	Problems func([]mesh.Problem)
	Log      zerolog.Logger
}

// Stats count what stands and what was done.
type Stats struct {
	Shadows               int    // shadow Services that should stand
	PortsUsed, PortsFree  int    // mesh ports
	Writes, WriteFailures uint64 // since New; a failure may be a read before a write
}

// Reconciler keeps Weft's namespace as package shadow says. Make it with New,
// run it with Run. All but Run may be called from any goroutine.
type Reconciler struct {
	config Config
	scope  scope
	form   form
	api    api
	writer *reconcile.Writer

	services, slices cache.SharedIndexInformer
	changed          chan struct{} // holds one: something changed since the last pass
	ports            allocation    // of the goroutine of Run
	stats            atomic.Pointer[Stats]
	written          atomic.Uint64
}

// How long a read that fails waits before it is tried again.
const (
	firstDelay   = 50 * time.Millisecond
	longestDelay = 10 * time.Second
)

// New returns a Reconciler that waits to be run.
func New(config Config) *Reconciler {
	if config.Namespace == "" {
		config.Namespace = "weft"
	}
	if config.Selector == nil {
		config.Selector = map[string]string{"app.kubernetes.io/name": "weft-node"}
	}
	config.Ports = config.Ports.orDefault()
	r := &Reconciler{
		config:  config,
		scope:   scope{own: config.Namespace, watch: config.WatchNamespaces, ignore: config.IgnoreNamespaces},
		form:    form{namespace: config.Namespace, selector: config.Selector},
		writer:  reconcile.NewWriter("shadow", config.Log),
		changed: make(chan struct{}, 1),
	}
	r.api = newAPI(config.Client, config.Namespace, &r.written)
	return r
}

// Synced tells whether a first pass is done: everything that could be written
// then stands.
func (r *Reconciler) Synced() bool { return r.stats.Load() != nil }

// Meshed tells whether the Services of a namespace are meshed.
func (r *Reconciler) Meshed(namespace string) bool { return r.scope.namespace(namespace) }

// Stats are those of the last pass.
func (r *Reconciler) Stats() Stats {
	s := Stats{PortsFree: r.config.Ports.size()}
	if last := r.stats.Load(); last != nil {
		s = *last
	}
	s.Writes, s.WriteFailures = r.written.Load(), r.writer.Failed()
	return s
}

// Run reconciles until the context ends, then returns nil. It waits for an API
// server that is not there.
func (r *Reconciler) Run(ctx context.Context) error {
	stop, err := r.watch(ctx)
	defer stop()
	if err != nil {
		return err
	}
	if !r.prepare(ctx) || !cache.WaitForCacheSync(ctx.Done(), r.services.HasSynced, r.slices.HasSynced) {
		return nil
	}
	retry := time.NewTimer(0)
	defer retry.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-r.changed:
			reconcile.Settle(ctx, r.changed)
		case <-retry.C:
		}
		retry.Stop()
		if again := r.pass(ctx); again > 0 {
			retry.Reset(again)
		}
	}
}

// watch starts the informers; stop ends them and waits.
func (r *Reconciler) watch(ctx context.Context) (stop func(), err error) {
	ctx, cancel := context.WithCancel(ctx)
	all := informers.NewSharedInformerFactory(r.config.Client, 0)
	own := informers.NewSharedInformerFactoryWithOptions(r.config.Client, 0, informers.WithNamespace(r.config.Namespace),
		informers.WithTweakListOptions(func(o *metav1.ListOptions) {
			o.LabelSelector = discoveryv1.LabelManagedBy + "=" + mesh.ManagedBy
		}))
	r.services = all.Core().V1().Services().Informer()
	r.slices = own.Discovery().V1().EndpointSlices().Informer()
	stop = func() { cancel(); all.Shutdown(); own.Shutdown() }
	poke := func() {
		select {
		case r.changed <- struct{}{}:
		default:
		}
	}
	for _, informer := range []cache.SharedIndexInformer{r.services, r.slices} {
		_, handlerErr := informer.AddEventHandler(cache.ResourceEventHandlerFuncs{
			AddFunc: func(any) { poke() }, UpdateFunc: func(any, any) { poke() }, DeleteFunc: func(any) { poke() },
		})
		err = errors.Join(err, handlerErr, informer.SetTransform(r.trim), informer.SetWatchErrorHandler(r.unwatched))
	}
	if err == nil {
		all.Start(ctx.Done())
		own.Start(ctx.Done())
	}
	return stop, err
}

// unwatched is told each time a watch fails; the informer tries again.
func (r *Reconciler) unwatched(_ *cache.Reflector, err error) {
	r.config.Log.Warn().Err(err).Msg("shadow: no watch; what was last read stays")
}

// trim drops what is never read, before the cache keeps it.
func (r *Reconciler) trim(object any) (any, error) {
	switch o := object.(type) {
	case *corev1.Service:
		o.ManagedFields = nil
		if o.Namespace != r.config.Namespace {
			o.Annotations, o.Status = nil, corev1.ServiceStatus{}
		}
	case *discoveryv1.EndpointSlice:
		o.ManagedFields = nil
	}
	return object, nil
}

// prepare learns what kind of server this is and reads the allocation back. It
// reads past all caches: an API server that lags behind must not make a new
// leader give away a port that the old one gave. False when the context ends.
func (r *Reconciler) prepare(ctx context.Context) bool {
	return r.insist(ctx, "the server's version", func() error {
		version, err := r.config.Client.Discovery().ServerVersion()
		if err == nil {
			r.form.distribution = distribution(version.Major, version.Minor)
		}
		return err
	}) && r.insist(ctx, "the shadow Services", func() error {
		list, err := r.config.Client.CoreV1().Services(r.config.Namespace).List(ctx, metav1.ListOptions{
			LabelSelector: mesh.LabelManagedBy + "=" + mesh.ManagedBy,
		})
		if err == nil {
			r.ports = recorded(list.Items)
		}
		return err
	})
}

// insist reads until it succeeds or the context ends.
func (r *Reconciler) insist(ctx context.Context, what string, read func() error) bool {
	for delay := firstDelay; ctx.Err() == nil; delay = min(2*delay, longestDelay) {
		err := read()
		if err == nil {
			return true
		}
		r.config.Log.Warn().Err(err).Dur("retry", delay).Msg("shadow: cannot read " + what)
		select {
		case <-ctx.Done():
		case <-time.After(delay):
		}
	}
	return false
}

// distribution is the nearest thing to "the proxy on the caller's node" that a
// server of a version has: PreferSameNode from 1.34 on, PreferClose from 1.31
// on, before that nothing (the server would drop the field, and we would write
// it for ever).
func distribution(major, minor string) *string {
	n, err := strconv.Atoi(strings.TrimRight(minor, "+"))
	switch {
	case major != "1" || err == nil && n >= 34:
		return new(corev1.ServiceTrafficDistributionPreferSameNode)
	case err == nil && n >= 31:
		return new(corev1.ServiceTrafficDistributionPreferClose)
	}
	return nil
}

// world reads the caches.
func (r *Reconciler) world() *world {
	w := &world{own: map[string]*corev1.Service{}}
	for _, o := range r.services.GetStore().List() {
		switch svc := o.(*corev1.Service); {
		case svc.Namespace == r.config.Namespace:
			w.own[svc.Name] = svc
		case r.scope.service(svc):
			w.sources = append(w.sources, svc)
		}
	}
	slices.SortFunc(w.sources, byAge)
	for _, o := range r.slices.GetStore().List() {
		w.slices = append(w.slices, o.(*discoveryv1.EndpointSlice))
	}
	return w
}

// byAge puts the oldest first, so that the youngest goes without when something
// runs out.
func byAge(x, y *corev1.Service) int {
	if c := x.CreationTimestamp.Compare(y.CreationTimestamp.Time); c != 0 {
		return c
	}
	return nameOf(x).Compare(nameOf(y))
}

// tell passes on the problems of a pass, sorted and each once.
func (r *Reconciler) tell(problems []mesh.Problem) {
	if r.config.Problems != nil {
		r.config.Problems(mesh.SortProblems(problems))
	}
}
