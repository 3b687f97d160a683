package telemetry

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

func pods(source, destination string) Call {
	return Call{
		Source:      Workload{Namespace: "front", Kind: "Deployment", Name: "web", Pod: source},
		Destination: Workload{Namespace: "shop", Kind: "Deployment", Name: "orders", Pod: destination},
		Service:     "orders", Namespace: "shop", Backend: "orders", Protocol: "http",
	}
}

// requests is what weft_requests_total shows, by source workload and code.
func requests(t *testing.T, p *Proxy) map[string]uint64 {
	t.Helper()
	out := map[string]uint64{}
	all, _, _ := p.sum()
	for set, s := range all {
		for _, n := range s.took {
			out[fmt.Sprint(set.call.Source.Name, " ", set.code)] += n
		}
	}
	return out
}

// TestLatenciesAreNearlyRight: the middle of a bucket is at most 1/32 off.
func TestLatenciesAreNearlyRight(t *testing.T) {
	for range 100_000 {
		d := time.Duration(rand.Int64N(int64(1) << (14 + rand.IntN(24))))
		b := bucketOf(d)
		off := (latencyOf(b) - d).Abs()
		if off > max(d/32, time.Microsecond) {
			t.Fatalf("%v is taken for %v, bucket %d", d, latencyOf(b), b)
		}
	}
	for b := range octaves * steps {
		if got := bucketOf(latencyOf(b)); got != b {
			t.Fatalf("bucket %d is %v, which is in %d", b, latencyOf(b), got)
		}
	}
	if b := bucketOf(time.Hour); b != octaves*steps-1 {
		t.Errorf("an hour is in %d", b)
	}
}

func TestSizesHaveTheirBuckets(t *testing.T) {
	for i, bound := range sizeBounds() {
		if at, over := sizeBucket(uint64(bound)), sizeBucket(uint64(bound)+1); at != i || over != i+1 {
			t.Errorf("%v is in %d, one more in %d; want %d and %d", bound, at, over, i, i+1)
		}
	}
}

// TestNothingIsLostBetweenProcessors counts from many goroutines at once, with
// scrapes in between.
func TestNothingIsLostBetweenProcessors(t *testing.T) {
	p := NewProxy(prometheus.NewRegistry(), ProxyConfig{})
	const each = 5000
	var all sync.WaitGroup
	for i := range 16 {
		all.Go(func() {
			lane := p.Lane()
			for n := range each {
				p.Flow(pods("web-1", fmt.Sprint(i%3))).Count(lane, &Outcome{Code: 200 + n%7, Took: time.Duration(n) * time.Microsecond})
				if n == i {
					p.tick()
					p.sum()
				}
			}
		})
	}
	all.Wait()
	sum := uint64(0)
	for _, n := range requests(t, p) {
		sum += n
	}
	if sum != 16*each {
		t.Errorf("%d of %d", sum, 16*each)
	}
	windowed := uint64(0)
	for _, row := range p.Traffic(LongestWindow).Rows {
		windowed += row.Success
	}
	if windowed != 16*each {
		t.Errorf("%d of %d in the window", windowed, 16*each)
	}
}

// TestTooManySeriesAreOther: over the limit nothing is lost and nothing grows.
func TestTooManySeriesAreOther(t *testing.T) {
	p := NewProxy(prometheus.NewRegistry(), ProxyConfig{Series: 100})
	for i := range 1000 {
		call := pods(fmt.Sprint("web-", i), "orders-1")
		call.Source.Name = fmt.Sprint("web-", i/2)
		f := p.Flow(call)
		f.Count(0, &Outcome{Code: 200})
		f.Count(0, &Outcome{Code: 404})
	}
	got, sum := requests(t, p), uint64(0)
	for _, n := range got {
		sum += n
	}
	if sum != 2000 || got["other 200"] < 900 || got["other 404"] < 900 {
		t.Errorf("%d requests, %d and %d other", sum, got["other 200"], got["other 404"])
	}
	if p.rows > 104 {
		t.Errorf("%d rows", p.rows)
	}
	pods, owners := 0, 0
	for _, row := range p.Traffic(time.Minute).Rows {
		if row.Source.Pod != "" {
			pods++
		} else if row.Source.Name != other {
			owners++
		}
	}
	if pods < 30 || owners < 5 {
		t.Errorf("%d rows with a pod, %d without", pods, owners)
	}
}

