package nodeproxy_test

import (
	"fmt"
	"io"
	"net"
	"testing"

	"github.com/weft-mesh/weft/pkg/mesh"
	"github.com/weft-mesh/weft/pkg/nodeproxy"
)

// hint says of the endpoints of a Service, in turn, for which zone they are
// meant.
func (w *world) hint(service string, zones ...string) {
	w.Helper()
	for i, zone := range zones {
		slice := w.Slices[shop(fmt.Sprint(service, i))]
		slice.Endpoints[0].ForZones = []string{zone}
	}
}

func TestSameZoneFirst(t *testing.T) {
	each(t, policyVersions, func(t *testing.T, http2 bool) {
		w := newWorld(t, nodeproxy.Config{})
		w.Zones[mesh.Name{Namespace: "weft", Name: "orders-abc"}] = "a"
		at := w.service("orders", "http", calls(t, "a"), calls(t, "b"), calls(t, "b"))
		w.hint("orders", "a", "b", "b")
		w.publish()
		c := client(t, http2)
		for range 50 {
			if got := askWith(t, c, at).Header.Get("Server-Name"); got != "a" {
				t.Fatalf("a call went to zone %s", got)
			}
		}
		w.endpoints(0, "orders", closedPort(t), calls(t, "b"), calls(t, "b"))
		w.hint("orders", "a", "b", "b")
		w.publish()
		for range 50 {
			if res := askWith(t, c, at); res.StatusCode != 200 || res.Header.Get("Server-Name") != "b" {
				t.Fatalf("got %d from %q after the endpoint of the zone has gone", res.StatusCode, res.Header.Get("Server-Name"))
			}
		}
	})
}

func TestSameZoneFirstInTCP(t *testing.T) {
	w := newWorld(t, nodeproxy.Config{})
	w.Zones[mesh.Name{Namespace: "weft", Name: "orders-abc"}] = "b"
	say := func(zone string) string {
		return tcpBackend(t, func(c *net.TCPConn) { _, _ = io.WriteString(c, zone) })
	}
	at := w.service("orders", "tcp", say("a"), say("b"))
	w.hint("orders", "a", "b")
	w.publish()
	for range 20 {
		if got, err := io.ReadAll(dial(t, at)); err != nil || string(got) != "b" {
			t.Fatalf("a connection went to zone %q, %v", got, err)
		}
	}
}
