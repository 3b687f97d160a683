package main

import (
	"cmp"
	"context"
	"io"
	"net/netip"

	"github.com/weft-mesh/weft/pkg/local"
	"github.com/weft-mesh/weft/pkg/mesh"
	"github.com/weft-mesh/weft/pkg/nodeproxy/limits"
	"github.com/weft-mesh/weft/pkg/telemetry"
)

// localCommand is a mesh on one machine.
type localCommand struct {
	Manifests  []string `description:"YAML files and folders of Kubernetes objects, read again when they change; separated by commas, or given several times. Required."`
	Addresses  string   `description:"The range of the mesh addresses. A single address, such as 127.0.0.1/32, is shared: each port then gets a port of its own."`
	Domain     string   `description:"Where mesh names end: <service>.<namespace>.<domain>."`
	Aliases    []string `description:"Further domains for the same names, such as traefik.mesh."`
	PortOffset uint16   `description:"Added to every Service port, for those who may not listen below 1024: with 8000, port 80 is 8080."`
	DNS        struct {
		Address string `description:"Where the DNS server listens, UDP and TCP."`
	}
	Access    accessConfig
	Admin     adminConfig
	Metrics   metricsConfig
	Limits    limits.Limits
	AccessLog accessLogConfig
	Tracing   tracingConfig
	Log       logConfig
}

// adminConfig is the part of a configuration that says where the admin API is.
type adminConfig struct {
	Address string `description:"Where the admin API listens: /livez, /readyz, /metrics, /api/table, /api/problems."`
}

// metricsConfig is the part of a configuration that bounds the metrics.
type metricsConfig struct {
	Series int `description:"How many label sets of calls are told apart; what is over it is counted as other."`
}

func newLocalCommand() runner {
	c := &localCommand{Addresses: "127.77.0.0/16", Domain: "mesh", Limits: limits.Default(), Tracing: tracingConfig{Sample: 1}, AccessLog: defaultAccessLog("text"), Log: defaultLog("text")}
	c.DNS.Address = "127.0.0.1:1053"
	c.Admin.Address = "127.0.0.1:15000"
	c.Access.Mode = mesh.AccessOff.String()
	c.Metrics.Series = telemetry.DefaultSeries
	return c
}

// Run runs the mesh until the context ends.
func (c *localCommand) Run(ctx context.Context, out io.Writer) error {
	log, err := c.Log.logger()
	if err != nil {
		return err
	}
	if len(c.Manifests) == 0 {
		return usageError("--manifests is missing; it takes YAML files and folders of Kubernetes objects, such as --manifests=shop.yaml")
	}
	addresses, err := netip.ParsePrefix(c.Addresses)
	if err != nil {
		return usageError("--addresses=%s: takes a range of addresses of this machine, such as 127.77.0.0/16", c.Addresses)
	}
	if err := cmp.Or(
		checkPaths("manifests", c.Manifests...), checkDomains("domain", c.Domain), checkDomains("aliases", c.Aliases...), checkAddress("dns.address", c.DNS.Address), checkAddress("admin.address", c.Admin.Address), checkPositive("metrics.series", c.Metrics.Series), checkLimits(c.Limits), c.AccessLog.check(), c.Tracing.check(),
	); err != nil {
		return err
	}
	access, err := c.Access.settings()
	if err != nil {
		return err
	}
	m, err := local.New(local.Config{
		Access: access, Manifests: c.Manifests, Addresses: addresses, Domain: c.Domain, Aliases: c.Aliases, PortOffset: c.PortOffset,
		DNSAddress: c.DNS.Address, Version: version, AdminAddress: c.Admin.Address, Series: c.Metrics.Series, Limits: c.Limits, AccessLog: c.AccessLog.to(out), Tracing: c.Tracing.to(log), Out: out, Log: log,
	})
	if err != nil {
		return err
	}
	return m.Run(ctx)
}
