package nodeproxy_test

import (
	"context"
	"io"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/weft-mesh/weft/pkg/nodeproxy"
)

// load makes so many requests by twenty callers and tells how many succeeded
// within a second.
func load(t *testing.T, c *http.Client, at string, requests int) (fine int) {
	t.Helper()
	var left, good atomic.Int64
	left.Store(int64(requests))
	var callers sync.WaitGroup
	for range 20 {
		callers.Go(func() {
			for left.Add(-1) >= 0 {
				if inTime(c, at) {
					good.Add(1)
				}
			}
		})
	}
	callers.Wait()
	return int(good.Load())
}

func inTime(c *http.Client, at string) bool {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+at, http.NoBody)
	if err != nil {
		return false
	}
	res, err := c.Do(r)
	if err != nil {
		return false
	}
	defer res.Body.Close()
	_, err = io.Copy(io.Discard, res.Body)
	return err == nil && res.StatusCode == 200
}

// One of ten endpoints stalls for good. Round robin alone would lose a tenth of
// the calls for a second each.
func TestOneOfTenStalls(t *testing.T) {
	each(t, policyVersions, func(t *testing.T, http2 bool) {
		w := newWorld(t, nodeproxy.Config{})
		var met atomic.Int64
		endpoints := []string{stalled(t)}
		for range 9 {
			endpoints = append(endpoints, says(t, 200, &met))
		}
		at := w.service("orders", "http", endpoints...)
		w.annotate("orders", "per-try-timeout", "250ms", "retry-attempts", "3", "outlier-consecutive-gateway", "3")
		w.publish()
		const requests = 4000
		if fine := load(t, client(t, http2), at, requests); fine < requests*999/1000 {
			t.Errorf("%d of %d calls succeeded within a second; want 99.9 %%", fine, requests)
		}
	})
}

// One of ten endpoints answers 500 at once, so that it looks like the fastest.
func TestOneOfTenFailsFast(t *testing.T) {
	each(t, policyVersions, func(t *testing.T, http2 bool) {
		w := newWorld(t, nodeproxy.Config{})
		var bad, good atomic.Int64
		endpoints := []string{says(t, 500, &bad)}
		for range 9 {
			endpoints = append(endpoints, says(t, 200, &good))
		}
		at := w.service("orders", "http", endpoints...)
		w.annotate("orders", "outlier-consecutive-5xx", "5")
		w.publish()
		c := client(t, http2)
		load(t, c, at, 1000)
		const requests = 4000
		if fine := load(t, c, at, requests); fine < requests*995/1000 {
			t.Errorf("%d of %d calls succeeded once the endpoint was known; want 99.5 %%", fine, requests)
		}
	})
}
