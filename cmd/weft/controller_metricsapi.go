package main

import (
	"context"
	"time"

	"github.com/rs/zerolog"
	"golang.org/x/sync/errgroup"

	"github.com/weft-mesh/weft/internal/pki"
	"github.com/weft-mesh/weft/pkg/admin"
	"github.com/weft-mesh/weft/pkg/metricsapi"
)

// authorityRetry is how long a replica waits to ask for the authority again.
const authorityRetry = 5 * time.Second

// serveMetricsAPI serves metrics.smi-spec.io until the context ends; every
// replica does. What the controller does otherwise does not depend on it.
func (c *controllerCommand) serveMetricsAPI(ctx context.Context, k *clients, log zerolog.Logger) error {
	if c.MetricsAPI.Address == "" {
		return nil
	}
	authority := c.authority(ctx, k, log)
	if authority == nil {
		return nil // the context has ended
	}
	serving, err := authority.Issue("weft-controller", "weft-controller."+c.Namespace+".svc")
	if err != nil {
		return err
	}
	asking, err := authority.Issue("weft-controller")
	if err != nil {
		return err
	}
	proxies := metricsapi.NewProxies(k.typed, c.Namespace, c.MetricsAPI.Port, asking)
	defer proxies.Close()
	api := metricsapi.New(metricsapi.Config{Typed: k.typed, Dynamic: k.dynamic, Traffic: proxies.Traffic, Log: log})
	server, err := admin.ListenTLS(c.MetricsAPI.Address, api, api.TLS(serving))
	if err != nil {
		return err
	}
	log.Info().Stringer("address", server.Addr()).Msg("controller: " + metricsapi.Group)
	publisher := metricsapi.Publisher{Typed: k.typed, Dynamic: k.dynamic, Namespace: c.Namespace, Certificate: authority.Certificate, Log: log}
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return server.Run(ctx) })
	group.Go(func() error { return publisher.Run(ctx) })
	return group.Wait()
}

// authority asks until the API server answers; nil where the context ends first.
func (c *controllerCommand) authority(ctx context.Context, k *clients, log zerolog.Logger) *pki.Authority {
	for {
		authority, err := metricsapi.Authority(ctx, k.typed, c.Namespace)
		if err == nil {
			return authority
		}
		if ctx.Err() == nil {
			log.Warn().Err(err).Msg("metrics API: not served yet; trying again")
		}
		wait := time.NewTimer(authorityRetry)
		select {
		case <-ctx.Done():
			wait.Stop()
			return nil
		case <-wait.C:
		}
	}
}
