package main

import (
	"math"
	"testing"

	"github.com/weft-mesh/weft/internal/console"
	"github.com/weft-mesh/weft/pkg/mesh"
	"github.com/weft-mesh/weft/pkg/telemetry"
)

// What several proxies counted adds up: counts, rates of windows of their own
// lengths, and latencies as if one had seen them all.
func TestCountsOfAllProxiesAddUp(t *testing.T) {
	row := func(seconds float64, success, failure uint64, latencies telemetry.Latencies) counted {
		return counted{telemetry.Row{
			Call:    telemetry.Call{Service: "orders", Namespace: "shop", Protocol: "http"},
			Success: success, Failure: failure, Latencies: latencies,
		}, seconds}
	}
	fast, slow := telemetry.Latencies{{Bucket: 100, Count: 90}}, telemetry.Latencies{{Bucket: 200, Count: 10}}
	tcp := counted{telemetry.Row{Call: telemetry.Call{Service: "orders", Namespace: "shop", Protocol: "tcp"}, Open: 7}, 10}
	sums := grouped([]counted{row(10, 85, 5, fast), row(5, 10, 0, slow), tcp}, (&statCommand{Kind: "svc"}).key)
	sum := sums[mesh.Name{Namespace: "shop", Name: "orders"}]
	m := sum.measured()
	if len(sums) != 1 || m.Success == nil || math.Abs(*m.Success-0.95) > 1e-9 || math.Abs(m.RPS-11) > 1e-9 || m.TCP != 7 {
		t.Errorf("%d sums, %+v", len(sums), m)
	}
	if m.P50Ms <= 0 || m.P99Ms <= m.P50Ms || m.P95Ms != m.P99Ms {
		t.Errorf("latencies %v %v %v", m.P50Ms, m.P95Ms, m.P99Ms)
	}
	none := (&stats{}).measured()
	if cells := none.cells(&console.Printer{}); cells[0] != "-" || cells[2] != "-" || cells[5] != "0" {
		t.Errorf("without calls: %q", cells)
	}
}

func TestFromAndToNameWorkloadsPodsAccountsAndNamespaces(t *testing.T) {
	call := telemetry.Call{
		Source:      telemetry.Workload{Namespace: "shop", Name: "web", Pod: "web-1", Account: "browser"},
		Destination: telemetry.Workload{Namespace: "bank", Name: "orders-v1", Pod: "orders-v1-x"},
		Service:     "orders", Namespace: "shop",
	}
	for _, test := range []struct {
		from, to string
		want     bool
	}{
		{"", "", true},
		{"shop", "", true}, {"shop/web", "", true}, {"shop/web-1", "", true}, {"shop/browser", "", true},
		{"bank", "", false}, {"shop/orders", "", false}, {"shop/", "", false},
		{"", "bank", true}, {"", "bank/orders-v1", true}, {"", "bank/orders-v1-x", true}, {"", "shop/orders", true},
		{"", "shop/users", false}, {"shop", "shop", false},
	} {
		if got := (&Window{From: test.from, To: test.to}).means(&call); got != test.want {
			t.Errorf("--from=%s --to=%s: %v", test.from, test.to, got)
		}
	}
}
