package local

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// share is a TrafficSplit of the root orders: it has a name, backends and,
// where it has them, matches in YAML's flow style.
func share(name, backends string, matches ...string) string {
	return fmt.Sprintf(`---
{apiVersion: split.smi-spec.io/v1alpha4, kind: TrafficSplit, metadata: {namespace: shop, name: %s}, spec: {service: orders, backends: [%s], matches: [%s]}}
`, name, backends, strings.Join(matches, ", "))
}

const (
	toCanary = "{service: canary, weight: 1}"
	toBeta   = "{service: beta, weight: 1}"
)

// more is a Service without endpoints and one that has the port 80 alone.
const more = `---
{apiVersion: v1, kind: Service, metadata: {namespace: shop, name: empty}, spec: {type: ClusterIP, clusterIP: 10.96.0.8, ports: [
  {name: http-web, port: 80}, {name: grpc, port: 81}, {name: tcp, port: 82}, {name: udp, port: 83, protocol: UDP}]}}
---
{apiVersion: v1, kind: Service, metadata: {namespace: shop, name: narrow}, spec: {type: ClusterIP, clusterIP: 10.96.0.9, ports: [{name: web, port: 80}]}}
---
{apiVersion: discovery.k8s.io/v1, kind: EndpointSlice, metadata: {namespace: shop, name: narrow, labels: {kubernetes.io/service-name: narrow}}, addressType: IPv4,
 endpoints: [{addresses: [%s], conditions: {ready: true}}], ports: [{name: web, port: 8080}]}
`

