package dns_test

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	upstream "github.com/miekg/dns"
	"github.com/weft-mesh/weft/pkg/dns"
	"github.com/weft-mesh/weft/pkg/mesh"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// serve runs a Server until the test ends; nil publishes nothing.
func serve(t *testing.T, m *mesh.Mesh, domains ...string) *dns.Server {
	t.Helper()
	server, err := dns.Listen(dns.Config{Address: "127.0.0.1:0", Domains: domains})
	if err != nil {
		t.Fatal(err)
	}
	if m != nil {
		server.Publish(m)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("Serve: %v", err)
		}
	})
	return server
}

func shop() *mesh.Mesh {
	var many []netip.Addr
	for i := range 60 {
		many = append(many, netip.AddrFrom4([4]byte{127, 77, 1, byte(i + 1)}))
	}
	return &mesh.Mesh{Services: []*mesh.Service{
		{Name: mesh.Name{Namespace: "shop", Name: "many"}, Addresses: many},
		{Name: mesh.Name{Namespace: "shop", Name: "none"}},
		{Name: mesh.Name{Namespace: "shop", Name: "orders"}, Addresses: []netip.Addr{
			netip.MustParseAddr("127.77.0.3"), netip.MustParseAddr("fd00::3"),
		}},
	}}
}

func query(name string, qtype uint16) *upstream.Msg {
	return new(upstream.Msg).SetQuestion(upstream.Fqdn(name), qtype)
}

func ask(t *testing.T, server *dns.Server, network string, q *upstream.Msg) *upstream.Msg {
	t.Helper()
	client := upstream.Client{Net: network, UDPSize: upstream.MaxMsgSize}
	reply, _, err := client.Exchange(q, server.Addr().String())
	if err != nil {
		t.Fatalf("%s: %v", q.Question[0].String(), err)
	}
	reply.Compress = true // as it came, for Len
	return reply
}

// told is a reply in one line: code, answers, and whether an SOA lies in the authority.
func told(reply *upstream.Msg) string {
	out := upstream.RcodeToString[reply.Rcode]
	for _, rr := range reply.Answer {
		out += " " + strings.Join(strings.Fields(rr.String()), " ")
	}
	for _, rr := range reply.Ns {
		out += fmt.Sprintf(" +%s %s", upstream.TypeToString[rr.Header().Rrtype], rr.Header().Name)
	}
	return out
}

func TestAnswers(t *testing.T) {
	server := serve(t, shop(), "mesh", "Traefik.Mesh.")
	for _, test := range []struct {
		name  string
		qtype uint16
		want  string
	}{
		{"orders.shop.mesh", upstream.TypeA, "NOERROR orders.shop.mesh. 5 IN A 127.77.0.3"},
		{"orders.shop.mesh", upstream.TypeAAAA, "NOERROR orders.shop.mesh. 5 IN AAAA fd00::3"},
		{"orders.shop.mesh", upstream.TypeANY, "NOERROR orders.shop.mesh. 5 IN A 127.77.0.3 orders.shop.mesh. 5 IN AAAA fd00::3"},
		{"OrDers.SHOP.mEsh", upstream.TypeA, "NOERROR OrDers.SHOP.mEsh. 5 IN A 127.77.0.3"},
		{"orders.shop.traefik.mesh", upstream.TypeA, "NOERROR orders.shop.traefik.mesh. 5 IN A 127.77.0.3"},
		{"orders.shop.mesh", upstream.TypeMX, "NOERROR +SOA mesh."},
		{"none.shop.mesh", upstream.TypeA, "NOERROR +SOA mesh."},
		{"shop.mesh", upstream.TypeA, "NOERROR +SOA mesh."},
		{"mesh", upstream.TypeA, "NOERROR +SOA mesh."},
		{"mesh", upstream.TypeSOA, "NOERROR mesh. 5 IN SOA ns.dns.mesh. hostmaster.mesh. 1 3600 600 86400 5"},
		{"absent.shop.mesh", upstream.TypeA, "NXDOMAIN +SOA mesh."},
		{"a.orders.shop.mesh", upstream.TypeA, "NXDOMAIN +SOA mesh."},
		{"orders.absent.mesh", upstream.TypeA, "NXDOMAIN +SOA mesh."},
		{"absent.mesh", upstream.TypeA, "NXDOMAIN +SOA mesh."},
		{`orders\.shop.mesh`, upstream.TypeA, "NXDOMAIN +SOA mesh."},
		{`orders.shop\.mesh`, upstream.TypeA, "REFUSED"},
		{"orders.shop.notmesh", upstream.TypeA, "REFUSED"},
		{"example.com", upstream.TypeA, "REFUSED"},
		{".", upstream.TypeNS, "REFUSED"},
		{"mesh", upstream.TypeAXFR, "REFUSED"},
	} {
		for _, network := range []string{"udp", "tcp"} {
			reply := ask(t, server, network, query(test.name, test.qtype))
			want := test.want
			if strings.HasSuffix(test.name, "traefik.mesh") {
				want = strings.ReplaceAll(want, "+SOA mesh.", "+SOA traefik.mesh.")
			}
			if got := told(reply); got != want {
				t.Errorf("%s %s %s: %s; want %s", network, test.name, upstream.TypeToString[test.qtype], got, want)
			}
			if reply.Authoritative != !strings.HasPrefix(want, "REFUSED") {
				t.Errorf("%s: authoritative is %v", test.name, reply.Authoritative)
			}
		}
	}
}

