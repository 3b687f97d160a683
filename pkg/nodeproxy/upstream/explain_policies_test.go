package upstream

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/weft-mesh/weft/pkg/annotations"
	"github.com/weft-mesh/weft/pkg/mesh"
	"github.com/weft-mesh/weft/pkg/policy"
	"github.com/weft-mesh/weft/pkg/route"
)

// annotated is a mesh of a Service orders with these annotations and two
// endpoints, and a Service spare with one.
func annotated(t *testing.T, said map[string]string) *Snapshot {
	t.Helper()
	in := mesh.NewInputs()
	for at, name := range []string{"orders", "spare"} {
		service := mesh.ServiceInput{Ref: ref("Service", name), Ports: []mesh.ServicePort{{Name: "http", Number: 80}}}
		if name == "orders" {
			all := map[string]string{}
			for key, value := range said {
				all[annotations.Prefix+key] = value
			}
			if service.Policies = annotations.Policies(service.Ref, all); len(service.Policies.Problems) > 0 {
				t.Fatal(service.Policies.Problems)
			}
		}
		in.Services[inShop(name)] = service
		in.Frontends[inShop(name)] = mesh.Frontend{Ports: []mesh.FrontendPort{{Number: 80, Listen: netip.AddrPortFrom(netip.IPv6Unspecified(), uint16(10000+at))}}}
		slice := mesh.SliceInput{Service: inShop(name), Ports: []mesh.SlicePort{{Name: "http", Number: 8080}}}
		for i := range 2 - at {
			slice.Endpoints = append(slice.Endpoints, mesh.SliceEndpoint{Address: netip.AddrFrom4([4]byte{10, 0, byte(at), byte(1 + i)}), Ready: true, Serving: true})
		}
		in.Slices[inShop(name)] = slice
	}
	s, _ := new(Set).Bind(route.Compile(mesh.Build(in)))
	return s
}

// toOrders is a request of orders.
func toOrders(method string, fields ...Field) Question {
	return Question{To: inShop("orders"), Port: 80, Request: &Asked{Verb: method, Target: "/", Fields: fields}}
}

// told is what is said of the policies, and the reasons of the outcomes.
func told(t *testing.T, s *Snapshot, q Question) (lines []string, reasons string) {
	t.Helper()
	e, ok := s.Explain(q)
	if !ok {
		t.Fatal("nothing is said")
	}
	for _, p := range e.Policies {
		lines = append(lines, strings.TrimSuffix(p.Name+": "+p.Does+"; "+p.Now, "; ")+strings.Repeat("!", min(p.Refuses, 1)))
	}
	for _, o := range e.Outcomes {
		reasons += fmt.Sprint(o.Reason, o.Service)
	}
	return lines, reasons
}