// The rows of the table in docs/smi.md that are about splits.
func TestTrafficSplits(t *testing.T) {
	g := newGuarded(t, "off")
	onItems := []string{items}
	younger := func(s string) string {
		return strings.Replace(s, "name: ", `creationTimestamp: "2020-01-01T00:00:00Z", name: `, 1)
	}
	g.run(t, specs+fmt.Sprintf(more, g.pods["canary"]), []string{brokenGroup}, []rule{
		{name: "18 a match with only its name", rules: share("s", toCanary, "{kind: HTTPRouteGroup, name: any}"), calls: []string{"web GET / = 200 canary", "web PUT /./x = 200 canary"}},
		{name: "19 all weights are 0", rules: share("s", "{service: canary, weight: 0}"), calls: []string{"web GET / = 503 no-backend", "web tcp = nothing", "web grpc = Unavailable"}, problems: []string{"TrafficSplit shop/s AllWeightsZero"}},
		{name: "20 splits with matches go first", rules: share("a", toBeta) + share("b", toCanary, onItems...), calls: []string{"web GET /items = 200 canary", "web GET /x = 200 beta"}},
		{name: "20 of these the oldest", rules: younger(share("a", toBeta, onItems...)) + share("b", toCanary, onItems...), calls: []string{"web GET /items = 200 canary", "web GET /x = 200 orders"}},
		{name: "20 or the first by name", rules: share("b", toBeta, onItems...) + share("a", toCanary, onItems...), calls: []string{"web GET /items = 200 canary"}},
		{name: "20 one without matches", rules: share("b", toBeta) + share("a", toCanary), calls: []string{"web GET / = 200 canary"}, problems: []string{"TrafficSplit shop/b SplitConflict"}},
		{name: "21 the root is also a backend", rules: share("s", "{service: orders, weight: 1}, {service: canary, weight: 0}"), calls: []string{"web GET / = 200 orders", "web tcp = orders"}},
		{name: "22 splits are not followed", rules: share("s", toCanary) + strings.Replace(share("t", toBeta), "service: orders", "service: canary", 1), calls: []string{"web GET / = 200 canary"}},
		{name: "23 what no match means goes to the root", rules: share("s", toCanary, onItems...), calls: []string{"web GET /items = 200 canary", "web GET / = 200 orders", "web POST /items = 200 orders", "web grpc = OK"}},
		{name: "24 the root by its full name", rules: strings.Replace(share("s", toCanary), "service: orders", "service: orders.shop.svc.cluster.local", 1), calls: []string{"web GET / = 200 canary"}},
		{name: "24 a root in another namespace", rules: strings.Replace(share("s", toCanary), "service: orders", "service: orders.batch", 1), calls: []string{"web GET / = 200 orders"}, problems: []string{"TrafficSplit shop/s RootForeign"}},
		{name: "25 a backend that does not exist", rules: share("s", toCanary+", {service: gone, weight: 9}"), calls: []string{"web GET / = 200 canary"}, problems: []string{"TrafficSplit shop/s BackendNotFound"}},
		{name: "26 a backend without a port", rules: share("s", "{service: narrow, weight: 1}"), calls: []string{"web GET / = 200 canary", "web tcp = orders", "web udp = orders"}, problems: []string{"TrafficSplit shop/s BackendPortMissing", "TrafficSplit shop/s SplitEmpty"}},
		{name: "27 a backend without endpoints", rules: share("s", toCanary+", {service: empty, weight: 9}"), calls: []string{"web GET / = 200 canary", "web tcp = canary"}, problems: []string{"TrafficSplit shop/s BackendNoEndpoints"}},
		{name: "27 one without endpoints and weight", rules: share("s", toCanary+", {service: empty, weight: 0}"), calls: []string{"web GET / = 200 canary"}},
		{name: "28 connections and sessions are split", rules: share("s", toCanary), calls: []string{"web tcp = canary", "web udp = canary"}},
		{name: "28 matches say nothing of them", rules: share("s", toCanary, onItems...), calls: []string{"web tcp = canary", "web udp = canary", "web GET / = 200 orders"}},
		{name: "28 where a split without matches stands it has them", rules: share("s", toCanary, onItems...) + share("t", toBeta), calls: []string{"web tcp = beta", "web udp = beta", "web GET / = 200 beta", "web GET /items = 200 canary"}},
		{name: "30 path, method and headers of matches count", rules: share("s", toCanary, "{kind: HTTPRouteGroup, name: items}"), calls: []string{
			"web PUT /items = 200 canary", "web PATCH /items = 200 orders", "web GET /x x-user:anne = 200 canary", "web GET /x x-user:bob = 200 orders", "web POST /x x-user:anne = 200 orders", "web GET /%69tems = 200 canary", "web GET /./items = 400 path-ambiguous"}},
		{name: "gRPC by its path", rules: share("s", "{service: empty, weight: 1}", "{kind: HTTPRouteGroup, name: grpc}"), calls: []string{"web grpc = Unavailable", "web GET / = 200 orders"}, problems: []string{"TrafficSplit shop/s BackendNoEndpoints"}},
		{name: "a group that does not exist", rules: share("s", toCanary, "{kind: HTTPRouteGroup, name: gone}"), calls: []string{"web GET / = 200 orders", "web tcp = orders"}, problems: []string{"TrafficSplit shop/s RuleNotFound", "TrafficSplit shop/s SplitEmpty"}},
		{name: "one that does beside it", rules: share("s", toCanary, "{kind: HTTPRouteGroup, name: gone}", items), calls: []string{"web GET / = 200 orders", "web GET /items = 200 canary"}, problems: []string{"TrafficSplit shop/s RuleNotFound"}},
		{name: "no match that can hold", rules: share("s", toCanary, "{kind: HTTPRouteGroup, name: broken}"), calls: []string{"web GET /good = 200 canary", "web GET /( = 200 orders"}},
	})
}

