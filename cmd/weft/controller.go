package main

import (
	"cmp"
	"context"
	"errors"
	"io"
	"os"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"
	"golang.org/x/sync/errgroup"
	"k8s.io/apimachinery/pkg/util/uuid"
	"k8s.io/client-go/tools/leaderelection"
	"k8s.io/klog/v2"

	"github.com/weft-mesh/weft/pkg/admin"
	"github.com/weft-mesh/weft/pkg/control"
	"github.com/weft-mesh/weft/pkg/dnspatch"
	"github.com/weft-mesh/weft/pkg/dnspatch/cluster"
	"github.com/weft-mesh/weft/pkg/guard"
	"github.com/weft-mesh/weft/pkg/kube"
	"github.com/weft-mesh/weft/pkg/mesh"
	"github.com/weft-mesh/weft/pkg/shadow"
)

// controllerCommand is `weft controller`: shadow Services, names, the DNS patch
// and Events. Several may run; the one that holds the Lease works. The nodes
// need none of them to go on.
//
// Its rights are those of pkg/shadow, pkg/guard and pkg/dnspatch/cluster (see
// there), what kube.Cluster reads (list and watch Services, EndpointSlices, Pods,
// Namespaces and the kinds of SMI everywhere), what kube.Events writes (get,
// create and update Events everywhere), and in its own namespace:
//
//	rules:
//	- apiGroups: [coordination.k8s.io]
//	  resources: [leases]
//	  verbs: [create]
//	- apiGroups: [coordination.k8s.io]
//	  resources: [leases]
//	  resourceNames: [weft-controller]
//	  verbs: [get, update]
type controllerCommand struct {
	Kubeconfig       string   `description:"The kubeconfig file; by default KUBECONFIG, ~/.kube/config or the pod's own service account."`
	Namespace        string   `description:"Weft's own namespace, where it writes."`
	Domain           string   `description:"The domain of the mesh names."`
	Aliases          []string `description:"Further domains for the same names, such as traefik.mesh."`
	ClusterDomain    string   `description:"The domain of the cluster's Services; by default what the Corefile says."`
	WatchNamespaces  []string `description:"The only namespaces whose Services are meshed; by default all but kube-system."`
	IgnoreNamespaces []string `description:"Namespaces whose Services are not meshed."`
	Metrics          struct {
		Address string `description:"Where /livez, /readyz, /metrics and /api/problems are served to the cluster."`
	}
	Access struct {
		Mode string `description:"The --access.mode of the node proxies: what holds in namespaces that do not say theirs, which decides whether they can be guarded."`
	}
	MetricsAPI struct {
		Address string `description:"Where metrics.smi-spec.io is served to the API server; empty is nowhere."`
		Port    uint16 `description:"The port of --traffic.address on which the node proxies are asked."`
	}
	Log logConfig
}

func newControllerCommand() *controllerCommand {
	c := &controllerCommand{Namespace: "weft", Domain: "mesh", Log: defaultLog("json")}
	c.Metrics.Address = ":15020"
	c.Access.Mode = mesh.AccessOff.String()
	c.MetricsAPI.Address, c.MetricsAPI.Port = ":15443", 15021
	return c
}

// Run runs the controller until the context ends. To lose the Lease is an
// error: the process ends and a new one begins from what stands.
func (c *controllerCommand) Run(ctx context.Context, _ io.Writer) error {
	if err := c.check(); err != nil {
		return err
	}
	log, err := c.Log.logger()
	if err != nil {
		return err
	}
	clients, err := connect(c.Kubeconfig)
	if err != nil {
		return err
	}
	k, err := newController(c, clients, log)
	if err != nil {
		return err
	}
	server, err := admin.Listen(c.Metrics.Address, admin.Handler(admin.Config{Metrics: k.metrics(), Problems: k.board.all, Parts: []admin.Part{
		{Name: "leader", Ready: k.leaderKnown}, {Name: "shadow Services", Ready: k.written},
	}}))
	if err != nil {
		return err
	}
	log.Info().Stringer("address", server.Addr()).Msg("controller: probes and metrics")
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return server.Run(ctx) })
	group.Go(func() error { return k.run(ctx) })
	group.Go(func() error { return c.serveMetricsAPI(ctx, clients, log) })
	return group.Wait()
}

// check finds values that would fail later, where nobody sees it.
func (c *controllerCommand) check() error {
	_, err := c.access()
	return cmp.Or(
		err,
		checkNamespace(c.Namespace), checkDomains("domain", c.Domain), checkDomains("aliases", c.Aliases...),
		checkNamespaces("watchNamespaces", c.WatchNamespaces...), checkNamespaces("ignoreNamespaces", c.IgnoreNamespaces...),
		checkClusterDomain(c.ClusterDomain), checkAddress("metrics.address", c.Metrics.Address),
		checkOptional("metricsAPI.address", c.MetricsAPI.Address),
	)
}

// access is what holds in namespaces that do not say theirs.
func (c *controllerCommand) access() (mesh.AccessSettings, error) {
	said := accessConfig{Mode: c.Access.Mode}
	return said.settings()
}

// The Lease: how long others wait for a leader that is silent, how long the
// leader tries to renew before it stops, and how often.
const (
	leaseName     = "weft-controller"
	leaseDuration = 15 * time.Second
	renewDeadline = 10 * time.Second
	retryPeriod   = 2 * time.Second
)

var errLeaseLost = errors.New("the Lease was lost")

