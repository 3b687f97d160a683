package guard

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"
	"golang.org/x/sync/errgroup"
	networkingv1 "k8s.io/api/networking/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"

	"github.com/weft-mesh/weft/pkg/mesh"
	"github.com/weft-mesh/weft/pkg/reconcile"
)

// Config of a Reconciler. Client is required; every other zero value works.
type Config struct {
	Client kubernetes.Interface
	// Namespace is Weft's own (default "weft").
	Namespace string
	// Selector finds the node proxies' pods in it (default
	// app.kubernetes.io/name=weft-node).
	Selector map[string]string
	// Meshed tells whether the Services of a namespace are meshed (default all).
	Meshed func(namespace string) bool
	// Try is how often it is tried whether guards hold (default 30 s).
	Try time.Duration
	// Problems, where set, is called with all problems there are whenever they
	// may have changed, one call after the other.
	Problems func([]mesh.Problem)
	Log      zerolog.Logger
}

// Reconciler keeps the policies of all guarded namespaces. Make it with New, run
// it with Run. Put may be called from any goroutine.
type Reconciler struct {
	config   Config
	form     form
	writer   *reconcile.Writer
	policies cache.SharedIndexInformer
	changed  chan struct{} // holds one: something changed since the last pass
	mesh     atomic.Pointer[mesh.Mesh]

	mu      sync.Mutex // guards what is told, and telling it
	planned []mesh.Problem
	open    map[string]mesh.Problem // by namespace
}

// New returns a Reconciler that waits to be run.
func New(config Config) *Reconciler {
	if config.Namespace == "" {
		config.Namespace = "weft"
	}
	if config.Selector == nil {
		config.Selector = map[string]string{"app.kubernetes.io/name": "weft-node"}
	}
	if config.Meshed == nil {
		config.Meshed = func(string) bool { return true }
	}
	if config.Try == 0 {
		config.Try = 30 * time.Second
	}
	return &Reconciler{
		config:  config,
		form:    form{namespace: config.Namespace, selector: config.Selector, meshed: config.Meshed},
		writer:  reconcile.NewWriter("guard", config.Log),
		changed: make(chan struct{}, 1),
	}
}

// Put takes the Mesh that holds from now on.
func (r *Reconciler) Put(m *mesh.Mesh) {
	before := r.mesh.Swap(m)
	if before == nil || !slices.EqualFunc(before.Guards, m.Guards, func(a, b *mesh.Guard) bool {
		return a.Namespace == b.Namespace && slices.Equal(a.Allow, b.Allow)
	}) {
		r.poke()
	}
}

func (r *Reconciler) poke() {
	select {
	case r.changed <- struct{}{}:
	default:
	}
}

// Run reconciles until the context ends, then returns nil. Before the first Put
// it writes nothing. It waits for an API server that is not there.
func (r *Reconciler) Run(ctx context.Context) error {
	stop, err := r.watch(ctx)
	defer stop()
	if err != nil {
		return err
	}
	if !cache.WaitForCacheSync(ctx.Done(), r.policies.HasSynced) {
		return nil
	}
	var group errgroup.Group
	group.Go(func() error { r.passes(ctx); return nil })
	group.Go(func() error { r.tries(ctx); return nil })
	return group.Wait()
}

// watch starts the informer; stop ends it and waits.
func (r *Reconciler) watch(ctx context.Context) (stop func(), err error) {
	ctx, cancel := context.WithCancel(ctx)
	factory := informers.NewSharedInformerFactoryWithOptions(r.config.Client, 0, informers.WithTweakListOptions(func(o *metav1.ListOptions) {
		o.FieldSelector = "metadata.name=" + policyName
	}))
	stop = func() { cancel(); factory.Shutdown() }
	r.policies = factory.Networking().V1().NetworkPolicies().Informer()
	_, err = r.policies.AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc: func(any) { r.poke() }, UpdateFunc: func(any, any) { r.poke() }, DeleteFunc: func(any) { r.poke() },
	})
	err = errors.Join(err, r.policies.SetWatchErrorHandler(func(_ *cache.Reflector, err error) {
		r.config.Log.Warn().Err(err).Msg("guard: no watch; what was last read stays")
	}))
	if err == nil {
		factory.Start(ctx.Done())
	}
	return stop, err
}