func TestOtherClassesAndOpcodesAreTurnedDown(t *testing.T) {
	server := serve(t, shop())
	chaos := query("orders.shop.mesh", upstream.TypeA)
	chaos.Question[0].Qclass = upstream.ClassCHAOS
	notify := query("mesh", upstream.TypeSOA)
	notify.Opcode = upstream.OpcodeNotify
	update := query("mesh", upstream.TypeSOA)
	update.Opcode = upstream.OpcodeUpdate
	version := query("orders.shop.mesh", upstream.TypeA).SetEdns0(1232, false)
	version.IsEdns0().SetVersion(1)
	for want, q := range map[int]*upstream.Msg{
		upstream.RcodeRefused: chaos, upstream.RcodeBadVers: version,
	} {
		if reply := ask(t, server, "udp", q); reply.Rcode != want || len(reply.Answer) > 0 {
			t.Errorf("got %s, want code %d", told(reply), want)
		}
	}
	for _, q := range []*upstream.Msg{notify, update} {
		if reply := ask(t, server, "udp", q); reply.Rcode != upstream.RcodeNotImplemented {
			t.Errorf("opcode %d: got %s", q.Opcode, told(reply))
		}
	}
}

func TestAnswersAreTruncatedToWhatTheClientTakes(t *testing.T) {
	server := serve(t, shop())
	for _, test := range []struct {
		network   string
		edns      uint16 // 0 for none
		most      int
		truncated bool
	}{
		{"udp", 0, 512, true},
		{"udp", 100, 512, true},
		{"udp", 600, 600, true},
		{"udp", 1100, 1100, false},
		{"udp", 65000, 1232, false},
		{"tcp", 0, 65535, false},
		{"tcp", 512, 65535, false},
	} {
		q := query("many.shop.mesh", upstream.TypeA)
		if test.edns > 0 {
			q.SetEdns0(test.edns, true)
		}
		reply := ask(t, server, test.network, q)
		whole := len(reply.Answer) == 60
		if reply.Len() > test.most || reply.Truncated != test.truncated || whole == test.truncated {
			t.Errorf("%+v: %d bytes, %d answers, truncated %v", test, reply.Len(), len(reply.Answer), reply.Truncated)
		}
		if option := reply.IsEdns0(); (option != nil) != (test.edns > 0) || option != nil && !option.Do() {
			t.Errorf("%+v: EDNS0 option %v", test, option)
		}
	}
}

func TestPublishReplacesEveryName(t *testing.T) {
	server := serve(t, nil)
	a := query("orders.shop.mesh", upstream.TypeA)
	if got := told(ask(t, server, "udp", a)); got != "SERVFAIL" {
		t.Errorf("before the first Publish: %s", got)
	}
	if got := told(ask(t, server, "udp", query("example.com", upstream.TypeA))); got != "REFUSED" {
		t.Errorf("another zone before the first Publish: %s", got)
	}
	m := shop()
	server.Publish(m)
	first := told(ask(t, server, "udp", a))
	server.Publish(&mesh.Mesh{})
	second := told(ask(t, server, "udp", a))
	soa := ask(t, server, "udp", query("mesh", upstream.TypeSOA)).Answer[0].(*upstream.SOA)
	got := []string{first, second, fmt.Sprint("serial ", soa.Serial)}
	want := []string{"NOERROR orders.shop.mesh. 5 IN A 127.77.0.3", "NXDOMAIN +SOA mesh.", "serial 2"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestTheStandardResolverFindsAMeshName(t *testing.T) {
	server := serve(t, shop())
	resolver := net.Resolver{PreferGo: true, Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, server.Addr().String())
	}}
	got, err := resolver.LookupHost(t.Context(), "orders.shop.mesh.")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"127.77.0.3", "fd00::3"}, got); diff != "" {
		t.Error(diff)
	}
}

func TestCloseFreesTheAddress(t *testing.T) {
	first, err := dns.Listen(dns.Config{})
	if err != nil {
		t.Fatal(err)
	}
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	second, err := dns.Listen(dns.Config{Address: first.Addr().String()})
	if err != nil {
		t.Fatal(err)
	}
	if err := second.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestWhatCannotBeServedIsAnError(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	for _, config := range []dns.Config{
		{Address: taken.Addr().String()},
		{Address: "127.0.0.1"},
		{Domains: []string{"."}},
		{Domains: []string{"a..b"}},
	} {
		if _, err := dns.Listen(config); err == nil || !strings.HasPrefix(err.Error(), "dns: ") {
			t.Errorf("%+v: error %v", config, err)
		}
	}
}
