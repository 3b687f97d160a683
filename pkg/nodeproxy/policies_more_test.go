package nodeproxy_test

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/weft-mesh/weft/pkg/nodeproxy"
)

// askWith makes a request with header fields, as pairs of name and value.
func askWith(t *testing.T, c *http.Client, at string, pairs ...string) *http.Response {
	t.Helper()
	r, err := http.NewRequest(http.MethodGet, "http://"+at, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(pairs); i += 2 {
		r.Header.Add(pairs[i], pairs[i+1])
	}
	res, err := c.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	_, _ = io.Copy(io.Discard, res.Body)
	_ = res.Body.Close()
	return res
}

// calls answers with a name in the header Server-Name.
func calls(t *testing.T, name string) string {
	return backend(t, func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Server-Name", name) })
}

func TestHeadersAreEdited(t *testing.T) {
	each(t, policyVersions, func(t *testing.T, http2 bool) {
		w := newWorld(t, nodeproxy.Config{})
		seen := make(chan http.Header, 1)
		at := w.service("orders", "http", backend(t, func(w http.ResponseWriter, r *http.Request) {
			seen <- r.Header.Clone()
			w.Header().Set("Server", "secret/1.2")
			w.Header().Set("Cache-Control", "private")
			_, _ = io.WriteString(w, "hello")
		}))
		w.annotate("orders",
			"request-headers-set", "x-team: shop\nx-zone: a", "request-headers-add", "x-via: weft", "request-headers-remove", "X-Debug, x-trace",
			"response-headers-set", "cache-control: no-store", "response-headers-add", "x-mesh: weft", "response-headers-remove", "server")
		w.publish()
		res := askWith(t, client(t, http2), at, "X-Team", "mine", "X-Via", "me", "X-Debug", "1", "X-Other", "stays")
		got := <-seen
		for name, want := range map[string]string{"X-Team": "[shop]", "X-Zone": "[a]", "X-Via": "[me weft]", "X-Debug": "[]", "X-Other": "[stays]"} {
			if have := fmt.Sprint(got.Values(name)); have != want {
				t.Errorf("the endpoint saw %s: %s; want %s", name, have, want)
			}
		}
		for name, want := range map[string]string{"Server": "[]", "Cache-Control": "[no-store]", "X-Mesh": "[weft]", "Content-Length": "[5]"} {
			if have := fmt.Sprint(res.Header.Values(name)); have != want {
				t.Errorf("the client saw %s: %s; want %s", name, have, want)
			}
		}
	})
}

func TestSizesAreBounded(t *testing.T) {
	each(t, policyVersions, func(t *testing.T, http2 bool) {
		w := newWorld(t, nodeproxy.Config{})
		var met atomic.Int64
		at := w.service("orders", "http", backend(t, func(_ http.ResponseWriter, r *http.Request) {
			met.Add(1)
			_, _ = io.Copy(io.Discard, r.Body)
		}))
		w.annotate("orders", "max-body", "1000", "max-headers", "2000")
		w.publish()
		c := client(t, http2)
		if res := askWith(t, c, at, "X-Large", strings.Repeat("x", 2000)); res.StatusCode != 431 || res.Header.Get("Weft-Reason") != "too-large" {
			t.Errorf("large headers got %d %v", res.StatusCode, res.Header)
		}
		if met.Load() != 0 {
			t.Error("large headers reached the endpoint")
		}
		for _, test := range []struct{ size, status int }{{1000, 200}, {1001, 413}, {100_000, 413}} {
			for _, body := range []io.Reader{strings.NewReader(strings.Repeat("x", test.size)), io.LimitReader(zeros{}, int64(test.size))} {
				res, err := c.Post("http://"+at, "text/plain", body)
				if err != nil {
					t.Errorf("%T of %d bytes: %v", body, test.size, err)
					continue
				}
				_ = res.Body.Close()
				if res.StatusCode != test.status {
					t.Errorf("%T of %d bytes got %d; want %d", body, test.size, res.StatusCode, test.status)
				}
			}
		}
	})
}

type zeros struct{}

func (zeros) Read(b []byte) (int, error) { return len(b), nil }

func TestStickyCookies(t *testing.T) {
	each(t, policyVersions, func(t *testing.T, http2 bool) {
		w := newWorld(t, nodeproxy.Config{})
		endpoints := []string{calls(t, "a"), calls(t, "b"), calls(t, "c"), calls(t, "d")}
		at := w.service("orders", "http", endpoints...)
		w.annotate("orders", "sticky-cookie", "pin")
		w.publish()
		c := client(t, http2)
		first := askWith(t, c, at)
		if len(first.Cookies()) != 1 || first.Cookies()[0].Name != "pin" {
			t.Fatalf("the first answer sets %v", first.Cookies())
		}
		pin, name := "pin="+first.Cookies()[0].Value, first.Header.Get("Server-Name")
		for i := range 20 {
			if i == 10 {
				w.publish()
			}
			again := askWith(t, c, at, "Cookie", "other=1; "+pin)
			if got := again.Header.Get("Server-Name"); got != name || len(again.Cookies()) != 0 {
				t.Fatalf("the client came to %s, %v; want %s", got, again.Cookies(), name)
			}
		}
	})
}

func TestHeadersSteer(t *testing.T) {
	each(t, policyVersions, func(t *testing.T, http2 bool) {
		w := newWorld(t, nodeproxy.Config{})
		at := w.service("orders", "http", calls(t, "a"), calls(t, "b"), calls(t, "c"))
		w.annotate("orders", "load-balancer", "ring-hash", "load-balancer-by", "header:X-User", "ratelimit-average", "4", "ratelimit-period", "1h", "ratelimit-by", "header:X-User")
		w.publish()
		c := client(t, http2)
		met := map[string]bool{}
		for user := range 20 {
			name := askWith(t, c, at, "X-User", fmt.Sprint(user)).Header.Get("Server-Name")
			for range 3 {
				if again := askWith(t, c, at, "X-User", fmt.Sprint(user)).Header.Get("Server-Name"); again != name {
					t.Fatalf("user %d came to %s and to %s", user, name, again)
				}
			}
			if res := askWith(t, c, at, "X-User", fmt.Sprint(user)); res.StatusCode != 429 {
				t.Errorf("user %d got %d for the fifth call; want 429", user, res.StatusCode)
			}
			met[name] = true
		}
		if len(met) != 3 {
			t.Errorf("20 users came to %v", met)
		}
	})
}

func TestFailover(t *testing.T) {
	each(t, policyVersions, func(t *testing.T, http2 bool) {
		w := newWorld(t, nodeproxy.Config{})
		at := w.service("orders", "http", calls(t, "own"))
		w.service("backup", "http", calls(t, "backup"))
		w.annotate("orders", "failover", "backup", "outlier-consecutive-5xx", "1", "outlier-max-ejected", "100")
		w.publish()
		c := client(t, http2)
		if got := askWith(t, c, at).Header.Get("Server-Name"); got != "own" {
			t.Errorf("came to %q while its own endpoint is there", got)
		}
		var bad atomic.Int64
		for what, endpoints := range map[string][]string{"no endpoint": nil, "a closed port": {closedPort(t)}, "one that is ejected": {says(t, 500, &bad)}} {
			w.endpoints(0, "orders", endpoints...)
			w.publish()
			eventually(t, what+": the backup serves", func() bool { return askWith(t, c, at).Header.Get("Server-Name") == "backup" })
		}
	})
}

func TestMirror(t *testing.T) {
	each(t, policyVersions, func(t *testing.T, http2 bool) {
		for what, shadow := range map[string]func(*testing.T) string{
			"answers": func(t *testing.T) string { return backend(t, func(http.ResponseWriter, *http.Request) {}) },
			"stalls":  stalled,
			"is gone": closedPort,
			"is large": func(t *testing.T) string {
				return backend(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(make([]byte, 1<<20)) })
			},
		} {
			t.Run(what, func(t *testing.T) { mirrors(t, http2, shadow) })
		}
	})
}

// mirrors makes calls of which copies go to two endpoints: a good one and
// another.
func mirrors(t *testing.T, http2 bool, shadow func(*testing.T) string) {
	w := newWorld(t, nodeproxy.Config{})
	bodies, copies := make(chan string, 100), make(chan string, 100)
	at := w.service("orders", "http", backend(t, func(w http.ResponseWriter, r *http.Request) {
		content, _ := io.ReadAll(r.Body)
		bodies <- r.Method + string(content)
	}))
	then := shadow(t)
	w.service("shadow", "http", backend(t, func(w http.ResponseWriter, r *http.Request) {
		content, _ := io.ReadAll(r.Body)
		copies <- r.Method + string(content)
	}), then)
	w.annotate("orders", "mirror", "shadow")
	w.publish()
	c := client(t, http2)
	for i := range 20 {
		res, err := c.Post("http://"+at, "text/plain", strings.NewReader(fmt.Sprint(i)))
		if err != nil || res.StatusCode != 200 {
			t.Fatalf("the call got %v, %v", res, err)
		}
		_ = res.Body.Close()
		<-bodies
	}
	if got := <-copies; !strings.HasPrefix(got, "POST") || got == "POST" {
		t.Errorf("the copies' Service got %q", got)
	}
}

// A body whose length was not said is copied whole, as long as it is not large.
func TestMirrorOfABodyWithoutALength(t *testing.T) {
	each(t, policyVersions, func(t *testing.T, http2 bool) {
		w := newWorld(t, nodeproxy.Config{})
		copies := make(chan string, 1)
		at := w.service("orders", "http", backend(t, func(_ http.ResponseWriter, r *http.Request) { _, _ = io.Copy(io.Discard, r.Body) }))
		w.service("shadow", "http", backend(t, func(_ http.ResponseWriter, r *http.Request) {
			content, _ := io.ReadAll(r.Body)
			copies <- string(content)
		}))
		w.annotate("orders", "mirror", "shadow")
		w.publish()
		sent := strings.Repeat("0123456789", 5000)
		res, err := client(t, http2).Post("http://"+at, "text/plain", io.MultiReader(strings.NewReader(sent)))
		if err != nil || res.StatusCode != 200 {
			t.Fatalf("the call got %v, %v", res, err)
		}
		_ = res.Body.Close()
		if got := <-copies; got != sent {
			t.Errorf("%d bytes came as %d others", len(sent), len(got))
		}
	})
}

func TestFaultsOfSome(t *testing.T) {
	each(t, policyVersions, func(t *testing.T, http2 bool) {
		w := newWorld(t, nodeproxy.Config{})
		at := w.service("orders", "http", calls(t, "a"))
		w.annotate("orders", "fault-abort", "500", "fault-header", "X-Chaos")
		w.publish()
		c := client(t, http2)
		if plain, chaos := askWith(t, c, at).StatusCode, askWith(t, c, at, "x-chaos", "1").StatusCode; plain != 200 || chaos != 500 {
			t.Errorf("got %d without and %d with the header; want 200 and 500", plain, chaos)
		}
	})
}
