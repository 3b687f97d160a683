package upstream

import (
	"crypto/x509"
	"net/netip"
	"testing"
	"time"

	"github.com/weft-mesh/weft/internal/pki"
	"github.com/weft-mesh/weft/pkg/mesh"
)

// An image without files has no roots of its own; the build's stand in.
func TestRootsWithoutASystem(t *testing.T) {
	if mozilla().Equal(x509.NewCertPool()) {
		t.Error("there are no roots")
	}
}

// An address that is spoken to in two ways is shown as one.
func TestStateOfAnAddressThatIsSpokenToInTwoWays(t *testing.T) {
	at, set := netip.MustParseAddrPort("10.0.0.1:443"), &Set{endpoints: map[endpointKey]*Endpoint{}}
	for _, key := range []endpointKey{{at, nil}, {at, &security{}}} {
		set.endpoints[key] = newEndpoint(key, new(time.Time))
		set.endpoints[key].load.Add(2)
	}
	set.endpoints[endpointKey{at, nil}].Failed()
	want := State{Address: at, Load: 4, Failures: 1, Resting: true}
	if got := set.States([]netip.AddrPort{at}); len(got) != 1 || got[0] != want {
		t.Errorf("got %+v; want %+v", got, want)
	}
	for _, one := range []State{{Ejected: true}, {Resting: true}, {LatencyMs: 2, Failures: 3}} {
		if got := (State{}).join(one); got != one {
			t.Errorf("joining %+v with nothing gives %+v", one, got)
		}
	}
}

// What must be proved decides which connections may be used: the same over two
// Tables is the same endpoint, and anything else another one.
func TestEndpointsAreKeptByWhatTheyProve(t *testing.T) {
	ca, err := pki.New("a CA")
	if err != nil {
		t.Fatal(err)
	}
	set, at := &Set{}, netip.MustParseAddrPort("10.0.0.1:443")
	first := func(tls *mesh.TLS) *Endpoint {
		b := binder{old: set, endpoints: map[endpointKey]*Endpoint{}, securities: map[mesh.TLS]*security{}}
		e := b.endpoint(endpointKey{at, b.security(tls)})
		set.endpoints, set.securities = b.endpoints, b.securities
		return e
	}
	with := mesh.TLS{ServerName: "orders.shop.svc", CASecret: "ca", CA: string(ca.Certificate)}
	again, unknown, other := with, with, with
	unknown.CA, other.ServerName = "", "carts.shop.svc"
	one := first(&with)
	if one != first(&again) {
		t.Error("what says the same is another endpoint")
	}
	if e := first(&unknown); e == one || !e.tls.unknown {
		t.Error("an endpoint is spoken to whose CA is not known")
	}
	if first(&other) == first(&with) || first(nil).tls != nil {
		t.Error("endpoints that must prove different things are one")
	}
}
