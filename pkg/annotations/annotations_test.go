package annotations_test

import (
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/weft-mesh/weft/pkg/annotations"
	"github.com/weft-mesh/weft/pkg/mesh"
)

func built(t *testing.T, namespace, service map[string]string) map[uint16]*mesh.Policy {
	t.Helper()
	in, name := mesh.NewInputs(), mesh.Name{Namespace: "shop", Name: "orders"}
	ref := mesh.Ref{Kind: "Service", Namespace: "shop", Name: "orders"}
	in.Services[name] = mesh.ServiceInput{Ref: ref, Policies: annotations.Policies(ref, service), Ports: []mesh.ServicePort{{Name: "web", Number: 80}, {Number: 81}}}
	in.Frontends[name] = mesh.Frontend{Ports: []mesh.FrontendPort{{Number: 80}, {Number: 81}}}
	in.Namespaces["shop"] = mesh.NamespaceInput{Policies: annotations.Policies(mesh.Ref{Kind: "Namespace", Name: "shop"}, namespace)}
	out := map[uint16]*mesh.Policy{}
	for _, p := range mesh.Build(in).Services[0].Ports {
		out[p.Number] = p.Policy
	}
	return out
}

func TestLayers(t *testing.T) {
	policies := built(t,
		map[string]string{"weft.mesh/timeout": "10s", "weft.mesh/retry-attempts": "2"},
		map[string]string{"weft.mesh/timeout": "0", "weft.mesh/timeout.web": "5s", "weft.mesh/timeout.81": "3s", "weft.mesh/retry-on": "5xx, 429"})
	want := mesh.DefaultPolicy()
	want.RetryAttempts, want.RetryOn, want.Timeout = 2, []string{"5xx", "429"}, 5*time.Second
	if diff := cmp.Diff(&want, policies[80]); diff != "" {
		t.Error(diff)
	}
	if policies[81].Timeout != 3*time.Second {
		t.Errorf("port 81 has the timeout %v", policies[81].Timeout)
	}
}

func TestNothingSaidIsNoPolicy(t *testing.T) {
	for _, said := range []map[string]string{nil, {"weft.mesh/protocol": "http", "other/timeout": "1s"}, {"weft.mesh/timeout": "0"}} {
		if p := built(t, nil, said)[80]; p != nil {
			t.Errorf("%v makes the policy %+v", said, p)
		}
	}
}

// Each bad value is a problem, and costs nothing but itself.
func TestBadValues(t *testing.T) {
	ref := mesh.Ref{Kind: "Service", Namespace: "shop", Name: "orders"}
	for annotation, value := range map[string]string{
		"timeout": "5", "per-try-timeout": "-1s", "connect-timeout": "soon", "retry-attempts": "many", "retry-attempts.80": "-1",
		"retry-on": "5xx,sometimes", "retry-budget": "101", "circuit-breaker-expression": "NetworkErrorRatio() >",
		"ratelimit-average": "1e3", "ratelimit-period": "0", "ratelimit-by": "mood", "outlier-success-rate": "perhaps", "fault-abort": "99",
		"load-balancer": "best", "load-balancer-by": "header:", "sticky-cookie": "a=b", "sticky-header": "x y", "slow-start": "1us",
		"request-headers-set": "host: x", "response-headers-remove": "x y", "max-body": "-1", "proxy-protocol": "v2", "mirror-percent": "101",
		"scheme": "h2c", "tls-ca-secret": "shop/ca", "tls-server-name": "https://orders",
		"retry-atempts": "3", "timeout.nowhere.else": "x",
	} {
		got := annotations.Policies(ref, map[string]string{"weft.mesh/" + annotation: value, "weft.mesh/max-requests": "7"})
		if len(got.Problems) != 1 || !strings.Contains(got.Problems[0].Message, annotation) || got.Problems[0].Object != ref {
			t.Errorf("%s: %s gives the problems %v; want one that names it", annotation, value, got.Problems)
		}
		if got.All.Policy.MaxRequests != 7 || len(got.All.Set) != 1 || len(got.Ports) != 0 {
			t.Errorf("%s: %s leaves %+v; want the other annotation alone", annotation, value, got.All)
		}
	}
}

// An annotation that stands where nobody reads it is told: whoever wrote it
// relies on it.
func TestTheWrongPlace(t *testing.T) {
	for _, test := range []struct{ kind, annotation, want string }{
		{"Service", "access", "weft.mesh/access takes effect on a Namespace only, not on a Service"},
		{"Service", "guard", "weft.mesh/guard takes effect on a Namespace only, not on a Service"},
		{"Service", "guard-allow", "weft.mesh/guard-allow takes effect on a Namespace only, not on a Service"},
		{"Namespace", "protocol", "weft.mesh/protocol takes effect on a Service only, not on a Namespace"},
		{"Service", "protocol.80", "weft.mesh/protocol.80 takes no effect: weft.mesh/protocol is for all ports"},
		{"Service", "protocol", ""},
		{"Namespace", "access", ""},
		{"Namespace", "guard", ""},
	} {
		var got string
		for _, p := range annotations.Policies(mesh.Ref{Kind: test.kind, Name: "shop"}, map[string]string{"weft.mesh/" + test.annotation: "enforce"}).Problems {
			got += p.Message
		}
		if got != test.want {
			t.Errorf("%s on a %s is told %q; want %q", test.annotation, test.kind, got, test.want)
		}
	}
}

