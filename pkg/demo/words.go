package demo

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"syscall"
	"time"
)

// portOffset makes port 80 one that anybody may open.
const portOffset = 8000

// introduce says what is there before anything moves.
func (s *stage) introduce(listen netip.AddrPort) {
	out := s.config.Out
	fmt.Fprintf(out, "A service mesh on this machine: one caller, two versions of the service %q, and Weft between them.\n\n", service)
	fmt.Fprintf(out, "  caller ── DNS %s: %s is at %s\n", s.mesh.DNSAddr(), meshName, listen.Addr())
	fmt.Fprintf(out, "    └─ HTTP ─► mesh %s ─┬─► v1 (%s)  %s %s\n", listen, stable, s.instances[0].address(), s.instances[1].address())
	fmt.Fprintf(out, "    %*s       └─► v2 (%s)  %s %s\n\n", len(listen.String())+11, "", canary, s.instances[2].address(), s.instances[3].address())
	fmt.Fprintf(out, "%s holds a TrafficSplit that says which share of the calls v2, the canary, gets.\n", s.manifests.splitPath())
	fmt.Fprintf(out, "The demo edits that file, as you would with kubectl, and sends %d requests at each step.\n", s.config.Requests)
	fmt.Fprintf(out, "Call it yourself meanwhile, from another terminal:\n\n")
	fmt.Fprintf(out, "  curl --resolve %s:%d:%s http://%s:%d/\n\n", meshName, listen.Port(), listen.Addr(), meshName, listen.Port())
}

// conclude says what was seen and what to do next.
func (s *stage) conclude(total int) {
	out := s.config.Out
	fmt.Fprintf(out, "\nIt held: %d requests, none failed, and each version got the share that the TrafficSplit says.\n", total)
	fmt.Fprintf(out, "An edit was live at most %d ms after the file was written.\n",
		slices.Max(s.live).Round(time.Millisecond).Milliseconds())
	fmt.Fprint(out, "\nNext: the same with your own services, from YAML files: `weft local --manifests=FOLDER`.\n"+
		"README.md, \"A canary in five minutes\", goes through it, and then does it on a cluster.\n")
}

// freeRange finds 256 loopback addresses in which nobody listens on the demo's
// port, so that two demos can run at once. It begins at a place that n decides.
// Where the system has one loopback address only, the range is the zero value,
// and local mode finds free ports there.
func freeRange(n int) (netip.Prefix, error) {
	const first, count = 64, 60 << 8 // 127.64.0.0 to 127.123.255.0
	var last error
	for try := range 64 {
		at := (n*7 + try) % count
		address := netip.AddrFrom4([4]byte{127, byte(first + at>>8), byte(at), 0})
		listener, err := net.Listen("tcp", net.JoinHostPort(address.Next().String(), strconv.Itoa(80+portOffset)))
		if errors.Is(err, syscall.EADDRNOTAVAIL) {
			return netip.Prefix{}, nil
		}
		if err != nil {
			last = err
			continue
		}
		if err := listener.Close(); err != nil {
			return netip.Prefix{}, err
		}
		return netip.PrefixFrom(address, 24), nil
	}
	return netip.Prefix{}, fmt.Errorf("no free loopback addresses: %w", last)
}