// controller is one replica.
type controller struct {
	log     zerolog.Logger
	elector *leaderelection.LeaderElector
	elected chan context.Context // the context ends when the Lease is lost

	shadows *shadow.Reconciler
	guards  *guard.Reconciler
	dns     *cluster.Patcher
	cluster *kube.Cluster
	loop    *control.Loop
	events  *kube.Events
	board   *board

	leading, leaderSeen, dnsPatched atomic.Bool
}

func newController(c *controllerCommand, clients *clients, log zerolog.Logger) (k *controller, err error) {
	access, err := c.access()
	if err != nil {
		return nil, err
	}
	k = &controller{log: log, elected: make(chan context.Context, 1), board: newBoard()}
	k.shadows = shadow.New(shadow.Config{
		Client: clients.typed, Namespace: c.Namespace, Log: log,
		WatchNamespaces: c.WatchNamespaces, IgnoreNamespaces: c.IgnoreNamespaces,
		Problems: func(p []mesh.Problem) { k.board.put("shadow", p) },
	})
	k.guards = guard.New(guard.Config{
		Client: clients.typed, Namespace: c.Namespace, Meshed: k.shadows.Meshed, Log: log,
		Problems: func(p []mesh.Problem) { k.board.put("guard", p) },
	})
	k.dns = cluster.New(cluster.Config{Client: clients.typed, Report: k.dnsReport(c.Namespace), Names: dnspatch.Config{
		Domains: append([]string{c.Domain}, c.Aliases...), Namespace: c.Namespace, ClusterDomain: c.ClusterDomain,
	}})
	k.cluster = kube.NewCluster(kube.ClusterConfig{Client: clients.typed, Dynamic: clients.dynamic, Namespace: c.Namespace, Log: log})
	k.loop = control.New(control.Config{
		Sources: []control.Source{k.cluster}, Access: access,
		Own: mesh.OwnSettings{Cluster: true, Namespace: c.Namespace},
		Publish: func(s *control.Snapshot) {
			k.board.put("mesh", s.Mesh.Problems)
			k.guards.Put(s.Mesh)
		},
	})
	k.events = kube.NewEvents(clients.typed, log)
	k.elector, err = leaderelection.NewLeaderElector(leaderelection.LeaderElectionConfig{
		Lock:          newLock(clients.typed.CoordinationV1(), c.Namespace, log),
		LeaseDuration: leaseDuration, RenewDeadline: renewDeadline, RetryPeriod: retryPeriod,
		ReleaseOnCancel: true, Name: leaseName,
		Callbacks: leaderelection.LeaderCallbacks{
			OnStartedLeading: func(held context.Context) { k.elected <- held },
			OnStoppedLeading: func() {},
			OnNewLeader: func(who string) {
				k.leaderSeen.Store(true)
				log.Info().Str("leader", who).Msg("controller: the leader")
			},
		},
	})
	return k, err
}

// identity is the pod's name and what tells it from one of the same name.
func identity() string {
	host, err := os.Hostname()
	if err != nil {
		host = "controller"
	}
	return host + "_" + string(uuid.NewUUID())
}

// run waits for the Lease and works while it holds it. The Lease is given back
// when the work has ended, so that no two replicas write at once.
func (k *controller) run(ctx context.Context) error {
	// The elector's own log lines are left out: the callbacks tell who leads,
	// the lock what fails.
	electing, resign := context.WithCancel(klog.NewContext(context.WithoutCancel(ctx), klog.Logger{}))
	ended := make(chan struct{})
	go func() { defer close(ended); k.elector.Run(electing) }()
	defer func() { resign(); <-ended }()
	var held context.Context
	select {
	case <-ctx.Done():
		return nil
	case held = <-k.elected:
	}
	working, stop := context.WithCancel(ctx)
	defer stop()
	defer context.AfterFunc(held, stop)()
	k.leading.Store(true)
	err := k.work(working)
	k.leading.Store(false)
	switch {
	case ctx.Err() != nil:
		return nil // it was told to stop
	case held.Err() != nil:
		return errors.Join(errLeaseLost, err)
	}
	return err
}

// work is what the leader does. It ends with the context or when a part fails.
func (k *controller) work(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return k.shadows.Run(ctx) })
	group.Go(func() error { return k.guards.Run(ctx) })
	group.Go(func() error { return k.dns.Run(ctx) })
	group.Go(func() error { return k.loop.Run(ctx) })
	group.Go(func() error { k.board.tell(ctx, k.events.Tell); return nil })
	return group.Wait()
}

// reasonDNS is the reason of the problem that mesh names do not resolve.
const reasonDNS = "DNSNotPatched"

// dnsReport takes what the DNS patch says. It concerns nobody's object, so the
// controller's own Deployment bears the problem.
func (k *controller) dnsReport(namespace string) func(error) {
	return func(err error) {
		k.dnsPatched.Store(err == nil)
		if err == nil {
			k.log.Info().Msg("dns: patched")
			k.board.put("dns", nil)
			return
		}
		k.log.Warn().Err(err).Msg("dns: not patched")
		k.board.put("dns", []mesh.Problem{{
			Object:  mesh.Ref{APIVersion: "apps/v1", Kind: "Deployment", Namespace: namespace, Name: "weft-controller"},
			Reason:  reasonDNS,
			Message: "mesh names may not resolve: " + err.Error(),
		}})
	}
}

// leaderKnown tells whether the API server has answered once: it says who leads.
func (k *controller) leaderKnown() error {
	if !k.leaderSeen.Load() {
		return errors.New("the Lease was not read yet")
	}
	return nil
}

// written is about the leader: its first pass must be done.
func (k *controller) written() error {
	if k.leading.Load() && !k.shadows.Synced() {
		return errors.New("the first pass is not done")
	}
	return nil
}