// Row 29: access is decided at the pod that serves the call, whatever the root.
func TestSplitsWithAccess(t *testing.T) {
	g := newGuarded(t, "enforce")
	both := share("s", "{service: orders, weight: 1}, {service: canary, weight: 1}")
	canary := strings.Replace(target("u", fromWeb, allTCP), "name: orders", "name: canary", 1)
	for _, c := range []struct {
		name, rules string
		want        map[string]int
	}{
		{"both", both + target("t", fromWeb, allTCP) + canary, map[string]int{"200 orders": 10, "200 canary": 10}},
		{"the root's account only", both + target("t", fromWeb, allTCP), map[string]int{"200 orders": 10, "403 access-denied": 10}},
		{"the other's only", both + canary, map[string]int{"200 canary": 10, "403 access-denied": 10}},
		{"a split away from what is allowed", share("s", toCanary) + target("t", fromWeb, allTCP), map[string]int{"403 access-denied": 20}},
		{"a split to what is allowed", share("s", toCanary) + canary, map[string]int{"200 canary": 20}},
	} {
		t.Run(c.name, func(t *testing.T) {
			g.apply(t, specs+c.rules)
			got := map[string]int{}
			for range 20 {
				got[g.http1(t, g.pods["web"], []string{"GET", "/"})]++
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// What the nearest mesh of this kind got wrong, and what it would be easy to.
func TestWhatOthersGotWrong(t *testing.T) {
	g := newGuarded(t, "enforce")
	at := func(name string) [4]byte { return g.pods[name].As4() }
	canary := strings.Replace(target("u", fromWeb, allTCP+", {kind: UDPRoute, name: all}"), "name: orders", "name: canary", 1)
	g.run(t, specs, []string{brokenGroup}, []rule{
		{name: "X-Forwarded-For makes nobody another", rules: target("t", fromWeb, items), calls: []string{"other GET /items x-forwarded-for:" + g.pods["web"].String() + " = 403 access-denied", "other GET /items X-Real-Ip:" + g.pods["web"].String() + " = 403 access-denied"}},
		{name: "a pod that comes is known", rules: target("t", fromWeb, items) + pod("shop", "web-2", "web", at("stranger")), calls: []string{"stranger GET /items = 200 orders"}},
		{name: "a pod that has finished is not", rules: target("t", fromWeb, items) + strings.Replace(pod("shop", "web-2", "web", at("stranger")), "phase: Running", "phase: Succeeded", 1), calls: []string{"stranger GET /items = 403 access-denied"}},
		{name: "a pod on its node's network is nobody", rules: target("t", fromWeb, items) + strings.Replace(pod("shop", "web-2", "web", at("stranger")), "spec: {", "spec: {hostNetwork: true, ", 1), calls: []string{"stranger GET /items = 403 access-denied"}},
		{name: "each address of a pod is its own", rules: target("t", fromWeb, items) + pod("shop", "web-2", "web", [4]byte{10, 9, 9, 9}, fmt.Sprintf(", podIPs: [{ip: 10.9.9.9}, {ip: %s}]", g.pods["stranger"])), calls: []string{"stranger GET /items = 200 orders"}},
		{name: "two pods of one address are nobody", rules: target("t", fromWeb, items) + pod("shop", "web-2", "web", at("stranger")) + pod("shop", "web-3", "web", at("stranger")), calls: []string{"stranger GET /items = 403 access-denied"}},
		{name: "a source without pods", rules: target("t", "{kind: ServiceAccount, name: none, namespace: shop}", items), calls: []string{"web GET /items = 403 access-denied"}},
		{name: "the same account of another namespace", rules: target("t", "{kind: ServiceAccount, name: web, namespace: batch}", items), calls: []string{"web GET /items = 403 access-denied"}},
		{name: "names that read alike when joined", rules: target("t", "{kind: ServiceAccount, name: web-x, namespace: shop}", items) + pod("shop-web", "x", "x", at("stranger")), calls: []string{"stranger GET /items = 403 access-denied"}},
		{name: "each of them is meant by its own", rules: target("t", "{kind: ServiceAccount, name: x, namespace: shop-web}", items) + pod("shop-web", "x", "x", at("stranger")), calls: []string{"stranger GET /items = 200 orders"}},
		{name: "targets add to each other over TCP and UDP", rules: target("t", fromWeb, allTCP) + target("u", fromOther, allTCP+", {kind: UDPRoute, name: all}"), calls: []string{"web tcp = orders", "other tcp = orders", "other udp = orders", "web udp = nothing"}},
		{name: "every port of a split's backend", rules: share("s", toCanary) + canary, calls: []string{"web GET / = 200 canary", "web grpc = OK", "web tcp = canary", "web udp = canary", "other GET / x-forwarded-for:" + g.pods["web"].String() + " = 403 access-denied", "other grpc = PermissionDenied", "other tcp = nothing", "other udp = nothing"}},
		{name: "splits that lead to each other", rules: share("s", "{service: beta, weight: 0}, "+toCanary) + strings.Replace(share("t", "{service: beta, weight: 0}, {service: orders, weight: 1}"), "service: orders", "service: canary", 1) + canary, calls: []string{"web GET / = 200 canary", "web tcp = canary"}},
		{name: "a target of another namespace", rules: target("t", fromWeb, items) + `---
{apiVersion: access.smi-spec.io/v1alpha3, kind: TrafficTarget, metadata: {namespace: batch, name: t}, spec: {
  destination: {kind: ServiceAccount, name: job, namespace: batch}, sources: [{kind: ServiceAccount, name: other, namespace: shop}], rules: [{kind: HTTPRouteGroup, name: foreign}]}}
`, calls: []string{"web GET /items = 200 orders", "other GET /items = 403 access-denied"}},
		{name: "a match without conditions beside others", rules: target("t", fromWeb, "{kind: HTTPRouteGroup, name: any}, "+items), calls: []string{"web DELETE /x = 200 orders"}},
		{name: "every port by itself", rules: target("t", fromWeb, "{kind: TCPRoute, name: pod-tcp}") + target("u", fromOther, "{kind: TCPRoute, name: pod-web}"), calls: []string{"web tcp = orders", "web GET / = 403 access-denied", "other tcp = nothing", "other GET / = 200 orders", "other udp = nothing"}},
		{name: "a namespace whose mode is broken", rules: "---\n{apiVersion: v1, kind: Namespace, metadata: {name: shop, annotations: {weft.mesh/access: [off]}}}\n", calls: []string{"web GET / = 403 access-denied"}, problems: []string{"Namespace shop Malformed"}},
	})
}

// B33: no spelling of a path gets past a rule.
func TestNoSpellingOfAPathGetsPastARule(t *testing.T) {
	g := newGuarded(t, "enforce")
	g.apply(t, specs+target("t", fromWeb, `{kind: HTTPRouteGroup, name: public}`)+`---
{apiVersion: specs.smi-spec.io/v1alpha4, kind: HTTPRouteGroup, metadata: {namespace: shop, name: public}, spec: {matches: [{name: all, pathRegex: "/public/.*"}]}}
`)
	if got := g.call(t, "web GET /public/%61"); got != "200 orders" {
		t.Fatalf("/public/a: %s", got)
	}
	for _, path := range []string{
		"/admin", "//admin", "/Admin", "/%61dmin", "/%41dmin", "/admin/", "/./admin", "/public", "/publicadmin", "/PUBLIC/../admin", "/public/../admin", "/public/./../admin",
		"/public/..", "/public/.", "/public//../admin", "/public/%2e%2e/admin", "/public/%2E%2e/admin", "/public/.%2e/admin", "/public/%2e./admin", "/public/%2e%2e%2fadmin",
		"/public%2f..%2fadmin", "/public%2fadmin", "/%2fadmin", "/public/..%2fadmin", "/public/a%2f..%2f..%2fadmin", `/public/..\admin`, `/public\..\admin`, "/public/..%5cadmin",
		"/public/..;/admin", "/public/..;x=1/admin", "/public/;/../admin", "/public/%2e%2e;/admin", "/public/..%3b/admin", "/public/%252e%252e/admin", "/public/..%252fadmin",
		"/public/%2561", "/public/%00", "/public/a%00/../../admin", "/public/%0a", "/public/%0d%0ax", "/public/%7f", "/public/%c0%ae%c0%ae/admin", "/public/%ff", "/public/%", "/public/%2", "/public/%zz", "/public/%u002e%u002e/admin",
		"*", "admin", "http://orders.shop.mesh/admin", "http://orders.shop.mesh/public/../admin", "http://orders.shop.mesh", "/admin?/public/x", "/?/public/", "/admin#/public/",
	} {
		if got := g.http1(t, g.pods["web"], []string{"GET", path}); !strings.HasPrefix(got, "403 ") && !strings.HasPrefix(got, "400 ") {
			t.Errorf("%s: %s", path, got)
		}
	}
}
