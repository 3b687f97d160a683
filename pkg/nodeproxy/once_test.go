package nodeproxy_test

import (
	"bufio"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/weft-mesh/weft/pkg/nodeproxy"
)

// register counts numbered requests where they arrive.
type register []atomic.Uint32

// met counts one, by the number that its path is.
func (r register) met(path string) {
	if n, err := strconv.Atoi(strings.TrimPrefix(path, "/")); err == nil && n >= 0 && n < len(r) {
		r[n].Add(1)
	}
}

// shortly is the while after which an impatient endpoint closes a connection.
func shortly() time.Duration { return time.Millisecond + rand.N(4*time.Millisecond) }

// impatient serves HTTP/1.1 and closes a connection that is idle for 1 to 5 ms.
func impatient(t *testing.T, arrived register) string {
	return tcpBackend(t, func(c *net.TCPConn) {
		in := bufio.NewReader(c)
		for {
			if _, err := in.Peek(1); err != nil {
				return
			}
			_ = c.SetDeadline(time.Now().Add(20 * time.Second))
			r, err := http.ReadRequest(in)
			if err != nil {
				return
			}
			if _, err := io.Copy(io.Discard, r.Body); err != nil {
				return
			}
			arrived.met(r.URL.Path)
			_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
			_ = c.SetReadDeadline(time.Now().Add(shortly()))
		}
	})
}

// impatientHTTP2 is impatient in HTTP/2: it says goodbye and closes.
func impatientHTTP2(t *testing.T, arrived register) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Protocols: protocols(true), IdleTimeout: shortly(), Handler: http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if _, err := io.Copy(io.Discard, r.Body); err == nil {
			arrived.met(r.URL.Path)
		}
	})}
	return serveOn(t, l, server)
}

// TestPostsArriveOnce makes numbered POSTs to endpoints that close idle
// connections after 1 to 5 ms: each is answered with 200 and arrives once. With
// WEFT_MUCH=1 they are a million for each way and with and without retries.
func TestPostsArriveOnce(t *testing.T) {
	posts := 3000
	if os.Getenv("WEFT_MUCH") != "" {
		posts = 1_000_000
	}
	for _, way := range []struct {
		name, protocol string
		http2          bool
		endpoint       func(*testing.T, register) string
	}{
		{"http1", "http", false, impatient},
		{"http2", "http", true, impatientHTTP2},
		{"translated", "h2c", false, impatientHTTP2},
	} {
		for _, attempts := range []string{"0", "3"} {
			t.Run(way.name+"/attempts="+attempts, func(t *testing.T) {
				w, arrived := newWorld(t, nodeproxy.Config{}), make(register, posts)
				var endpoints []string
				for range 4 {
					endpoints = append(endpoints, way.endpoint(t, arrived))
				}
				at := w.service("orders", way.protocol, endpoints...)
				w.annotate("orders", "retry-attempts", attempts)
				w.publish()
				began := time.Now()
				lost := postAll(t, client(t, way.http2), at, posts)
				missing, doubled := 0, 0
				for i := range arrived {
					switch n := arrived[i].Load(); {
					case n == 0:
						missing++
					case n > 1:
						doubled++
					}
				}
				t.Logf("%d POSTs in %v", posts, time.Since(began).Round(time.Millisecond))
				if lost > 0 || missing > 0 || doubled > 0 {
					t.Errorf("of %d POSTs %d were not answered with 200, %d did not arrive, %d arrived more than once", posts, lost, missing, doubled)
				}
			})
		}
	}
}

// postAll makes POSTs in bursts, between which connections are idle for 0 to
// 6 ms, and returns how many were not answered with 200.
func postAll(t *testing.T, c *http.Client, at string, posts int) (lost int64) {
	const callers = 24
	c.Transport.(*http.Transport).MaxIdleConnsPerHost = callers
	work := make(chan int)
	var failed atomic.Int64
	var running sync.WaitGroup
	for range callers {
		running.Go(func() {
			for n := range work {
				res, err := c.Post(fmt.Sprint("http://", at, "/", n), "text/plain", strings.NewReader("an order"))
				if err != nil {
					failed.Add(1)
					t.Logf("POST %d: %v", n, err)
					continue
				}
				content, _ := io.ReadAll(res.Body)
				_ = res.Body.Close()
				if res.StatusCode != 200 {
					failed.Add(1)
					t.Logf("POST %d: %d %s", n, res.StatusCode, content)
				}
			}
		})
	}
	pause := time.NewTimer(0)
	for n := 0; n < posts; {
		<-pause.C
		for range min(1+rand.IntN(10*callers), posts-n) {
			work <- n
			n++
		}
		pause.Reset(rand.N(6 * time.Millisecond))
	}
	close(work)
	running.Wait()
	return failed.Load()
}
