package shadow

import (
	"maps"
	"math/rand/v2"
	"slices"
	"strconv"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/weft-mesh/weft/pkg/mesh"
)

// key is port 80/TCP of a Service of namespace shop.
func key(service string) portKey {
	return portKey{service: mesh.Name{Namespace: "shop", Name: service}, number: 80}
}

func keys(services ...string) []portKey {
	out := make([]portKey, len(services))
	for i, s := range services {
		out[i] = key(s)
	}
	return out
}

func TestPortsGoRoundAndTheFreedOnesComeLast(t *testing.T) {
	ports := PortRange{First: 10000, Last: 10003}
	now, without := allocate(ports, allocation{}, keys("a", "b"), nil)
	wantHeld(t, now, without, map[portKey]uint16{key("a"): 10000, key("b"): 10001})

	now, without = allocate(ports, now, keys("b", "c"), nil) // a's 10000 is free, and not given to c
	wantHeld(t, now, without, map[portKey]uint16{key("b"): 10001, key("c"): 10002})

	now, without = allocate(ports, now, keys("c"), nil)
	wantHeld(t, now, without, map[portKey]uint16{key("c"): 10002})

	now, without = allocate(ports, now, keys("c", "d", "e"), nil) // after the last one, the one freed first
	wantHeld(t, now, without, map[portKey]uint16{key("c"): 10002, key("d"): 10003, key("e"): 10000})

	now, without = allocate(ports, now, keys("c", "d", "e", "f", "g"), nil)
	wantHeld(t, now, without, map[portKey]uint16{key("c"): 10002, key("d"): 10003, key("e"): 10000, key("f"): 10001}, key("g"))
}

func TestAPortThatStandsIsNotGivenToAnother(t *testing.T) {
	ports := PortRange{First: 10000, Last: 10001}
	standing := map[uint16]mesh.Name{10000: {Namespace: "shop", Name: "gone"}}
	now, without := allocate(ports, allocation{}, keys("a", "b"), standing)
	wantHeld(t, now, without, map[portKey]uint16{key("a"): 10001}, key("b"))

	kept, without := allocate(ports, allocation{held: map[portKey]uint16{key("b"): 10000}}, keys("a", "b"), standing)
	wantHeld(t, kept, without, map[portKey]uint16{key("a"): 10001, key("b"): 10000})

	standing[10000] = key("c").service // in its own shadow: the same write takes it from its old port
	own, without := allocate(ports, allocation{}, keys("a", "c"), standing)
	wantHeld(t, own, without, map[portKey]uint16{key("a"): 10001, key("c"): 10000})
}

func TestOfTwoWithOnePortTheFirstWantedKeepsIt(t *testing.T) {
	record := allocation{held: map[portKey]uint16{key("old"): 10007, key("young"): 10007, key("odd"): 80}}
	now, without := allocate(PortRange{}.orDefault(), record, keys("old", "young", "odd"), nil)
	wantHeld(t, now, without, map[portKey]uint16{key("old"): 10007, key("young"): 10000, key("odd"): 10001})
}

func TestTheNodeProxysOwnPortsAreNeverGivenAway(t *testing.T) {
	now, without := allocate(PortRange{First: 14999, Last: 15021}, allocation{}, keys(letters(23)...), nil)
	if len(without) != 2 {
		t.Errorf("%d of 23 got no port; want 2", len(without))
	}
	for key, port := range now.held {
		if port == 15000 || port == 15020 {
			t.Errorf("%v got %d", key.service, port)
		}
	}
	if got := (PortRange{}).orDefault().size(); got != 22766 {
		t.Errorf("the default range has %d ports; want 22766", got)
	}
}

func TestTransportsDoNotShareANumber(t *testing.T) {
	tcp, udp := key("dns"), key("dns")
	udp.transport = mesh.UDP
	now, _ := allocate(PortRange{}.orDefault(), allocation{}, []portKey{tcp, udp}, nil)
	if now.held[tcp] == now.held[udp] {
		t.Errorf("both have %d", now.held[tcp])
	}
}

// FuzzAllocate walks a random life of Services and holds what must always be
// true: one port per key, in the range; a key that stays keeps its port; nobody
// goes without while a port is left; the last allocation is not edited.
func FuzzAllocate(f *testing.F) {
	f.Add(uint64(1), uint16(4))
	f.Add(uint64(7), uint16(60))
	f.Fuzz(func(t *testing.T, seed uint64, size uint16) {
		ports := PortRange{First: 14990, Last: 14990 + size%100}
		random := rand.New(rand.NewPCG(seed, 0))
		all := keys(letters(100)...)
		last := allocation{}
		for range 20 {
			random.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
			want := slices.Clone(all[:random.IntN(len(all))])
			before := copyOf(last)
			now, without := allocate(ports, last, want, nil)
			if diff := cmp.Diff(before, last, cmp.AllowUnexported(allocation{}, portKey{})); diff != "" {
				t.Fatalf("the last allocation was edited: %s", diff)
			}
			holds(t, ports, last, now, want)
			if len(now.held)+len(without) != len(want) {
				t.Fatalf("%d held and %d without of %d", len(now.held), len(without), len(want))
			}
			last = now
		}
	})
}

// letters are n names.
func letters(n int) []string {
	out := make([]string, n)
	for i := range out {
		out[i] = "s" + strconv.Itoa(i)
	}
	return out
}

func copyOf(a allocation) allocation {
	return allocation{held: maps.Clone(a.held), freed: slices.Clone(a.freed), next: a.next}
}

func wantHeld(t *testing.T, now allocation, without []portKey, held map[portKey]uint16, left ...portKey) {
	t.Helper()
	unexported := cmp.AllowUnexported(portKey{})
	if diff := cmp.Diff(held, now.held, unexported); diff != "" {
		t.Errorf("held: %s", diff)
	}
	if diff := cmp.Diff(left, without, unexported, cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("without: %s", diff)
	}
}

func holds(t *testing.T, ports PortRange, last, now allocation, want []portKey) {
	t.Helper()
	owner := map[uint16]portKey{}
	for _, k := range want {
		port, ok := now.held[k]
		if had, stays := last.held[k]; stays && had != port {
			t.Fatalf("%v moved from %d to %d", k, had, port)
		}
		if !ok {
			continue
		}
		if other, taken := owner[port]; taken {
			t.Fatalf("%v and %v both have %d", k, other, port)
		}
		if !ports.usable(port) {
			t.Fatalf("%v has %d, which no one may have", k, port)
		}
		owner[port] = k
	}
	if len(now.held) != min(len(want), ports.size()) {
		t.Fatalf("%d of %d have a port; the range has %d", len(now.held), len(want), ports.size())
	}
}
