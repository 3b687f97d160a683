package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/client-go/kubernetes/fake"

	"github.com/weft-mesh/weft/pkg/admin"
	"github.com/weft-mesh/weft/pkg/mesh"
	"github.com/weft-mesh/weft/pkg/reach"
)

func TestProxiesThatLagBehindAreNamed(t *testing.T) {
	at := func(node string, s admin.Status, err error) reach.Answer[admin.Status] {
		s.Version = version
		return reach.Answer[admin.Status]{Proxy: &reach.Proxy{Name: "weft-" + node, Node: node}, Value: s, Err: err}
	}
	now := time.Now()
	older := at("e", admin.Status{Digest: "one"}, nil)
	older.Value.Version = "v0"
	for _, test := range []struct {
		name    string
		answers []reach.Answer[admin.Status]
		want    []string
	}{
		{"whole", []reach.Answer[admin.Status]{at("a", admin.Status{Digest: "one"}, nil), at("b", admin.Status{Digest: "one"}, nil)},
			[]string{"✓ 2 of 2 proxies route by the same picture"}},
		{"behind", []reach.Answer[admin.Status]{
			at("a", admin.Status{Digest: "one"}, nil), at("b", admin.Status{Digest: "one"}, nil),
			at("c", admin.Status{Digest: "other", Built: now.Add(-time.Minute)}, nil),
			at("d", admin.Status{Digest: "one", StaleSeconds: map[string]float64{"Service": 90, "Pod": 2}}, nil),
			at("x", admin.Status{}, errors.New("no answer within 5s")),
		}, []string{
			"✓ 2 of 5 proxies route by the same picture",
			"✗ the proxy of node c (weft-c) lags behind: it routes by a picture of 60s ago that differs from the others'",
			"✗ the proxy of node d (weft-d) does not hear of changes to Services (for 1m30s)",
			"✗ the proxy of node x (weft-x) could not be asked: no answer within 5s",
		}},
		{"versions", []reach.Answer[admin.Status]{at("a", admin.Status{Digest: "one"}, nil), older},
			[]string{"✓ 2 of 2 proxies route by the same picture", "! weft is dev, the proxies are dev and v0"}},
	} {
		if diff := cmp.Diff(test.want, marked(judge(test.answers))); diff != "" {
			t.Errorf("%s: %s", test.name, diff)
		}
	}
}

// Whoever has no cluster, or a weft local that does not run, is told what to do.
func TestCheckSaysHowToReachAWeftLocal(t *testing.T) {
	t.Setenv("KUBECONFIG", t.TempDir()+"/none")
	for _, test := range []struct {
		args []string
		want string
	}{
		{[]string{"check"}, "to ask a weft local: --admin=127.0.0.1:15000"},
		{[]string{"check", "--admin=127.0.0.1:1"}, "→ does weft local run, with this --admin.address?"},
		{[]string{"check", "--pre", "--admin=127.0.0.1:1"}, "give one of them"},
	} {
		var out strings.Builder
		err := run(t.Context(), test.args, &out)
		if err == nil || !strings.Contains(out.String()+err.Error(), test.want) {
			t.Errorf("weft %v: %v\n%s\nwant %q", test.args, err, out.String(), test.want)
		}
	}
}

// marked writes findings as a person reads them.
func marked(findings []finding) (out []string) {
	for _, f := range findings {
		mark := "✗ "
		switch {
		case f.doubt:
			mark = "! "
		case f.ok:
			mark = "✓ "
		}
		out = append(out, mark+f.text)
	}
	return out
}

