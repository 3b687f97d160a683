package upstream

import (
	"net/netip"
	"testing"

	"github.com/weft-mesh/weft/pkg/mesh"
	"github.com/weft-mesh/weft/pkg/route"
)

// TestWhatLeftIsJudgedByItsService: an endpoint that is no pod leaves, while
// somewhere access is enforced. Calls to it end where its own Service enforces,
// and drain where it does not.
func TestWhatLeftIsJudgedByItsService(t *testing.T) {
	for _, test := range []struct {
		mode mesh.AccessMode
		want bool
	}{{mesh.AccessOff, true}, {mesh.AccessAudit, true}, {mesh.AccessEnforce, false}} {
		elsewhere := &mesh.Workload{Name: mesh.Name{Namespace: "bank", Name: "ledger"}, IPs: []netip.Addr{netip.MustParseAddr("10.3.0.1")}, Access: mesh.AccessEnforce}
		m := world(test.mode, nil)
		m.Workloads = append(m.Workloads, elsewhere)
		snapshot, _ := new(Set).Bind(route.Compile(m))
		gone := &Endpoint{Address: netip.MustParseAddrPort("192.0.2.1:8080")}
		if got := snapshot.Holds(listen, netip.MustParseAddr("10.1.0.1"), gone, Proof{Request: true}); got != test.want {
			t.Errorf("access %v: a call to an endpoint that left holds: %v; want %v", test.mode, got, test.want)
		}
	}
}
