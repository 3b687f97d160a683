package house

import (
	"go/token"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/weft-mesh/weft"

// Who may import whom, beside the standard library. "*" is everything: only
// what wires may. A rule without a reason is a habit, so each has one.
var imports = map[string][]string{
	// The commands wire.
	"cmd/weft": {"*"},
	// The vocabulary depends on nothing, so that everything behind it is tested with literals.
	"pkg/mesh": {},
	// Compiling needs the Mesh only.
	"pkg/route": {"./pkg/mesh"},
	// The owner of the inputs knows neither Kubernetes nor the data plane.
	"pkg/control": {"./pkg/mesh", "./pkg/route", "golang.org/x/sync"},
	// What traffic policies mean needs no I/O; oxy measures and counts, an LRU bounds.
	"pkg/policy": {"github.com/vulcand/oxy/v2", "github.com/hashicorp/golang-lru/v2"},
	// Annotations are decoded by paerser, and judged by what they mean.
	"pkg/annotations": {"./pkg/mesh", "./pkg/policy", "github.com/traefik/paerser"},
	// SMI objects are decoded from unstructured ones.
	"pkg/smi": {"./pkg/mesh", "k8s.io/apimachinery"},
	// The edge to Kubernetes: client-go stops here.
	"pkg/kube": {"./pkg/annotations", "./pkg/mesh", "./pkg/smi", "k8s.io/client-go", "k8s.io/klog/v2", "k8s.io/api", "k8s.io/apimachinery", "sigs.k8s.io/yaml", "github.com/rs/zerolog", "golang.org/x/sync"},
	// What keeps objects as they should be writes alike, whatever the objects.
	"pkg/reconcile": {"./pkg/mesh", "k8s.io/apimachinery", "github.com/rs/zerolog", "golang.org/x/sync"},
	// A guard is NetworkPolicies and a look whether they hold.
	"pkg/guard": {"./pkg/mesh", "./pkg/reconcile", "k8s.io/client-go", "k8s.io/api", "k8s.io/apimachinery", "github.com/rs/zerolog", "golang.org/x/sync"},
	// Writing shadow Services needs the API server, nothing of the data plane.
	"pkg/shadow": {"./pkg/mesh", "./pkg/reconcile", "k8s.io/client-go", "k8s.io/api", "k8s.io/apimachinery", "github.com/rs/zerolog"},
	// The Corefile is text in, text out.
	"pkg/dnspatch": {},
	// Only this half of the DNS patch knows the cluster.
	"pkg/dnspatch/cluster": {"./pkg/dnspatch", "k8s.io/client-go", "k8s.io/api", "k8s.io/apimachinery"},
	// Metrics know no other package, so that any may count.
	"pkg/telemetry": {"./internal/pace", "github.com/prometheus/client_golang", "github.com/prometheus/client_model", "github.com/rs/zerolog"},
	// Spans are made of Events; the collector's protocol is OpenTelemetry's, as protobuf.
	"pkg/tracing": {"./pkg/telemetry", "github.com/prometheus/client_golang", "github.com/rs/zerolog", "go.opentelemetry.io/proto/otlp", "google.golang.org/protobuf"},
	// The embedded DNS server answers from a Mesh.
	"pkg/dns": {"./pkg/mesh", "github.com/miekg/dns", "golang.org/x/sync"},
	// The admin API shows snapshots, and what the data plane made of them. It writes
	// metrics in the formats of Prometheus' own packages, their long part by itself,
	// and has wire judge what a request is, as the data plane does.
	"pkg/admin": {"./internal/pace", "./pkg/control", "./pkg/mesh", "./pkg/nodeproxy/http1/wire", "./pkg/nodeproxy/upstream", "./pkg/telemetry", "github.com/prometheus/client_golang", "github.com/prometheus/client_model", "github.com/prometheus/common"},
	// The way to the proxies is the API server's; what they say is others' matter.
	"pkg/reach": {"k8s.io/client-go", "k8s.io/api", "k8s.io/apimachinery", "golang.org/x/sync"},
	// The metrics API asks node proxies and reads objects; it is an edge to Kubernetes as pkg/kube is.
	"pkg/metricsapi": {"./internal/pki", "./pkg/telemetry", "k8s.io/client-go", "k8s.io/api", "k8s.io/apimachinery", "github.com/rs/zerolog"},
	// The node, local mode and the demo wire a whole mesh in one process.
	"pkg/node":  {"*"},
	"pkg/local": {"*"},
	"pkg/demo":  {"*"},
	// The data plane never learns that Kubernetes exists.
	"pkg/nodeproxy": {"./pkg/nodeproxy/poll", "./pkg/mesh", "./pkg/route", "./pkg/telemetry", "./pkg/nodeproxy/http1", "./pkg/nodeproxy/http2", "./pkg/nodeproxy/l4", "./pkg/nodeproxy/limits", "./pkg/nodeproxy/upstream", "github.com/rs/zerolog"},
	// Limits are numbers, for the engines and the commands alike.
	"pkg/nodeproxy/limits": {},
	"pkg/nodeproxy/poll":   {},
	// Messages are bytes: whoever moves them is another's matter.
	"pkg/nodeproxy/http1/wire": {},
	"pkg/nodeproxy/http1":      {"./pkg/mesh", "./pkg/route", "./pkg/telemetry", "./pkg/policy", "./pkg/nodeproxy/http1/wire", "./pkg/nodeproxy/limits", "./pkg/nodeproxy/poll", "./pkg/nodeproxy/tlsrelay", "./pkg/nodeproxy/upstream", "github.com/rs/zerolog"},
	"pkg/nodeproxy/l4":         {"./pkg/mesh", "./pkg/route", "./pkg/telemetry", "./pkg/nodeproxy/poll", "./pkg/nodeproxy/upstream", "github.com/rs/zerolog"},
	// The engine rests on the standard library, down to its own HPACK; it takes
	// HTTP/1 clients too, whose messages are wire's.
	"pkg/nodeproxy/http2":       {"./pkg/mesh", "./pkg/nodeproxy/http1/wire", "./pkg/nodeproxy/http2/hpack", "./pkg/nodeproxy/limits", "./pkg/nodeproxy/poll", "./pkg/nodeproxy/tlsrelay", "./pkg/route", "./pkg/telemetry", "./pkg/nodeproxy/upstream", "./pkg/policy", "github.com/rs/zerolog"},
	"pkg/nodeproxy/http2/hpack": {},
	"pkg/nodeproxy/upstream":    {"./pkg/mesh", "./pkg/route", "./pkg/policy", "./pkg/telemetry", "./pkg/nodeproxy/tlsrelay", "golang.org/x/crypto/x509roots"},
	// TLS is the standard library's, behind a socket that engines take for plain.
	"pkg/nodeproxy/tlsrelay": {},
	// Flags, environment and files are paerser's.
	"internal/config": {"github.com/traefik/paerser", "sigs.k8s.io/yaml"},
	// What a person sees is text, in a terminal of some size.
	"internal/console": {"golang.org/x/term", "sigs.k8s.io/yaml"},
	// Tests of any package ask for addresses.
	"internal/freeport": {},
	"internal/tcppair":  {},
	// Work that may wait takes turns by the clock.
	"internal/pace": {},
	// Certificates are the standard library's.
	"internal/pki":   {},
	"internal/house": {},
	// The image is made of bytes.
	"internal/image":       {},
	"internal/image/build": {"./internal/image"},
	// The manifests are embedded.
	"manifests": {},
	// What runs real things may use everything.
	"integration/...": {"*"},
}

func tree(t *testing.T) *Tree {
	t.Helper()
	tree, err := Parse("../..")
	if err != nil {
		t.Fatal(err)
	}
	if len(tree.files) < 10 {
		t.Fatalf("only %d files found: this looks at the wrong folder", len(tree.files))
	}
	return tree
}

func TestHouse(t *testing.T) {
	tree := tree(t)
	for rule, broken := range map[string][]string{
		"lengths": tree.Lengths(),
		"docs":    tree.Docs(),
		"tests":   tree.Tests(),
		"state":   tree.State(),
		"imports": tree.Imports(module, imports),
	} {
		t.Run(rule, func(t *testing.T) {
			for _, b := range broken {
				t.Error(b)
			}
		})
	}
}

// Each rule is shown to fail on source that breaks it.
func TestEachRuleCanFail(t *testing.T) {
	long := "\nfunc long() {\n" + strings.Repeat("\tprintln()\n", mostFunctionLines) + "}\n"
	for _, test := range []struct {
		name, path, source string
		rule               func(*Tree) []string
		want               string
	}{
		{"function too long", "pkg/mesh/a.go", "package mesh\n" + long, (*Tree).Lengths, "long has 62 lines"},
		{"file too long", "pkg/mesh/a.go", "package mesh\n" + strings.Repeat("\n", mostFileLines), (*Tree).Lengths, "lines; at most 500"},
		{"too many parameters", "pkg/mesh/a.go", "package mesh\nfunc f(a, b, c, d, e, f int) {}\n", (*Tree).Lengths, "6 parameters"},
		{"package without doc", "pkg/mesh/a.go", "package mesh\n", (*Tree).Docs, "package has no doc"},
		{"export without doc", "pkg/mesh/a.go", "// Package mesh.\npackage mesh\ntype T int\n", (*Tree).Docs, "T has no doc"},
		{"method without doc", "pkg/mesh/a.go", "// Package mesh.\npackage mesh\n// T is.\ntype T int\nfunc (t *T) M() {}\n", (*Tree).Docs, "M has no doc"},
		{"constant without doc", "pkg/mesh/a.go", "// Package mesh.\npackage mesh\nconst C = 1\n", (*Tree).Docs, "C has no doc"},
		{"test that sleeps", "pkg/mesh/a_test.go", "package mesh\nimport \"time\"\nfunc f() { time.Sleep(1) }\n", (*Tree).Tests, "Sleep"},
		{"test that skips", "pkg/mesh/a_test.go", "package mesh\nimport \"testing\"\nfunc f(t *testing.T) { t.Skip() }\n", (*Tree).Tests, "Skip"},
		{"init", "pkg/mesh/a.go", "package mesh\nfunc init() {}\n", (*Tree).State, "init"},
		{"package state", "pkg/mesh/a.go", "package mesh\nvar n int\n", (*Tree).State, "package variable n"},
		{"forbidden import", "pkg/mesh/a.go", "package mesh\nimport _ \"k8s.io/client-go/rest\"\n", importRule, "may not import k8s.io/client-go/rest"},
		{"forbidden own import", "pkg/route/a.go", "package route\nimport _ \"" + module + "/pkg/nodeproxy\"\n", importRule, "may not import"},
		{"unknown package", "pkg/util/a.go", "package util\n", importRule, "does not name this package"},
	} {
		t.Run(test.name, func(t *testing.T) {
			tree := &Tree{fset: token.NewFileSet()}
			if err := tree.add(".", test.path, test.source); err != nil {
				t.Fatal(err)
			}
			broken := test.rule(tree)
			if !slices.ContainsFunc(broken, func(b string) bool { return strings.Contains(b, test.want) }) {
				t.Errorf("found %q; want something with %q", broken, test.want)
			}
		})
	}
}

func importRule(t *Tree) []string { return t.Imports(module, imports) }
