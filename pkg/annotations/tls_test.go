package annotations_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/weft-mesh/weft/pkg/annotations"
	"github.com/weft-mesh/weft/pkg/mesh"
)

// spokenTo builds the port 443 of a Service and returns it with the problems.
func spokenTo(name, appProtocol string, cas map[mesh.Name]mesh.CAInput, pairs ...string) (*mesh.Port, []mesh.Problem) {
	all := map[string]string{}
	for i := 0; i < len(pairs); i += 2 {
		all["weft.mesh/"+pairs[i]] = pairs[i+1]
	}
	in, orders := mesh.NewInputs(), mesh.Name{Namespace: "shop", Name: "orders"}
	ref := mesh.Ref{Kind: "Service", Namespace: "shop", Name: "orders"}
	in.CAs = cas
	in.Services[orders] = mesh.ServiceInput{
		Ref: ref, Annotations: annotations.Own(all), Policies: annotations.Policies(ref, all),
		Ports: []mesh.ServicePort{{Name: name, Number: 443, AppProtocol: appProtocol}},
	}
	in.Frontends[orders] = mesh.Frontend{Ports: []mesh.FrontendPort{{Number: 443}}}
	m := mesh.Build(in)
	return m.Services[0].Ports[0], m.Problems
}

func TestHowEndpointsAreSpokenTo(t *testing.T) {
	secret := mesh.Name{Namespace: "shop", Name: "ca"}
	read := map[mesh.Name]mesh.CAInput{secret: {PEM: "pem"}}
	for _, test := range []struct {
		what, name, app string
		cas             map[mesh.Name]mesh.CAInput
		said            []string
		protocol        mesh.Protocol
		tls             *mesh.TLS
		problem         string
	}{
		{what: "nothing said", name: "https", protocol: mesh.Opaque},
		{what: "http", name: "https", said: []string{"scheme", "http"}, protocol: mesh.Opaque},
		{what: "the system's roots", name: "http", said: []string{"scheme", "https"}, protocol: mesh.HTTP, tls: &mesh.TLS{ServerName: "orders.shop.svc"}},
		{what: "a name that says TLS", name: "https-web", said: []string{"scheme", "https"}, protocol: mesh.Detect, tls: &mesh.TLS{ServerName: "orders.shop.svc"}},
		{what: "gRPC", app: "grpc", said: []string{"scheme.443", "https"}, protocol: mesh.HTTP2, tls: &mesh.TLS{ServerName: "orders.shop.svc"}},
		{what: "a CA and a name", cas: read, said: []string{"scheme", "https", "tls-ca-secret", "ca", "tls-server-name", "api"},
			tls: &mesh.TLS{ServerName: "api", CASecret: "ca", CA: "pem"}},
		{what: "a CA without TLS", said: []string{"tls-ca-secret", "ca"}},
		{what: "TCP", app: "tcp", said: []string{"scheme", "https"}, protocol: mesh.Opaque, problem: "SchemeNotApplied scheme is https, but port 443 is TCP"},
		{what: "no Secret", said: []string{"scheme", "https", "tls-ca-secret", "ca"}, tls: &mesh.TLS{ServerName: "orders.shop.svc", CASecret: "ca"},
			problem: "CAUnreadable tls-ca-secret is \"ca\", but the CA in Secret shop/ca cannot be read: there is no such Secret; calls are answered with 502 meanwhile"},
		{what: "one that may not be read any more", cas: map[mesh.Name]mesh.CAInput{secret: {PEM: "pem", Problem: "no"}},
			said: []string{"scheme", "https", "tls-ca-secret", "ca"}, tls: &mesh.TLS{ServerName: "orders.shop.svc", CASecret: "ca", CA: "pem"},
			problem: "CAUnreadable tls-ca-secret is \"ca\", but the CA in Secret shop/ca cannot be read: no; what was read of it before stays in effect"},
	} {
		port, problems := spokenTo(test.name, test.app, test.cas, test.said...)
		if diff := cmp.Diff(test.tls, port.TLS); diff != "" || port.Protocol != test.protocol {
			t.Errorf("%s: protocol %v; want %v; TLS: %s", test.what, port.Protocol, test.protocol, diff)
		}
		told := ""
		for _, p := range problems {
			told += p.Reason + " " + p.Message
		}
		if (told == "") != (test.problem == "") || !strings.HasPrefix(told, test.problem) {
			t.Errorf("%s: the problems are %q; want %q", test.what, told, test.problem)
		}
	}
}
