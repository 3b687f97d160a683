package kube

import (
	"fmt"
	"strings"
	"testing"
	"unsafe"

	"github.com/weft-mesh/weft/pkg/mesh"
	"k8s.io/client-go/tools/cache"
)

func serviceReading(n, uid string) reading {
	ref := mesh.Ref{Kind: "Service", Namespace: "shop", Name: n, UID: uid}
	return reading{ref: ref, piece: servicePiece{Ref: ref}}
}

func TestLedgerTellsDifferencesOnly(t *testing.T) {
	l, in := newLedger(), mesh.NewInputs()
	step := func(edits []edit, want int) {
		t.Helper()
		if len(edits) != want {
			t.Errorf("got %d edits, want %d: %+v", len(edits), want, edits)
		}
		for _, e := range edits {
			e.apply(in)
		}
	}
	step(l.replace([]reading{serviceReading("a", "1"), serviceReading("b", "1")}), 2)
	step(l.replace([]reading{serviceReading("b", "1"), serviceReading("a", "1")}), 0)
	step(l.put(serviceReading("a", "1")), 0)
	step(l.put(serviceReading("a", "2")), 1)
	step(l.drop(key{kind: "Service", name: name("nobody")}), 0)
	step(l.put(reading{ref: mesh.Ref{Kind: "Service", Namespace: "shop", Name: "nothing"}}), 0)
	step(l.replace([]reading{serviceReading("a", "2"), serviceReading("c", "1")}), 2)
	if !has("a", "c")(in) {
		t.Errorf("got %+v", in.Services)
	}
	step(l.put(malformed(mesh.Ref{Kind: "Service", Namespace: "shop", Name: "a", UID: "2"}, cache.ErrZeroLengthDeltasObject)), 1)
	if !has("a", "c")(in) || len(in.Problems) != 1 {
		t.Errorf("got %+v, want the problem and what stood", in)
	}
	step(l.drop(key{kind: "Service", name: name("a")}), 1)
	step(l.drop(key{kind: "Service", name: name("c")}), 1)
	if !has()(in) || len(in.Problems) != 0 || len(l.held) != 0 {
		t.Errorf("got %+v, want nothing", in)
	}
}

// A shadow Service that takes over keeps its frontend when the old one goes.
func TestFrontendsOutliveTheirPredecessor(t *testing.T) {
	frontend := func(n string, ip string) reading {
		return reading{
			ref:   mesh.Ref{Kind: "Service", Namespace: "weft", Name: n},
			piece: frontendPiece{service: name("orders"), frontend: mesh.Frontend{Addresses: inputsAddresses(ip)}},
		}
	}
	l, in := newLedger(), mesh.NewInputs()
	for _, edits := range [][]edit{
		l.put(frontend("old", "10.96.0.1")), l.put(frontend("new", "10.96.0.2")), l.drop(keyOf(frontend("old", "").ref)),
	} {
		for _, e := range edits {
			e.apply(in)
		}
	}
	if got := in.Frontends[name("orders")].Addresses; len(got) != 1 || got[0] != addr("10.96.0.2") {
		t.Errorf("got %v, want the new address", got)
	}
}

func TestInternerSharesAndForgets(t *testing.T) {
	in := interner{}
	whole := strings.Repeat("x", 100)
	short := in.of(whole[:10])
	if unsafe.StringData(short) == unsafe.StringData(whole) {
		t.Error("a short name holds the long text that it was cut from")
	}
	if unsafe.StringData(in.of(whole[20:30])) != unsafe.StringData(short) {
		t.Error("equal names do not share their memory")
	}
	for i := range 3 * mostInterned {
		in.of(fmt.Sprint(i))
	}
	if len(in) > mostInterned {
		t.Errorf("got %d names, want at most %d", len(in), mostInterned)
	}
}
