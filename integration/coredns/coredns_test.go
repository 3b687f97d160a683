package coredns

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/miekg/dns"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/weft-mesh/weft/integration/testenv"
	"github.com/weft-mesh/weft/pkg/dnspatch"
)

// longName is as long as a Service's name may be.
var longName = strings.Repeat("a", 63)

// TestMeshNames asks the real CoreDNS for mesh names, however the patch came
// to it.
func TestMeshNames(t *testing.T) {
	api := testenv.StartAPIServer(t)
	client, err := kubernetes.NewForConfig(api.Config())
	check(t, err)
	createNames(t, client)
	plain := createService(t, client, "default", "plain", "")
	corefile := read(t, api.Kubeconfig("admin", "system:masters"))
	cfg := dnspatch.Config{Domains: []string{"mesh", "traefik.mesh"}}
	for name, start := range map[string]func(*testing.T, string, dnspatch.Config) string{
		"corefile":   startPatched,
		"override":   startOverridden,
		"node-local": startNodeLocal,
	} {
		t.Run(name, func(t *testing.T) {
			address := start(t, corefile, cfg)
			askMesh(t, address)
			ask(t, address, question{name: "plain.default.svc.cluster.local.", kind: dns.TypeA, rcode: dns.RcodeSuccess, want: plain})
			ask(t, address, question{name: "orders.shop.weft.svc.cluster.local.", kind: dns.TypeA, rcode: dns.RcodeSuccess, want: "10.96.7.7"})
		})
	}
	t.Run("removed", func(t *testing.T) {
		patched, err := dnspatch.Apply(corefile, cfg)
		check(t, err)
		bare, err := dnspatch.Remove(patched)
		check(t, err)
		address := testenv.StartCoreDNS(t, bare)
		ask(t, address, question{name: "orders.shop.mesh.", kind: dns.TypeA, rcode: dns.RcodeNameError})
		ask(t, address, question{name: "plain.default.svc.cluster.local.", kind: dns.TypeA, rcode: dns.RcodeSuccess, want: plain})
	})
}

// askMesh asks for every kind of mesh name.
func askMesh(t *testing.T, address string) {
	t.Helper()
	ask(t, address, question{name: "orders.shop.mesh.", kind: dns.TypeA, rcode: dns.RcodeSuccess, want: "10.96.7.7"})
	ask(t, address, question{name: "ORDERS.Shop.mesh.", kind: dns.TypeA, rcode: dns.RcodeSuccess, want: "10.96.7.7"})
	ask(t, address, question{name: longName + ".shop.mesh.", kind: dns.TypeA, rcode: dns.RcodeSuccess, want: "10.96.7.8"})
	ask(t, address, question{name: "orders.shop.traefik.mesh.", kind: dns.TypeA, rcode: dns.RcodeSuccess, want: "10.96.7.7"})
	ask(t, address, question{name: "orders.shop.mesh.", kind: dns.TypeAAAA, rcode: dns.RcodeSuccess})
	ask(t, address, question{name: "unknown.shop.mesh.", kind: dns.TypeA, rcode: dns.RcodeNameError})
	ask(t, address, question{name: "orders.unknown.mesh.", kind: dns.TypeA, rcode: dns.RcodeNameError})
}

// question is one question and what the answer must be; no address where want
// is empty.
type question struct {
	name  string
	kind  uint16
	rcode int
	want  string
}

// ask checks the answer by UDP and by TCP: the address stands under the name
// that was asked for.
func ask(t *testing.T, address string, q question) {
	t.Helper()
	for _, network := range []string{"udp", "tcp"} {
		client := dns.Client{Net: network}
		answer, _, err := client.Exchange(new(dns.Msg).SetQuestion(q.name, q.kind), address)
		check(t, err)
		var got []string
		for _, record := range answer.Answer {
			a, ok := record.(*dns.A)
			if !ok || !strings.EqualFold(a.Hdr.Name, q.name) {
				t.Errorf("%s %s: answer %v", network, q.name, record)
				continue
			}
			got = append(got, a.A.String())
		}
		// What a name does not have, or that it is none, is not kept for long either.
		for _, record := range append(answer.Answer, answer.Ns...) {
			if strings.HasSuffix(q.name, "mesh.") && record.Header().Ttl > 5 {
				t.Errorf("%s %s: kept for %d s; want at most 5", network, q.name, record.Header().Ttl)
			}
		}
		if answer.Rcode != q.rcode || strings.Join(got, " ") != q.want {
			t.Errorf("%s %s %s: %s %v, want %s %v", network, q.name, dns.TypeToString[q.kind],
				dns.RcodeToString[answer.Rcode], got, dns.RcodeToString[q.rcode], q.want)
		}
	}
}