func (r *Reconciler) passes(ctx context.Context) {
	retry := time.NewTimer(0)
	defer retry.Stop()
	for {
		select {
		case <-ctx.Done():
			return
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

// pass makes the policies as they should be and returns after what time it
// should be tried again without a change (0 for never).
func (r *Reconciler) pass(ctx context.Context) (again time.Duration) {
	m := r.mesh.Load()
	if m == nil {
		return 0
	}
	own := map[string]*networkingv1.NetworkPolicy{}
	for _, o := range r.policies.GetStore().List() {
		policy := o.(*networkingv1.NetworkPolicy)
		own[policy.Namespace] = policy
	}
	plan := r.form.plan(m.Guards, own)
	var jobs []reconcile.Job
	for _, c := range plan.changes {
		if c.have == nil || merge(c.have, c.want) != nil {
			jobs = append(jobs, reconcile.Job{ID: id(c.want), About: c.about, Do: func(ctx context.Context) error { return r.write(ctx, c.have, c.want) }})
		}
	}
	for _, policy := range plan.dead {
		jobs = append(jobs, reconcile.Job{ID: id(policy), Do: func(ctx context.Context) error {
			policies := r.config.Client.NetworkingV1().NetworkPolicies(policy.Namespace)
			return reconcile.IgnoreNotFound(policies.Delete(ctx, policy.Name, reconcile.Exactly(&policy.ObjectMeta)))
		}})
	}
	r.writer.Begin()
	r.writer.Run(ctx, jobs)
	failures, again := r.writer.End()
	r.tell(func() { r.planned = append(plan.problems, failures...) })
	return again
}

func id(p *networkingv1.NetworkPolicy) string { return "NetworkPolicy " + p.Namespace + "/" + p.Name }

// write makes a policy stand as wanted. Where the cache was old, it looks at
// what really stands and tries once more.
func (r *Reconciler) write(ctx context.Context, have, want *networkingv1.NetworkPolicy) error {
	policies := r.config.Client.NetworkingV1().NetworkPolicies(want.Namespace)
	write := func() (err error) {
		switch {
		case have == nil:
			_, err = policies.Create(ctx, want, metav1.CreateOptions{})
		case !managed(have):
			err = reconcile.ErrTaken
		default:
			if next := merge(have, want); next != nil {
				_, err = policies.Update(ctx, next, metav1.UpdateOptions{})
			}
		}
		return err
	}
	err := write()
	if !reconcile.Outdated(err) {
		return err
	}
	have, readErr := policies.Get(ctx, want.Name, metav1.GetOptions{})
	switch {
	case apierrors.IsNotFound(readErr):
		have = nil
	case readErr != nil:
		return errors.Join(err, readErr)
	}
	return write()
}

// tell edits what is told, and tells it.
func (r *Reconciler) tell(edit func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	edit()
	if r.config.Problems != nil {
		r.config.Problems(mesh.SortProblems(slices.AppendSeq(slices.Clone(r.planned), maps.Values(r.open))))
	}
}

// RemoveAll deletes the policies of all namespaces, for an uninstall. It deletes
// as many as it can and returns what failed. The controller must be gone before,
// or it writes them again.
func RemoveAll(ctx context.Context, client kubernetes.Interface) error {
	list, err := client.NetworkingV1().NetworkPolicies("").List(ctx, metav1.ListOptions{
		FieldSelector: "metadata.name=" + policyName, LabelSelector: mesh.LabelManagedBy + "=" + mesh.ManagedBy,
	})
	if err != nil {
		return fmt.Errorf("listing guards: %w", err)
	}
	var failed []error
	for i := range list.Items {
		p := &list.Items[i]
		failed = append(failed, reconcile.IgnoreNotFound(client.NetworkingV1().NetworkPolicies(p.Namespace).Delete(ctx, p.Name, metav1.DeleteOptions{})))
	}
	return errors.Join(failed...)
}
