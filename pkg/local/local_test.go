package local

import (
	"bytes"
	"context"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/rs/zerolog"
	"github.com/weft-mesh/weft/pkg/mesh"
	"github.com/weft-mesh/weft/pkg/nodeproxy"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const orders = `apiVersion: v1
kind: Service
metadata: {name: orders, namespace: shop}
spec:
  ports:
  - {name: http, port: 80}
  - {name: dns, port: 53, protocol: UDP}
---
apiVersion: v1
kind: Service
metadata: {name: kube-dns, namespace: kube-system}
spec: {ports: [{port: 53}]}
`

// up runs a Mesh of the manifest until the test ends, and returns it once ready.
func up(t *testing.T, config Config, manifest string) *Mesh {
	t.Helper()
	path := filepath.Join(t.TempDir(), "shop.yaml")
	if err := os.WriteFile(path, []byte(manifest), 0o600); err != nil {
		t.Fatal(err)
	}
	config.Manifests = []string{path}
	m, err := New(config)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- m.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	select {
	case <-m.Ready():
	case err := <-ended:
		ended <- err
		t.Fatalf("ended: %v", err)
	case <-time.After(10 * time.Second):
		t.Fatal("not ready")
	}
	return m
}

func TestOneAddressForAllServices(t *testing.T) {
	var out bytes.Buffer
	m := up(t, Config{Addresses: netip.MustParsePrefix("127.0.0.1/32"), Domain: "test.internal", Out: &out}, orders)
	var want []string
	for _, p := range m.Latest().Mesh.Services[0].Ports {
		if p.Listen.Port() < firstSharedPort || p.Listen.Addr() != netip.MustParseAddr("127.0.0.1") {
			t.Errorf("port %d is at %s", p.Number, p.Listen)
		}
		end := map[uint16]string{53: " udp (port 53)", 80: " http (port 80)"}[p.Number]
		want = append(want, "orders.shop.test.internal "+p.Listen.String()+end)
	}
	slices.Sort(want)
	got := strings.Split(out.String(), "\n")
	if diff := cmp.Diff(append(want, "ready", ""), got); diff != "" {
		t.Error(diff)
	}
	if len(m.Latest().Mesh.Services) != 1 {
		t.Errorf("%d services are meshed; kube-system is not", len(m.Latest().Mesh.Services))
	}
	conn, err := net.Dial("tcp", m.Latest().Mesh.Services[0].Ports[1].Listen.String())
	if err != nil {
		t.Fatal(err)
	}
	conn.Close()
}

func TestAnExhaustedRangeIsAProblem(t *testing.T) {
	m := up(t, Config{Addresses: netip.MustParsePrefix("127.251.0.0/31"), PortOffset: 8000},
		orders+"---\n"+strings.ReplaceAll(orders, "name: orders", "name: yak")+"---\n"+strings.ReplaceAll(orders, "name: orders", "name: zebra"))
	var got []string
	for _, p := range m.Problems() {
		if p.Reason == AddressesExhausted {
			got = append(got, p.Object.String())
		}
	}
	if diff := cmp.Diff([]string{"Service shop/zebra"}, got); diff != "" {
		t.Error(diff)
	}
}

func TestARangeThatTheSystemLacksIsReplacedByOneAddress(t *testing.T) {
	for from, want := range map[string]string{
		"192.0.2.0/24":   "127.0.0.1/32", // RFC 5737: nobody has these
		"127.0.0.1/32":   "127.0.0.1/32",
		"2001:db8::/64":  "::1/128", // RFC 3849
		"192.0.2.7/32":   "127.0.0.1/32",
		"2001:db8::/128": "::1/128",
	} {
		if got := usable(netip.MustParsePrefix(from), zerolog.Nop()).String(); got != want {
			t.Errorf("%s: %s, want %s", from, got, want)
		}
	}
}

func TestAPortThatMayNotBeOpenedNamesTheFlag(t *testing.T) {
	denied := mesh.Problem{Reason: nodeproxy.ListenFailed, Message: "listen tcp 127.77.0.1:80: bind: " + syscall.EACCES.Error()}
	if got := reword(denied).Message; !strings.HasPrefix(got, denied.Message) || !strings.Contains(got, "--portOffset") {
		t.Errorf("message %q", got)
	}
	taken := mesh.Problem{Reason: nodeproxy.ListenFailed, Message: "listen tcp 127.77.0.1:80: bind: " + syscall.EADDRINUSE.Error()}
	if got := reword(taken); got != taken {
		t.Errorf("message %q", got.Message)
	}
}

func TestASocketThatIsTakenNamesTheFlag(t *testing.T) {
	other, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	for flag, config := range map[string]Config{
		"--dns.address":   {DNSAddress: other.Addr().String(), AdminAddress: "127.0.0.1:0"},
		"--admin.address": {DNSAddress: "127.0.0.1:0", AdminAddress: other.Addr().String()},
	} {
		config.Manifests = []string{"shop.yaml"}
		if _, err := New(config); err == nil || !strings.Contains(err.Error(), flag) {
			t.Errorf("%v; want it to name %s", err, flag)
		}
	}
}

func TestOnlyAMeshWithoutOnePortFails(t *testing.T) {
	one := []mesh.Problem{{Reason: mesh.BadAnnotation}, {Reason: nodeproxy.ListenFailed, Message: "why"}}
	if err := noneOpen(one, 1); err == nil || !strings.Contains(err.Error(), "why") {
		t.Errorf("none of one: %v", err)
	}
	for _, ports := range []int{2, 3} {
		if err := noneOpen([]mesh.Problem{{Reason: nodeproxy.ListenFailed}}, ports); err != nil {
			t.Errorf("one of %d: %v", ports, err)
		}
	}
	if err := noneOpen(nil, 0); err != nil {
		t.Errorf("an empty mesh: %v", err)
	}
}

func TestChangesAreToldLineByLine(t *testing.T) {
	var out bytes.Buffer
	tellFirst(&out, nil)
	tellChanges(&out, []string{"a", "b"}, []string{"b", "c"})
	tellChanges(&out, []string{"b", "c"}, []string{"b", "c"})
	if got := out.String(); got != "ready\n- a\n+ c\n" {
		t.Errorf("told %q", got)
	}
}

func TestWhatCannotStartIsAnErrorThatLeavesNothingOpen(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	for _, config := range []Config{
		{},
		{Manifests: []string{"."}, DNSAddress: taken.Addr().String()},
		{Manifests: []string{"."}, AdminAddress: taken.Addr().String()},
	} {
		if _, err := New(config); err == nil {
			t.Errorf("%+v: no error", config)
		}
	}
	m, err := New(Config{Manifests: []string{filepath.Join(t.TempDir(), "absent")}})
	if err != nil {
		t.Fatal(err)
	}
	if err := m.Run(t.Context()); err == nil || !strings.Contains(err.Error(), "absent") {
		t.Errorf("Run: %v", err)
	}
}
