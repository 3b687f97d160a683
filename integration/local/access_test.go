package local

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// target is a TrafficTarget for the account orders; sources and rules are in
// YAML's flow style.
func target(name, sources, rules string) string {
	return fmt.Sprintf(`---
{apiVersion: access.smi-spec.io/v1alpha3, kind: TrafficTarget, metadata: {namespace: shop, name: %s}, spec: {
  destination: {kind: ServiceAccount, name: orders, namespace: shop}, sources: [%s], rules: [%s]}}
`, name, sources, rules)
}

// group is the HTTPRouteGroup shop/g.
func group(matches string) string {
	return fmt.Sprintf(`---
{apiVersion: specs.smi-spec.io/v1alpha4, kind: HTTPRouteGroup, metadata: {namespace: shop, name: g}, spec: {matches: [%s]}}
`, matches)
}

// manyMatches are one more than last, of which each is for a path of its number.
func manyMatches(last int) string {
	var all []string
	for i := range last + 1 {
		all = append(all, fmt.Sprintf(`{name: m%[1]d, pathRegex: "/m%[1]d/"}`, i))
	}
	return strings.Join(all, ", ")
}

const (
	fromWeb   = "{kind: ServiceAccount, name: web, namespace: shop}"
	fromOther = "{kind: ServiceAccount, name: other, namespace: shop}"
	allTCP    = "{kind: TCPRoute, name: all}"
	items     = "{kind: HTTPRouteGroup, name: items}"
	// specs are what the targets refer to.
	specs = `---
{apiVersion: specs.smi-spec.io/v1alpha4, kind: HTTPRouteGroup, metadata: {namespace: shop, name: items}, spec: {matches: [
  {name: read, pathRegex: "/items.*", methods: [GET]}, {name: write, pathRegex: "/items.*", methods: [PUT]}, {name: exact, pathRegex: "/only$", methods: ["*"]},
  {name: anne, headers: [{x-user: "anne|beth"}], methods: [GET]}]}}
---
{apiVersion: specs.smi-spec.io/v1alpha4, kind: HTTPRouteGroup, metadata: {namespace: shop, name: grpc}, spec: {matches: [{name: empty, pathRegex: "/grpc.testing.TestService/EmptyCall"}]}}
---
{apiVersion: specs.smi-spec.io/v1alpha4, kind: HTTPRouteGroup, metadata: {namespace: shop, name: any}, spec: {matches: [{name: any}]}}
---
{apiVersion: specs.smi-spec.io/v1alpha4, kind: HTTPRouteGroup, metadata: {namespace: batch, name: foreign}, spec: {matches: [{name: any}]}}
---
{apiVersion: specs.smi-spec.io/v1alpha4, kind: HTTPRouteGroup, metadata: {namespace: shop, name: broken}, spec: {matches: [{name: bad, pathRegex: "/(", methods: [GET]}, {name: good, pathRegex: "/good"}]}}
---
{apiVersion: specs.smi-spec.io/v1alpha3, kind: TCPRoute, metadata: {namespace: shop, name: all}, spec: {}}
---
{apiVersion: specs.smi-spec.io/v1alpha4, kind: TCPRoute, metadata: {namespace: shop, name: pod-web}, spec: {matches: {ports: [8080]}}}
---
{apiVersion: specs.smi-spec.io/v1alpha4, kind: TCPRoute, metadata: {namespace: shop, name: service-web}, spec: {matches: {ports: [80]}}}
---
{apiVersion: specs.smi-spec.io/v1alpha4, kind: TCPRoute, metadata: {namespace: shop, name: pod-tcp}, spec: {matches: {ports: [8082]}}}
---
{apiVersion: specs.smi-spec.io/v1alpha4, kind: UDPRoute, metadata: {namespace: shop, name: all}, spec: {matches: {ports: []}}}
---
{apiVersion: specs.smi-spec.io/v1alpha4, kind: UDPRoute, metadata: {namespace: shop, name: pod-tcp}, spec: {matches: {ports: [8082]}}}
`
	brokenGroup = "HTTPRouteGroup shop/broken BadExpression"
)

// rule is one case: rules, the calls they are about, as "call = answer", and
// the problems, each once.
type rule struct {
	name     string
	rules    string
	calls    []string
	problems []string
}

