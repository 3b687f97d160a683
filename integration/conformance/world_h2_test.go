package conformance

import (
	"context"
	"net/netip"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/weft-mesh/weft/internal/freeport"
	"github.com/weft-mesh/weft/pkg/mesh"
	"github.com/weft-mesh/weft/pkg/nodeproxy"
	"github.com/weft-mesh/weft/pkg/route"
	"github.com/weft-mesh/weft/pkg/telemetry"
)

// proxyTo starts a node proxy with one Service, which an endpoint serves that
// speaks HTTP/2, and returns where it listens.
func proxyTo(t *testing.T, endpoint string) string {
	t.Helper()
	at, err := freeport.Address()
	if err != nil {
		t.Fatal(err)
	}
	in, name, serving := mesh.NewInputs(), mesh.Name{Namespace: "shop", Name: "orders"}, netip.MustParseAddrPort(endpoint)
	ref := mesh.Ref{APIVersion: "v1", Kind: "Service", Namespace: "shop", Name: "orders"}
	in.Services[name] = mesh.ServiceInput{Ref: ref, Ports: []mesh.ServicePort{{Number: 80, AppProtocol: "kubernetes.io/h2c"}}}
	in.Frontends[name] = mesh.Frontend{Ports: []mesh.FrontendPort{{Number: 80, Listen: at}}}
	in.Slices[name] = mesh.SliceInput{
		Service: name, Ports: []mesh.SlicePort{{Number: serving.Port()}},
		Endpoints: []mesh.SliceEndpoint{{Address: serving.Addr(), Ready: true, Serving: true}},
	}
	proxy := nodeproxy.New(nodeproxy.Config{Metrics: telemetry.NewProxy(prometheus.NewRegistry(), telemetry.ProxyConfig{})})
	proxy.Publish(route.Compile(mesh.Build(in)))
	if problems := proxy.Problems(); len(problems) > 0 {
		t.Fatal(problems)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		_ = proxy.Drain(ctx)
	})
	return at.String()
}