// startPatched runs CoreDNS with the patch in its Corefile.
func startPatched(t *testing.T, corefile string, cfg dnspatch.Config) string {
	t.Helper()
	patched, err := dnspatch.Apply(corefile, cfg)
	check(t, err)
	return testenv.StartCoreDNS(t, patched)
}

// startOverridden runs CoreDNS with the patch in a file that it imports.
func startOverridden(t *testing.T, corefile string, cfg dnspatch.Config) string {
	t.Helper()
	folder := t.TempDir()
	corefile = strings.Replace(corefile, "    errors\n", "    errors\n    import "+folder+"/*.override\n", 1)
	info, err := dnspatch.Inspect(corefile)
	check(t, err)
	if info.OverrideDir != folder {
		t.Fatalf("the import of %s is not found: %+v", folder, info)
	}
	cfg.ClusterDomain = info.ClusterDomain
	text, err := dnspatch.Override(cfg)
	check(t, err)
	check(t, os.WriteFile(filepath.Join(folder, dnspatch.OverrideFile), []byte(text), 0o600))
	return testenv.StartCoreDNS(t, corefile)
}

// startNodeLocal runs a patched CoreDNS, and a second one as node-local-dns in
// front of it.
func startNodeLocal(t *testing.T, corefile string, cfg dnspatch.Config) string {
	t.Helper()
	upstream := startPatched(t, corefile, cfg)
	b, err := os.ReadFile("../../pkg/dnspatch/testdata/nodelocal.Corefile")
	check(t, err)
	local := strings.NewReplacer(
		"__PILLAR__CLUSTER__DNS__", upstream,
		"__PILLAR__UPSTREAM__SERVERS__", nobody,
		"health 169.254.20.10:8080", "health 127.0.0.1:0",
		"    loop\n", "",
	).Replace(string(b))
	patched, err := dnspatch.ApplyNodeLocal(local, cfg)
	check(t, err)
	// StartCoreDNS binds every server block itself.
	return testenv.StartCoreDNS(t, strings.ReplaceAll(patched, "    bind 169.254.20.10 10.96.0.10\n", ""))
}

// nobody is an address where no DNS server is.
const nobody = "127.0.0.1:1"

// read is kubeadm's Corefile for a CoreDNS outside of the cluster, with a rule
// of the user's that would take every mesh name away, and an answer to
// everything that is not the cluster's.
func read(t *testing.T, kubeconfig string) string {
	t.Helper()
	b, err := os.ReadFile("../../pkg/dnspatch/testdata/kubeadm.Corefile")
	check(t, err)
	return strings.NewReplacer(
		"       pods insecure\n", "       pods insecure\n       kubeconfig "+kubeconfig+"\n",
		"    loop\n", "    rewrite name suffix .mesh .invalid\n",
		"    ready\n", "    ready\n    template ANY ANY invalid {\n       rcode NXDOMAIN\n    }\n",
		"/etc/resolv.conf", nobody,
	).Replace(string(b))
}

// createNames writes the mesh names of namespace shop as the controller does.
func createNames(t *testing.T, client kubernetes.Interface) {
	t.Helper()
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "weft"}}
	_, err := client.CoreV1().Namespaces().Create(t.Context(), namespace, metav1.CreateOptions{})
	check(t, err)
	createService(t, client, "weft", "shop", corev1.ClusterIPNone)
	ready, orders := true, "orders"
	slice := &discoveryv1.EndpointSlice{
		ObjectMeta:  metav1.ObjectMeta{Name: "shop", Labels: map[string]string{discoveryv1.LabelServiceName: "shop"}},
		AddressType: discoveryv1.AddressTypeIPv4,
		Endpoints: []discoveryv1.Endpoint{
			{Addresses: []string{"10.96.7.7"}, Hostname: &orders, Conditions: discoveryv1.EndpointConditions{Ready: &ready}},
			{Addresses: []string{"10.96.7.8"}, Hostname: &longName, Conditions: discoveryv1.EndpointConditions{Ready: &ready}},
		},
	}
	_, err = client.DiscoveryV1().EndpointSlices("weft").Create(t.Context(), slice, metav1.CreateOptions{})
	check(t, err)
}

// createService makes a Service and gives its ClusterIP.
func createService(t *testing.T, client kubernetes.Interface, namespace, name, clusterIP string) string {
	t.Helper()
	service := &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec:       corev1.ServiceSpec{ClusterIP: clusterIP, Ports: []corev1.ServicePort{{Port: 80}}},
	}
	service, err := client.CoreV1().Services(namespace).Create(t.Context(), service, metav1.CreateOptions{})
	check(t, err)
	return service.Spec.ClusterIP
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