// TestPodsAreForgottenAndCountersNeverFall: what the pods' Flow counted goes on
// to the owners'; once the owner is gone its series are dropped.
func TestPodsAreForgottenAndCountersNeverFall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		living := Living{Workloads: map[[2]string]bool{{"front", "web"}: true, {"shop", "orders"}: true}, Services: map[[2]string]bool{{"shop", "orders"}: true}}
		p := NewProxy(prometheus.NewRegistry(), ProxyConfig{Live: func() Living { return living }})
		after := func(d time.Duration) {
			for end := time.Now().Add(d); time.Now().Before(end); p.tick() {
				wait(WindowStep)
			}
		}
		old, open := p.Flow(pods("web-1", "orders-1")), p.Connection(pods("web-1", "orders-2"))
		old.Count(0, &Outcome{Code: 200, Took: time.Second})
		old.Count(1, &Outcome{Code: 503, Took: time.Second})
		after(time.Minute)
		p.Flow(pods("web-2", "orders-1")).Count(0, &Outcome{Code: 200})
		for range 8 {
			after(time.Minute)
			if got := requests(t, p); got["web 200"] != 2 || got["web 503"] != 1 {
				t.Fatalf("%v", got)
			}
		}
		if !old.Retired() || len(p.flows) != 2 { // the owners' and the one with an open connection
			t.Errorf("retired %v, %d flows", old.Retired(), len(p.flows))
		}
		for _, row := range p.Traffic(time.Minute).Rows {
			if row.Success+row.Failure > 0 {
				t.Errorf("what is folded is no traffic: %+v", row)
			}
		}
		open.Close()
		after(8 * time.Minute)
		if _, relayed, rows := p.sum(); len(relayed) != 1 || rows != 2 {
			t.Errorf("%d rows, connections of %d", rows, len(relayed))
		}
		delete(living.Workloads, [2]string{"shop", "orders"})
		after(8 * time.Minute)
		if got := requests(t, p); len(got) != 0 || p.rows != 0 || len(p.flows) != 0 {
			t.Errorf("left: %v, %d rows", got, p.rows)
		}
	})
}

// wait lets the time of a synctest bubble pass.
func wait(d time.Duration) { <-time.After(d) }

// TestWindows: what left the window is gone from it, what came since the last
// tick is in it.
func TestWindows(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := NewProxy(prometheus.NewRegistry(), ProxyConfig{})
		f := p.Flow(pods("web-1", "orders-1"))
		for second := range 90 { // one request each second, which takes as many milliseconds
			code, grpc := 200, uint8(0)
			switch second % 10 {
			case 0:
				code = 500
			case 5:
				grpc = 15
			}
			f.Count(0, &Outcome{Code: code, GRPC: grpc, Took: time.Duration(second) * time.Millisecond, Sent: 10})
			wait(time.Second)
			if second%2 == 1 {
				p.tick()
			}
		}
		f.Count(0, &Outcome{Code: 200, Took: 90 * time.Millisecond})
		for window, want := range map[time.Duration]Row{
			30 * time.Second: {Success: 25, Failure: 6},
			time.Minute:      {Success: 49, Failure: 12},
			time.Hour:        {Success: 49, Failure: 12},
		} {
			traffic := p.Traffic(window)
			row := traffic.Rows[0]
			if row.Success != want.Success || row.Failure != want.Failure || traffic.Seconds != min(window, time.Minute).Seconds() {
				t.Errorf("%v: %d and %d in %v s; want %d and %d", window, row.Success, row.Failure, traffic.Seconds, want.Success, want.Failure)
			}
		}
		row := p.Traffic(30 * time.Second).Rows[0]
		for share, want := range map[float64]time.Duration{0.5: 75 * time.Millisecond, 0.99: 90 * time.Millisecond} {
			if got := row.Latencies.Quantile(share); (got - want).Abs() > want/32 {
				t.Errorf("%v: %v; want %v", share, got, want)
			}
		}
		for range 40 {
			wait(WindowStep)
			p.tick()
		}
		if rows := p.Traffic(time.Minute).Rows; len(rows) != 0 || len(f.window.slots) != 0 {
			t.Errorf("left: %+v, %d slots", rows, len(f.window.slots))
		}
	})
}

// TestRefusedConnectionsFail: connections that open are successes, those that are
// refused failures of the same row, and neither has a latency.
func TestRefusedConnectionsFail(t *testing.T) {
	for _, protocol := range []string{"tcp", "udp"} {
		p, call := NewProxy(prometheus.NewRegistry(), ProxyConfig{}), pods("web-1", "orders-1")
		call.Protocol = protocol
		p.Connection(call).Close()
		for range 3 {
			p.NotOpened(call, "connect-failed")
		}
		rows := p.Traffic(time.Minute).Rows
		if len(rows) != 1 || rows[0].Success != 1 || rows[0].Failure != 3 || rows[0].Open != 0 || len(rows[0].Latencies) != 0 {
			t.Errorf("%s: %+v", protocol, rows)
		}
	}
	(*Proxy)(nil).NotOpened(Call{}, "connect-failed")
}

func TestMerge(t *testing.T) {
	a, b := Latencies{{1, 1}, {3, 2}, {9, 1}}, Latencies{{2, 5}, {3, 1}}
	if got := fmt.Sprint(a.Merge(b), b.Merge(nil), Latencies(nil).Merge(a), Latencies(nil).Quantile(0.5)); got != "[{1 1} {2 5} {3 3} {9 1}] [{2 5} {3 1}] [{1 1} {3 2} {9 1}] 0s" {
		t.Error(got)
	}
}

func BenchmarkCount(b *testing.B) {
	p := NewProxy(prometheus.NewRegistry(), ProxyConfig{})
	b.RunParallel(func(pb *testing.PB) {
		f, lane := p.Flow(pods("web-1", "orders-1")), p.Lane()
		o := Outcome{Code: 200, Took: 300 * time.Microsecond, First: 280 * time.Microsecond, Received: 10, Sent: 100}
		for pb.Next() {
			f.Count(lane, &o)
		}
	})
}
