package main

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/weft-mesh/weft/pkg/admin"
	"github.com/weft-mesh/weft/pkg/mesh"
	"github.com/weft-mesh/weft/pkg/nodeproxy"
	"github.com/weft-mesh/weft/pkg/route"
	"github.com/weft-mesh/weft/pkg/telemetry"
)

// engineKinds are the data plane without metrics, and as a node proxy has it:
// metrics on, access log and traces off.
var engineKinds = []string{"bare", "counting"}

// ports are where an engine listens.
type ports struct{ http, http2, metrics int }

func enginePorts(kind string) ports {
	if kind == "bare" {
		return ports{http: 19121, http2: 19122}
	}
	return ports{http: 19123, http2: 19124, metrics: 19125}
}

// engine serves both kinds of backends until the context ends.
func engine(ctx context.Context, kind string) error {
	at := enginePorts(kind)
	var config nodeproxy.Config
	if kind != "bare" {
		registry := prometheus.NewRegistry()
		config.Metrics, config.Events = telemetry.NewProxy(registry, telemetry.ProxyConfig{}), telemetry.NewEvents(new(telemetry.Tap))
		countBefore(config.Metrics)
		server, err := admin.Listen(net.JoinHostPort("127.0.0.1", strconv.Itoa(at.metrics)), admin.Handler(admin.Config{Metrics: registry}))
		if err != nil {
			return err
		}
		go func() { _ = server.Run(ctx) }() // it ends with this process
	}
	in := mesh.NewInputs()
	in.Pods[mesh.Name{Namespace: "bench", Name: "caller"}] = mesh.PodInput{IPs: []netip.Addr{netip.MustParseAddr("127.0.0.1")}, OwnerKind: "Deployment", OwnerName: "caller"}
	measured(in, "http", at.http, backendOne, backendTwo)
	measured(in, "http2", at.http2, nginxH2One, nginxH2Two)
	p := nodeproxy.New(config)
	p.Publish(route.Compile(mesh.Build(in)))
	if problems := p.Problems(); len(problems) > 0 {
		return fmt.Errorf("%v", problems)
	}
	<-ctx.Done()
	ended, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	return p.Drain(ended)
}

// measured adds a Service that listens at a port, with two endpoints.
func measured(in *mesh.Inputs, protocol string, listen, one, two int) {
	name := mesh.Name{Namespace: "bench", Name: protocol}
	local := netip.MustParseAddr("127.0.0.1")
	in.Services[name] = mesh.ServiceInput{Ref: mesh.Ref{APIVersion: "v1", Kind: "Service", Namespace: name.Namespace, Name: name.Name}, Ports: []mesh.ServicePort{{Name: protocol, Number: 80}}}
	in.Frontends[name] = mesh.Frontend{Ports: []mesh.FrontendPort{{Number: 80, Listen: netip.AddrPortFrom(local, uint16(listen))}}}
	for i, port := range []int{one, two} {
		in.Slices[mesh.Name{Namespace: name.Namespace, Name: fmt.Sprint(protocol, i)}] = mesh.SliceInput{
			Service: name, Ports: []mesh.SlicePort{{Name: protocol, Number: uint16(port)}},
			Endpoints: []mesh.SliceEndpoint{{Address: local, Ready: true, Serving: true}},
		}
	}
}

// countBefore has counted calls of so many workloads that a scrape has
// scrapeLines lines, of which each has 65.
func countBefore(p *telemetry.Proxy) {
	for i := range scrapeLines / 65 {
		p.Flow(telemetry.Call{
			Source:      telemetry.Workload{Namespace: "front", Kind: "Deployment", Name: fmt.Sprint("web-", i), Account: "web", Pod: fmt.Sprint("web-", i, "-7c2a-m4q9z"), Node: "a"},
			Destination: telemetry.Workload{Namespace: "shop", Kind: "Deployment", Name: "orders-v2", Account: "orders", Pod: "orders-v2-5d9f-x7k2p", Node: "b"},
			Service:     "orders", Namespace: "shop", Backend: "orders-v2", Protocol: "http",
		}).Count(0, &telemetry.Outcome{Code: 200, Took: 3 * time.Millisecond, First: 2 * time.Millisecond, Received: 100, Sent: 2000})
	}
}