// A pod that a NetworkPolicy closes to the proxies is told with the policy; one
// that any policy opens to all of them is not.
func TestNetworkPoliciesThatKeepTheProxiesFromAPodAreTold(t *testing.T) {
	rule := func(ports []networkingv1.NetworkPolicyPort, from ...networkingv1.NetworkPolicyPeer) networkingv1.NetworkPolicyIngressRule {
		return networkingv1.NetworkPolicyIngressRule{Ports: ports, From: from}
	}
	selector := func(pair ...string) *metav1.LabelSelector {
		s := &metav1.LabelSelector{MatchLabels: map[string]string{}}
		for i := 0; i < len(pair); i += 2 {
			s.MatchLabels[pair[i]] = pair[i+1]
		}
		return s
	}
	port := func(p intstr.IntOrString) []networkingv1.NetworkPolicyPort {
		return []networkingv1.NetworkPolicyPort{{Port: &p}}
	}
	udp := corev1.ProtocolUDP
	proxies := networkingv1.NetworkPolicyPeer{NamespaceSelector: selector("kubernetes.io/metadata.name", "weft"), PodSelector: selector("app.kubernetes.io/name", "weft-node")}
	for _, test := range []struct {
		name  string
		pods  *metav1.LabelSelector
		rules []networkingv1.NetworkPolicyIngressRule
		kept  bool
	}{
		{"no ingress at all", selector(), nil, true},
		{"another pod is meant", selector("app", "other"), nil, false},
		{"everybody", selector(), []networkingv1.NetworkPolicyIngressRule{rule(nil)}, false},
		{"the own namespace only", selector(), []networkingv1.NetworkPolicyIngressRule{rule(nil, networkingv1.NetworkPolicyPeer{PodSelector: selector()})}, true},
		{"the proxies", selector("app", "orders"), []networkingv1.NetworkPolicyIngressRule{rule(nil, proxies)}, false},
		{"the proxies, on the port by number", selector(), []networkingv1.NetworkPolicyIngressRule{rule(port(intstr.FromInt(8080)), proxies)}, false},
		{"the proxies, on the port by name", selector(), []networkingv1.NetworkPolicyIngressRule{rule(port(intstr.FromString("web")), proxies)}, false},
		{"the proxies, on another port", selector(), []networkingv1.NetworkPolicyIngressRule{rule(port(intstr.FromInt(80)), proxies)}, true},
		{"the proxies, over UDP", selector(), []networkingv1.NetworkPolicyIngressRule{rule([]networkingv1.NetworkPolicyPort{{Protocol: &udp}}, proxies)}, true},
		{"the pods' network", selector(), []networkingv1.NetworkPolicyIngressRule{rule(nil, networkingv1.NetworkPolicyPeer{IPBlock: &networkingv1.IPBlock{CIDR: "10.0.0.0/8"}})}, false},
		{"but for one proxy", selector(), []networkingv1.NetworkPolicyIngressRule{rule(nil, networkingv1.NetworkPolicyPeer{IPBlock: &networkingv1.IPBlock{CIDR: "10.0.0.0/8", Except: []string{"10.0.1.0/24"}}})}, true},
		{"two rules, the second opens", selector(), []networkingv1.NetworkPolicyIngressRule{rule(port(intstr.FromInt(1)), proxies), rule(nil, proxies)}, false},
	} {
		objects := closedShop(test.pods, test.rules)
		c := &checkCommand{Asking: Asking{Namespace: "weft"}}
		got := c.networkPolicies(t.Context(), &clients{typed: fake.NewClientset(objects...)})
		want := "no NetworkPolicy keeps the proxies from a meshed pod"
		if test.kept {
			want = "Service shop/orders: NetworkPolicy closed keeps the node proxies from port 80 of pod orders-1"
		}
		if len(got) != 1 || got[0].text != want || got[0].ok == test.kept || test.kept && !strings.Contains(got[0].hint, "weft-node") {
			t.Errorf("%s: %+v; want %q", test.name, got, want)
		}
	}
}

// closedShop is a meshed Service of one pod behind a NetworkPolicy, and two proxies.
func closedShop(pods *metav1.LabelSelector, rules []networkingv1.NetworkPolicyIngressRule) []runtime.Object {
	objects := []runtime.Object{
		&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "weft", Labels: map[string]string{"kubernetes.io/metadata.name": "weft"}}},
		&corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: "weft", Name: "orders-x", Labels: map[string]string{mesh.LabelService: "orders", mesh.LabelNamespace: "shop"}}},
		&corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "orders"}, Spec: corev1.ServiceSpec{
			Selector: map[string]string{"app": "orders"}, Ports: []corev1.ServicePort{{Port: 80, TargetPort: intstr.FromString("web")}},
		}},
		&corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "orders-1", Labels: map[string]string{"app": "orders"}}, Spec: corev1.PodSpec{
			Containers: []corev1.Container{{Ports: []corev1.ContainerPort{{Name: "web", ContainerPort: 8080}}}},
		}},
		&networkingv1.NetworkPolicy{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "closed"}, Spec: networkingv1.NetworkPolicySpec{
			PodSelector: *pods, PolicyTypes: []networkingv1.PolicyType{networkingv1.PolicyTypeIngress}, Ingress: rules,
		}},
	}
	for i, ip := range []string{"10.0.0.1", "10.0.1.1"} {
		objects = append(objects, &corev1.Pod{
			ObjectMeta: metav1.ObjectMeta{Namespace: "weft", Name: fmt.Sprint("weft-node-", i), Labels: map[string]string{"app.kubernetes.io/name": "weft-node"}},
			Status:     corev1.PodStatus{PodIP: ip},
		})
	}
	return objects
}

// What is waited for is said once, and whatever is missing at the end.
func TestProgressSaysWhatIsMissing(t *testing.T) { synctest.Test(t, progressSays) }

func progressSays(t *testing.T) {
	var out strings.Builder
	missing := []string{"one", "one", "two", ""}
	waiting := progress{out: &out}
	if err := waiting.until(t.Context(), func(context.Context) (string, error) {
		next := missing[0]
		missing = missing[1:]
		return next, nil
	}); err != nil || out.String() != "… one\n… two\n" {
		t.Errorf("%v, %q", err, out.String())
	}
	out.Reset()
	waiting = progress{out: &out}
	ctx, cancel := context.WithTimeout(t.Context(), 1500*time.Millisecond)
	defer cancel()
	if err := waiting.until(ctx, func(ctx context.Context) (string, error) {
		if waiting.said == "" {
			return "one", nil
		}
		<-ctx.Done()
		return "the API server does not answer in time", nil
	}); err == nil || !strings.HasPrefix(err.Error(), "one: ") || out.String() != "… one\n" {
		t.Errorf("%v, %q", err, out.String())
	}
}