// run applies each case and makes its calls.
func (g *guarded) run(t *testing.T, common string, noted []string, cases []rule) {
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			g.apply(t, common+c.rules)
			for _, line := range c.calls {
				call, want, _ := strings.Cut(line, " = ")
				if got := g.call(t, call); got != want {
					t.Errorf("%s = %s; want %s", call, got, want)
				}
			}
			want, got := slices.Sorted(slices.Values(append(c.problems, noted...))), slices.Compact(slices.Sorted(slices.Values(g.found())))
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("problems: %s", diff)
			}
		})
	}
}

// The rows of the table in docs/smi.md that are about access.
func TestTrafficTargets(t *testing.T) {
	g := newGuarded(t, "enforce")
	namespace := func(mode string) string {
		return fmt.Sprintf("---\n{apiVersion: v1, kind: Namespace, metadata: {name: shop, annotations: {weft.mesh/access: \"%s\"}}}\n", mode)
	}
	g.run(t, specs, []string{brokenGroup}, []rule{
		{name: "1 no target: the mode decides", calls: []string{"web GET /items = 403 access-denied", "web tcp = nothing", "web udp = nothing", "web grpc = PermissionDenied"}},
		{name: "1 a namespace that is off", rules: namespace("off"), calls: []string{"web GET /items = 200 orders", "stranger GET /./x = 200 orders", "web tcp = orders", "web udp = orders", "web grpc = OK"}},
		{name: "1 a namespace in audit", rules: namespace("audit") + target("t", fromOther, items), calls: []string{"web GET /items = 200 orders", "web GET /./x = 200 orders", "web tcp = orders", "web udp = orders", "web grpc = OK"}},
		{name: "1 a mode that is none enforces", rules: namespace("enforse"), calls: []string{"web GET /items = 403 access-denied"}, problems: []string{"Namespace shop BadAnnotation"}},
		{name: "2 who is not a source is refused", rules: target("t", fromWeb, allTCP+", {kind: UDPRoute, name: all}"), calls: []string{
			"web GET / = 200 orders", "web tcp = orders", "web udp = orders", "web grpc = OK", "other GET / = 403 access-denied", "other tcp = nothing", "other udp = nothing",
			"other grpc = PermissionDenied", "stranger GET / = 403 access-denied", "stranger tcp = nothing", "stranger udp = nothing", "job GET / = 403 access-denied"}},
		{name: "3 no rules allow nothing", rules: target("t", fromWeb, ""), calls: []string{"web GET / = 403 access-denied", "web tcp = nothing"}, problems: []string{"TrafficTarget shop/t TargetEmpty"}},
		{name: "3 no sources allow nothing", rules: target("t", "", allTCP), calls: []string{"web GET / = 403 access-denied"}, problems: []string{"TrafficTarget shop/t TargetEmpty"}},
		{name: "4 a TCPRoute alone allows all HTTP on its ports", rules: target("t", fromWeb, "{kind: TCPRoute, name: pod-web}"), calls: []string{"web GET /any = 200 orders", "web PUT /any = 200 orders", "web tcp = nothing", "web grpc = PermissionDenied"}},
		{name: "5 rules of one target hold together", rules: target("t", fromWeb, items+", {kind: TCPRoute, name: pod-web}"), calls: []string{"web GET /items = 200 orders", "web GET /x = 403 access-denied"}},
		{name: "5 also where the port is another", rules: target("t", fromWeb, items+", {kind: TCPRoute, name: pod-tcp}"), calls: []string{"web GET /items = 403 access-denied", "web tcp = nothing"}},
		{name: "5 targets are never combined", rules: target("t", fromWeb, "{kind: HTTPRouteGroup, name: items, matches: [read]}, {kind: TCPRoute, name: pod-web}") +
			target("u", fromWeb, "{kind: HTTPRouteGroup, name: items, matches: [write]}, {kind: TCPRoute, name: pod-tcp}"), calls: []string{"web GET /items = 200 orders", "web PUT /items = 403 access-denied", "web tcp = nothing"}},
		{name: "6 matches left out mean all", rules: target("t", fromWeb, items), calls: []string{"web GET /items = 200 orders", "web PUT /items = 200 orders", "web POST /only = 200 orders", "web POST /items = 403 access-denied", "web tcp = nothing"}},
		{name: "7 a match that does not exist is passed over", rules: target("t", fromWeb, "{kind: HTTPRouteGroup, name: items, matches: [read, gone]}"), calls: []string{"web GET /items = 200 orders", "web PUT /items = 403 access-denied"}, problems: []string{"TrafficTarget shop/t MatchNotFound"}},
		{name: "7 none that exists", rules: target("t", fromWeb, "{kind: HTTPRouteGroup, name: items, matches: [gone]}, "+allTCP), calls: []string{"web GET /items = 403 access-denied", "web tcp = nothing"}, problems: []string{"TrafficTarget shop/t MatchNotFound"}},
		{name: "8 a group that does not exist", rules: target("t", fromWeb, "{kind: HTTPRouteGroup, name: gone}, "+allTCP), calls: []string{"web GET /items = 403 access-denied", "web tcp = nothing"}, problems: []string{"TrafficTarget shop/t RuleNotFound"}},
		{name: "8 a TCPRoute that does not exist", rules: target("t", fromWeb, items+", {kind: TCPRoute, name: gone}"), calls: []string{"web GET /items = 403 access-denied", "web tcp = nothing"}, problems: []string{"TrafficTarget shop/t RuleNotFound"}},
		{name: "8 beside one that does", rules: target("t", fromWeb, "{kind: HTTPRouteGroup, name: gone}, "+items), calls: []string{"web GET /items = 200 orders", "web GET /x = 403 access-denied"}, problems: []string{"TrafficTarget shop/t RuleNotFound"}},
		{name: "9 targets add to each other", rules: target("t", fromWeb, items) + target("u", fromOther, items) + target("v", fromWeb, "{kind: HTTPRouteGroup, name: any}"), calls: []string{"web GET /items = 200 orders", "other GET /items = 200 orders", "web GET /x = 200 orders", "other GET /x = 403 access-denied"}},
		{name: "10 a destination without a namespace", rules: strings.Replace(target("t", fromWeb, items), "name: orders, namespace: shop", "name: orders", 1), calls: []string{"web GET /items = 200 orders"}},
		{name: "10 a destination in another namespace", rules: strings.Replace(target("t", fromWeb, items), "metadata: {namespace: shop", "metadata: {namespace: batch", 1), calls: []string{"web GET /items = 403 access-denied"}, problems: []string{"TrafficTarget batch/t DestinationForeign"}},
		{name: "11 a source without a namespace is nobody", rules: target("t", "{kind: ServiceAccount, name: web}", items), calls: []string{"web GET /items = 403 access-denied"}, problems: []string{"TrafficTarget shop/t SourceIncomplete"}},
		{name: "12 rules lie in the target's namespace", rules: target("t", fromWeb, "{kind: HTTPRouteGroup, name: foreign}"), calls: []string{"web GET /items = 403 access-denied"}, problems: []string{"TrafficTarget shop/t RuleNotFound"}},
		{name: "13 a kind of source that is none", rules: target("t", "{kind: Group, name: web, namespace: shop}, "+fromOther, items), calls: []string{"web GET /items = 403 access-denied", "other GET /items = 200 orders"}, problems: []string{"TrafficTarget shop/t UnknownKind"}},
		{name: "13 a kind of rule that is none", rules: target("t", fromWeb, "{kind: GRPCRoute, name: items}, "+allTCP), calls: []string{"web GET /items = 403 access-denied", "web tcp = nothing"}, problems: []string{"TrafficTarget shop/t UnknownKind"}},
		{name: "14 ports are those of the pod or of the Service", rules: target("t", fromWeb, "{kind: TCPRoute, name: service-web}") + target("u", fromOther, "{kind: TCPRoute, name: pod-web}"), calls: []string{"web GET / = 200 orders", "other GET / = 200 orders", "web tcp = nothing"}},
		{name: "14 the port of an old destination", rules: strings.NewReplacer("v1alpha3", "v1alpha2", "namespace: shop}, sources", "namespace: shop, port: 8082}, sources").Replace(target("t", fromWeb, allTCP)), calls: []string{"web tcp = orders", "web GET / = 403 access-denied"}},
		{name: "15 paths are anchored at their start", rules: target("t", fromWeb, items), calls: []string{"web GET /items/1 = 200 orders", "web GET /itemsfoo = 200 orders", "web GET /x/items = 403 access-denied", "web GET /only = 200 orders", "web GET /only/x = 403 access-denied", "web GET /items?x=/../y = 200 orders"}},
		{name: "16 headers match whole", rules: target("t", fromWeb, "{kind: HTTPRouteGroup, name: items, matches: [anne]}"), calls: []string{"web GET /x x-user:anne = 200 orders", "web GET /x X-User:beth = 200 orders", "web GET /x x-user:annex = 403 access-denied", "web GET /x x-user:anne x-user:eve = 403 access-denied", "web GET /x = 403 access-denied"}},
		{name: "17 a broken expression never matches", rules: target("t", fromWeb, "{kind: HTTPRouteGroup, name: broken}"), calls: []string{"web GET /good = 200 orders", "web GET / = 403 access-denied", "web GET /( = 403 access-denied"}},
		{name: "18 a match with only its name means every request", rules: target("t", fromWeb, "{kind: HTTPRouteGroup, name: any}"), calls: []string{"web GET /x = 200 orders", "web DELETE /y = 200 orders", "web GET /./x = 200 orders", "web tcp = nothing"}},
		{name: "13 a binding that does not exist is nobody", rules: target("t", "{kind: IdentityBinding, name: gone, namespace: shop}, "+fromOther, items), calls: []string{"web GET /items = 403 access-denied", "other GET /items = 200 orders"}, problems: []string{"TrafficTarget shop/t SubjectNotFound"}},
		{name: "15 a path may be anchored itself, and have groups", rules: target("t", fromWeb, "{kind: HTTPRouteGroup, name: g}") + group(`{name: m, pathRegex: "^/caps/(a|b)$"}`), calls: []string{"web GET /caps/a = 200 orders", "web GET /caps/c = 403 access-denied", "web GET /x/caps/a = 403 access-denied"}},
		{name: "16 a header that is named twice must match both", rules: target("t", fromWeb, "{kind: HTTPRouteGroup, name: g}") + group(`{name: m, headers: [{x-user: "a.*"}, {x-user: ".*e"}]}`), calls: []string{"web GET / x-user:anne = 200 orders", "web GET / x-user:ann = 403 access-denied", "web GET / x-user:jane = 403 access-denied"}},
		{name: "18 so does one with every method", rules: target("t", fromWeb, "{kind: HTTPRouteGroup, name: g}") + group(`{name: m, methods: ["*"]}, {name: more, pathRegex: "/more", methods: [PUT, "*"]}`), calls: []string{"web DELETE /x = 200 orders"}},
		{name: "a name that two matches have is the first's", rules: target("t", fromWeb, "{kind: HTTPRouteGroup, name: g}") + group(`{name: m, pathRegex: "/one"}, {name: m, pathRegex: "/two"}`), calls: []string{"web GET /one = 200 orders", "web GET /two = 403 access-denied"}, problems: []string{"HTTPRouteGroup shop/g MatchTwice"}},
		{name: "a group with too many matches", rules: target("t", fromWeb, "{kind: HTTPRouteGroup, name: g}") + group(manyMatches(256)), calls: []string{"web GET /m0/ = 200 orders", "web GET /m255/ = 200 orders", "web GET /m256/ = 403 access-denied"}, problems: []string{"HTTPRouteGroup shop/g GroupTooLarge"}},
		{name: "gRPC by its path", rules: target("t", fromWeb, "{kind: HTTPRouteGroup, name: grpc}") + target("u", fromOther, items), calls: []string{"web grpc = OK", "other grpc = PermissionDenied"}},
		{name: "UDP by its ports", rules: target("t", fromWeb, "{kind: UDPRoute, name: pod-tcp}") + target("u", fromOther, "{kind: UDPRoute, name: all}"), calls: []string{"web udp = nothing", "other udp = orders", "other tcp = nothing", "other GET / = 403 access-denied"}},
		{name: "an IdentityBinding", rules: target("t", "{kind: IdentityBinding, name: callers, namespace: shop}", items) + `---
{apiVersion: access.smi-spec.io/v1alpha4, kind: IdentityBinding, metadata: {namespace: shop, name: callers}, spec: {schemes: {podLabelSelector: {matchLabels: {app: web}}, spiffeIdentities: ["spiffe://cluster.local/ns/batch/sa/job"]}}}
`, calls: []string{"web GET /items = 200 orders", "other GET /items = 403 access-denied", "job GET /items = 403 access-denied"}},
	})
}