func TestAPortThatIsNotThere(t *testing.T) {
	in, name := mesh.NewInputs(), mesh.Name{Namespace: "shop", Name: "orders"}
	ref := mesh.Ref{Kind: "Service", Namespace: "shop", Name: "orders"}
	in.Services[name] = mesh.ServiceInput{Ref: ref, Policies: annotations.Policies(ref, map[string]string{"weft.mesh/timeout.admin": "1s"}), Ports: []mesh.ServicePort{{Name: "web", Number: 80}}}
	if problems := mesh.Build(in).Problems; len(problems) != 1 || !strings.Contains(problems[0].Message, "weft.mesh/timeout.admin") {
		t.Errorf("problems: %v", problems)
	}
}

func TestTraefikMesh(t *testing.T) {
	said := map[string]string{
		"maesh.containo.us/retry-attempts": "9", "mesh.traefik.io/retry-attempts": "3", "mesh.traefik.io/scheme": "h2c",
		"mesh.traefik.io/circuit-breaker-expression": "NetworkErrorRatio() > 0.5",
		"maesh.containo.us/ratelimit-average":        "10", "mesh.traefik.io/ratelimit-burst": "20",
		"weft.mesh/ratelimit-burst": "30",
	}
	want := mesh.DefaultPolicy()
	want.RetryAttempts, want.CircuitBreakerExpression = 3, "NetworkErrorRatio() > 0.5"
	want.RetryOn = []string{"connect-failure", "refused-stream", "reset-before-response"}
	want.RatelimitAverage, want.RatelimitBurst, want.RatelimitBy = 10, 30, "address"
	if diff := cmp.Diff(&want, built(t, nil, said)[80]); diff != "" {
		t.Error(diff)
	}
	for _, test := range []struct{ traffic, scheme, want string }{
		{"http", "", "http"}, {"tcp", "", "tcp"}, {"udp", "", ""}, {"http", "h2c", "h2c"}, {"", "h2c", "h2c"}, {"tcp", "http", "tcp"}, {"", "", ""}, {"", "https", "http"}, {"tcp", "https", "tcp"},
	} {
		all := map[string]string{}
		if test.traffic != "" {
			all["mesh.traefik.io/traffic-type"] = test.traffic
		}
		if test.scheme != "" {
			all["mesh.traefik.io/scheme"] = test.scheme
		}
		if got := annotations.Own(all)["weft.mesh/protocol"]; got != test.want {
			t.Errorf("%v is the protocol %q; want %q", all, got, test.want)
		}
	}
	ref := mesh.Ref{Kind: "Service"}
	for annotation, value := range map[string]string{
		"mesh.traefik.io/scheme": "ftp", "mesh.traefik.io/traffic-type": "sctp", "mesh.traefik.io/ratelimit-average": "1",
		"mesh.traefik.io/ratelimit-burst": "1", "maesh.containo.us/retry-attempts": "x", "mesh.traefik.io/retry-atempts": "3",
		"maesh.containo.us/timeout": "1s", "mesh.traefik.io/circuit-breaker-expression": "Ratio() >",
	} {
		p := annotations.Policies(ref, map[string]string{annotation: value}).Problems
		if len(p) != 1 || !strings.HasPrefix(p[0].Message, annotation+" ") {
			t.Errorf("%s: %s has the problems %v; want one that begins with its name", annotation, value, p)
		}
	}
	// Of two spellings the newer counts; Weft's own goes before both.
	all := map[string]string{"maesh.containo.us/retry-attempts": "x", "mesh.traefik.io/retry-attempts": "y"}
	if p := annotations.Policies(ref, all).Problems; len(p) != 1 || !strings.HasPrefix(p[0].Message, "mesh.traefik.io/retry-attempts ") {
		t.Errorf("problems: %v", p)
	}
	all["weft.mesh/retry-attempts"] = "z"
	if p := annotations.Policies(ref, all).Problems; len(p) != 1 || !strings.HasPrefix(p[0].Message, "weft.mesh/retry-attempts ") {
		t.Errorf("problems: %v", p)
	}
	p := annotations.Policies(mesh.Ref{Kind: "Namespace"}, map[string]string{"mesh.traefik.io/traffic-type": "tcp"}).Problems
	if len(p) != 1 || !strings.HasPrefix(p[0].Message, "mesh.traefik.io/traffic-type ") {
		t.Errorf("problems: %v", p)
	}
}

// The names of the annotations, the defaults and the checks stand for each field.
func TestNames(t *testing.T) {
	for field, want := range map[string]string{
		"Timeout": "timeout", "TLSCaSecret": "tls-ca-secret", "TLSServerName": "tls-server-name", "RetryAttempts": "retry-attempts", "OutlierConsecutive5xx": "outlier-consecutive-5xx",
	} {
		if got := annotations.Name(field); got != want {
			t.Errorf("the annotation of %s is %s; want %s", field, got, want)
		}
	}
	fields := reflect.TypeFor[mesh.Policy]()
	for i := range fields.NumField() {
		if fields.Field(i).Tag.Get("description") == "" {
			t.Errorf("%s has no description", fields.Field(i).Name)
		}
	}
}
