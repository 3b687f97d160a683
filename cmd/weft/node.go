package main

import (
	"cmp"
	"context"
	"crypto/x509"
	"io"
	"time"

	"github.com/weft-mesh/weft/pkg/kube"
	"github.com/weft-mesh/weft/pkg/mesh"
	"github.com/weft-mesh/weft/pkg/metricsapi"
	"github.com/weft-mesh/weft/pkg/node"
	"github.com/weft-mesh/weft/pkg/nodeproxy/limits"
	"github.com/weft-mesh/weft/pkg/telemetry"
)

// nodeCommand is the proxy of one node of a cluster.
type nodeCommand struct {
	Kubeconfig string `description:"The kubeconfig file; by default KUBECONFIG, ~/.kube/config or the pod's own service account."`
	Namespace  string `description:"Weft's own namespace."`
	Node       string `description:"The name of the node that the proxy is on; without it the endpoints of its zone are not preferred where hints say so."`
	Admin      adminConfig
	Metrics    struct {
		Address string `description:"Where /livez, /readyz and /metrics are served to the cluster."`
		Series  int    `description:"How many label sets of calls are told apart; what is over it is counted as other."`
	}
	Traffic struct {
		Address string `description:"Where the controller asks, with its certificate, who called whom; empty is nowhere. Nobody else is answered."`
	}
	Access accessConfig
	Drain  struct {
		Delay   time.Duration `description:"How long the proxy serves on as unready once it is told to stop, so that no new connection comes."`
		Timeout time.Duration `description:"How long what is in flight then may take."`
	}
	Limits    limits.Limits
	AccessLog accessLogConfig
	Tracing   tracingConfig
	Log       logConfig
}

func newNodeCommand() runner {
	c := &nodeCommand{Namespace: "weft", Limits: limits.Default(), Tracing: tracingConfig{Sample: 1}, AccessLog: defaultAccessLog("json"), Log: defaultLog("json")}
	c.Admin.Address = "127.0.0.1:15000"
	c.Access.Mode = mesh.AccessOff.String()
	c.Metrics.Address, c.Metrics.Series = ":15020", telemetry.DefaultSeries
	c.Traffic.Address = ":15021"
	c.Drain.Delay, c.Drain.Timeout = 5*time.Second, 30*time.Second
	return c
}

// Run serves until the context ends.
func (c *nodeCommand) Run(ctx context.Context, out io.Writer) error {
	if err := c.check(); err != nil {
		return err
	}
	access, err := c.Access.settings()
	if err != nil {
		return err
	}
	log, err := c.Log.logger()
	if err != nil {
		return err
	}
	api, err := connect(c.Kubeconfig)
	if err != nil {
		return err
	}
	cluster := kube.NewCluster(kube.ClusterConfig{Client: api.typed, Dynamic: api.dynamic, Namespace: c.Namespace, Node: c.Node, Log: log})
	n, err := node.New(node.Config{
		Source: cluster, Access: access, Stale: func() map[string]time.Duration { return staleness(cluster.Status()) },
		Own:     mesh.OwnSettings{Cluster: true, Namespace: c.Namespace},
		Version: version, AdminAddress: c.Admin.Address, MetricsAddress: c.Metrics.Address, Series: c.Metrics.Series,
		TrafficAddress: c.Traffic.Address, TrafficClients: func(ctx context.Context) (*x509.CertPool, error) {
			return metricsapi.Clients(ctx, api.typed, c.Namespace)
		},
		DrainDelay: c.Drain.Delay, DrainTimeout: c.Drain.Timeout, AccessLog: c.AccessLog.to(out), Tracing: c.Tracing.to(log), Limits: c.Limits, Log: log,
	})
	if err != nil {
		return err
	}
	return n.Run(ctx)
}

// check finds values that would fail later, where nobody sees it.
func (c *nodeCommand) check() error {
	return cmp.Or(
		checkNamespace(c.Namespace), checkAddress("admin.address", c.Admin.Address), checkAddress("metrics.address", c.Metrics.Address),
		checkPositive("metrics.series", c.Metrics.Series), checkOptional("traffic.address", c.Traffic.Address),
		checkDuration("drain.delay", c.Drain.Delay, 0), checkDuration("drain.timeout", c.Drain.Timeout, time.Millisecond),
		checkLimits(c.Limits), c.AccessLog.check(), c.Tracing.check(),
	)
}

// staleness is how long the API server has been silent about each kind whose
// watch is broken, and 0 for the others.
func staleness(watches []kube.WatchStatus) map[string]time.Duration {
	out := make(map[string]time.Duration, len(watches))
	for _, w := range watches {
		out[w.Kind] = 0
		if w.Err != "" && !w.LastSeen.IsZero() {
			out[w.Kind] = time.Since(w.LastSeen)
		}
	}
	return out
}