func TestPoliciesAreExplainedInTheirOrder(t *testing.T) {
	s := annotated(t, map[string]string{
		"ratelimit-average": "10", "ratelimit-by": "source", "circuit-breaker-expression": "NetworkErrorRatio() > 0.5",
		"fault-delay": "1s", "fault-delay-percent": "5", "fault-abort": "418", "fault-abort-percent": "20", "fault-header": "x-try",
		"max-requests": "100", "max-body": "1000", "timeout": "2s", "per-try-timeout": "250ms", "request-headers-set": "x-a: 1", "response-headers-remove": "server",
		"failover": "spare", "load-balancer": "round-robin", "connect-timeout": "300ms", "max-pending": "7", "retry-attempts": "3", "retry-on": "5xx",
		"outlier-consecutive-5xx": "5", "mirror": "spare", "mirror-percent": "10", "max-connections": "9",
	})
	want := []string{
		"rate limit: 10 requests in 1s and 10 at once, for each workload, from this node",
		"circuit breaker: refuses all for 10s once NetworkErrorRatio() > 0.5, then lets ever more through for 10s; closed",
		"fault: 5 % wait 1s, 20 % are answered with 418, of those with x-try; does not mean this request",
		"requests: at most 100 under way at once, from this node; 0",
		"sizes: a body of more than 1000 bytes is answered with 413",
		"timeout: 2s for the whole request, 250ms until the answer of a try begins",
		"headers: requests get x-a: 1; answers lose server",
		"failover: shop/spare serves while nothing else can",
		"balancing: round-robin",
		"connecting: 300ms for one attempt",
		"waiting: at most 7 waiting for a connection at once, from this node; 0",
		"retries: 3 tries in all after 5xx, within 20 % of the requests or 3 a second",
		"ejection: an endpoint for 30s after 5 failures in a row, at most 50 % of them; none",
		"mirror: a copy of 10 % goes to shop/spare",
	}
	got, reasons := told(t, s, toOrders("GET"))
	if diff := cmp.Diff(want, got); diff != "" || reasons != "shop/orders" {
		t.Errorf("%s, (- want, + got)\n%s", reasons, diff)
	}
	want[2], want[11] = "fault: 5 % wait 1s, 20 % are answered with 418, of those with x-try!", want[11]+"; POST only where no endpoint has begun with it"
	got, _ = told(t, s, toOrders("POST", Field{Name: "x-try", Value: "1"}))
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("a POST with x-try (- want, + got)\n%s", diff)
	}
	connection := toOrders("GET")
	connection.Request = nil
	got, _ = told(t, s, connection)
	if diff := cmp.Diff([]string{"connections: at most 9 open at once, from this node; 0", want[7], want[8], want[9]}, got); diff != "" {
		t.Errorf("a connection (- want, + got)\n%s", diff)
	}
	if got, reasons := told(t, annotated(t, nil), toOrders("GET")); len(got) != 0 || reasons != "shop/orders" {
		t.Errorf("without policies: %q, %s", got, reasons)
	}
}

// TestWhatPoliciesRefuseNowIsTold: what has happened decides what would happen,
// and asking changes nothing.
func TestWhatPoliciesRefuseNowIsTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := annotated(t, map[string]string{
			"circuit-breaker-expression": "ResponseCodeRatio(500, 600, 0, 600) > 0.5", "max-requests": "30", "outlier-consecutive-5xx": "2", "failover": "spare",
		})
		r := s.find(toOrders("GET"))
		says := func(what, reasons string) {
			t.Helper()
			for range 2 {
				lines, outcomes := told(t, s, toOrders("GET"))
				if !strings.Contains(strings.Join(lines, "\n"), what) || outcomes != reasons {
					t.Errorf("%q, %s; want %q, %s", lines, outcomes, what, reasons)
				}
			}
		}
		begin := func(n int) (calls []Call) {
			t.Helper()
			for range n {
				call, v := r.Policies.Begin(time.Now(), Request{Snapshot: s})
				if v.Reason != "" {
					t.Fatal(v)
				}
				calls = append(calls, call)
			}
			return calls
		}
		calls := begin(30)
		says("from this node; 30!", "overloaded<nil>")
		for i := range calls {
			calls[i].End(time.Now(), 200)
		}
		says("from this node; 0", "shop/orders")
		ejected := r.rules[0].clusters[0].endpoints[0]
		for range 2 {
			try := Try{cluster: r.rules[0].clusters[0], count: 1}
			try.tried[0] = ejected
			try.Report(time.Now(), policy.Outcome{Kind: policy.Answered, Status: 500, GRPC: -1})
		}
		says("at most 50 % of them; 10.0.0.1:8080", "shop/orders")
		for _, e := range r.rules[0].clusters[0].endpoints {
			e.Failed()
		}
		says("failover", "shop/spare")
		<-time.After(20 * time.Second)
		for calls, i := begin(30), 0; i < 30; i++ {
			calls[i].End(time.Now(), 503)
		}
		<-time.After(200 * time.Millisecond)
		call := begin(1)[0]
		call.End(time.Now(), 503)
		says("; open!", "circuit-open<nil>")
		<-time.After(11 * time.Second)
		says("; recovering\n", "shop/orders") // the next call passes
		call = begin(1)[0]
		call.End(time.Now(), 200)
		says("; recovering!", "shop/orders")
	})
}
