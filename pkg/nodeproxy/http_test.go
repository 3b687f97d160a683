package nodeproxy_test

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/weft-mesh/weft/pkg/nodeproxy"
)

func TestHTTP(t *testing.T) {
	for _, protocol := range []string{"http", "http2", ""} {
		for _, http2 := range []bool{false, true} {
			t.Run(fmt.Sprintf("port %q, client HTTP/2 %v", protocol, http2), func(t *testing.T) {
				w := newWorld(t, nodeproxy.Config{})
				at := w.service("orders", protocol, backend(t, func(w http.ResponseWriter, r *http.Request) {
					fmt.Fprintf(w, "%s %s %s", r.Proto, r.Host, r.Header.Get("X-Forwarded-For"))
				}))
				w.publish()
				version := "HTTP/1.1"
				if http2 || protocol == "http2" {
					version = "HTTP/2.0"
				}
				want := version + " " + at + " 127.0.0.1"
				if res, got := get(t, client(t, http2), "http://"+at+"/"); res.StatusCode != 200 || got != want {
					t.Errorf("got %d %q; want 200 %q", res.StatusCode, got, want)
				}
			})
		}
	}
}

// raw sends bytes and returns what comes until the connection ends.
func raw(t *testing.T, at, request string) string {
	t.Helper()
	c := dial(t, at)
	if _, err := io.WriteString(c, request); err != nil {
		t.Fatal(err)
	}
	answer, err := io.ReadAll(c)
	if err != nil && !errors.Is(err, net.ErrClosed) && len(answer) == 0 {
		t.Fatal(err)
	}
	return string(answer)
}

// recorder is a server that keeps the head of the last request as it came, and
// answers each with the same bytes.
func recorder(t *testing.T, answer string) (at string, last func() string) {
	heads := make(chan string, 10)
	at = tcpBackend(t, func(c *net.TCPConn) {
		r := bufio.NewReader(c)
		var head strings.Builder
		for {
			line, err := r.ReadString('\n')
			if err != nil {
				return
			}
			head.WriteString(line)
			if line == "\r\n" {
				break
			}
		}
		heads <- head.String()
		_, _ = io.WriteString(c, answer)
		_ = c.CloseWrite()
		_, _ = io.Copy(io.Discard, r)
	})
	return at, func() string { return <-heads }
}

func TestARequestIsPassedOnAsItIs(t *testing.T) {
	const ok = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
	for _, test := range []struct{ name, sent, want string }{
		{"nothing is added but the client's address",
			"GET /a HTTP/1.1\r\nHost: orders.shop.mesh\r\nX-A: 1\r\nConnection: close\r\n\r\n",
			"GET /a HTTP/1.1\r\nHost: orders.shop.mesh\r\nX-A: 1\r\nX-Forwarded-For: 127.0.0.1\r\n\r\n"},
		{"path and query verbatim",
			"GET /a%2Fb/|\"/../%7e?a=1;b=2&c=%zz HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n",
			"GET /a%2Fb/|\"/../%7e?a=1;b=2&c=%zz HTTP/1.1\r\nHost: h\r\nX-Forwarded-For: 127.0.0.1\r\n\r\n"},
		{"two slashes", "GET //a HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n",
			"GET //a HTTP/1.1\r\nHost: h\r\nX-Forwarded-For: 127.0.0.1\r\n\r\n"},
		{"OPTIONS *", "OPTIONS * HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n",
			"OPTIONS * HTTP/1.1\r\nHost: h\r\nX-Forwarded-For: 127.0.0.1\r\n\r\n"},
		{"absolute form", "GET http://b/x HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
			"GET /x HTTP/1.1\r\nHost: b\r\nX-Forwarded-For: 127.0.0.1\r\n\r\n"},
		{"X-Forwarded-For is appended to, also when Connection names it",
			"GET / HTTP/1.1\r\nHost: h\r\nX-Forwarded-For: 1.1.1.1\r\nX-Forwarded-For: 2.2.2.2\r\nConnection: x-forwarded-for, close\r\n\r\n",
			"GET / HTTP/1.1\r\nHost: h\r\nX-Forwarded-For: 1.1.1.1, 2.2.2.2, 127.0.0.1\r\n\r\n"},
		{"what other proxies said of the request stays, not of the client", "GET / HTTP/1.1\r\nHost: h\r\nForwarded: for=a\r\nX-Forwarded-Proto: https\r\nConnection: close\r\n\r\n",
			"GET / HTTP/1.1\r\nHost: h\r\nX-Forwarded-Proto: https\r\nX-Forwarded-For: 127.0.0.1\r\n\r\n"},
		{"hop-by-hop headers go", "GET / HTTP/1.1\r\nHost: h\r\nKeep-Alive: 1\r\nProxy: x\r\nProxy-Connection: a\r\nTE: gzip\r\nX-Hop: 1\r\nConnection: x-hop, close\r\n\r\n",
			"GET / HTTP/1.1\r\nHost: h\r\nX-Forwarded-For: 127.0.0.1\r\n\r\n"},
		{"no upgrade but WebSocket", "GET / HTTP/1.1\r\nHost: h\r\nUpgrade: h2c\r\nHTTP2-Settings: AAA\r\nConnection: upgrade, http2-settings, close\r\n\r\n",
			"GET / HTTP/1.1\r\nHost: h\r\nX-Forwarded-For: 127.0.0.1\r\n\r\n"},
		{"HTTP/1.0 without a Host is told the Service", "GET / HTTP/1.0\r\n\r\n",
			"GET / HTTP/1.1\r\nHost: orders.shop\r\nX-Forwarded-For: 127.0.0.1\r\n\r\n"},
	} {
		t.Run(test.name, func(t *testing.T) {
			w := newWorld(t, nodeproxy.Config{})
			origin, last := recorder(t, ok)
			at := w.service("orders", "http", origin)
			w.publish()
			answer := raw(t, at, test.sent)
			if got := last(); got != test.want {
				t.Errorf("the endpoint got\n%q; want\n%q\nanswer %q", got, test.want, answer)
			}
		})
	}
}

func TestAnAnswerIsPassedOnAsItIs(t *testing.T) {
	w := newWorld(t, nodeproxy.Config{})
	const sent = "HTTP/1.1 207 Odd\r\nContent-Length: 6\r\nDate: Mon, 01 Jan 2024 00:00:00 GMT\r\nX-A: 1\r\nX-A: 2\r\n"
	origin, _ := recorder(t, sent+"Keep-Alive: timeout=5\r\nX-Hop: 1\r\nConnection: x-hop\r\n\r\n<html>")
	at := w.service("orders", "http", origin)
	w.publish()
	got := raw(t, at, "GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
	want := sent + "Connection: close\r\n\r\n<html>"
	if got != want {
		t.Errorf("got\n%q; want\n%q", got, want)
	}
}

func TestRefusedRequests(t *testing.T) {
	long := strings.Repeat("x", 70<<10)
	for _, test := range []struct{ name, sent, want string }{
		{"CONNECT", "CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\nGET / HTTP/1.1\r\nHost: h\r\n\r\n", "405"},
		{"TRACE", "TRACE / HTTP/1.1\r\nHost: h\r\n\r\n", "405"},
		{"GET *", "GET * HTTP/1.1\r\nHost: h\r\n\r\n", "400"},
		{"the preface of another version", "PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n", "400"},
		{"fragment", "GET /a#b HTTP/1.1\r\nHost: h\r\n\r\n", "400"},
		{"file URL", "GET file:///etc/passwd HTTP/1.1\r\nHost: h\r\n\r\n", "400"},
		{"no Host", "GET / HTTP/1.1\r\n\r\n", "400"},
		{"two lengths", "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab", "400"},
		{"unknown coding", "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: xchunked\r\n\r\n", "501"},
		{"bad chunk", "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", "400"},
		{"64 KiB of headers", "GET / HTTP/1.1\r\nHost: h\r\nX: " + long + "\r\n\r\n", "431"},
		{"unknown expectation", "GET / HTTP/1.1\r\nHost: h\r\nExpect: more\r\n\r\n", "417"},
	} {
		each(t, []string{"http", "http2"}, func(t *testing.T, port string) {
			w := newWorld(t, nodeproxy.Config{})
			at := w.service("orders", port, backend(t, func(w http.ResponseWriter, r *http.Request) { _, _ = io.Copy(io.Discard, r.Body) }))
			w.publish()
			got := raw(t, at, test.sent)
			if !strings.HasPrefix(got, "HTTP/1.1 "+test.want) && !strings.HasPrefix(got, "HTTP/1.0 "+test.want) || strings.Count(got, "HTTP/1.") > 1 {
				t.Errorf("%s: got %q; want one answer %s", test.name, got, test.want)
			}
		})
	}
}

// way is what a port and a client speak.
type way struct {
	port  string
	http2 bool // the client
}

// ways are the three that a request can go.
var ways = []way{{"http", false}, {"http", true}, {"http2", false}}

func TestStreamingBothWays(t *testing.T) {
	each(t, ways, func(t *testing.T, way way) {
		w := newWorld(t, nodeproxy.Config{})
		at := w.service("orders", way.port, backend(t, func(w http.ResponseWriter, r *http.Request) {
			_ = http.NewResponseController(w).EnableFullDuplex()
			line := bufio.NewReader(r.Body)
			for {
				s, err := line.ReadString('\n')
				if err != nil {
					return
				}
				_, _ = io.WriteString(w, s)
				_ = http.NewResponseController(w).Flush()
			}
		}))
		w.publish()
		in, feed := io.Pipe()
		r, _ := http.NewRequest(http.MethodPost, "http://"+at, in)
		go func() { _, _ = io.WriteString(feed, "0\n") }()
		res, err := client(t, way.http2).Do(r)
		if err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewReader(res.Body)
		for i := range 20 {
			if got, err := lines.ReadString('\n'); err != nil || got != fmt.Sprintln(i) {
				t.Fatalf("%v: line %d is %q, %v", way, i, got, err)
			}
			_, _ = io.WriteString(feed, fmt.Sprintln(i+1))
		}
		_ = feed.Close()
		_, _ = io.Copy(io.Discard, res.Body)
		_ = res.Body.Close()
	})
}

func TestTrailersBothWays(t *testing.T) {
	each(t, ways, func(t *testing.T, way way) {
		w := newWorld(t, nodeproxy.Config{})
		at := w.service("orders", way.port, backend(t, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Trailer", "X-Known")
			content, _ := io.ReadAll(r.Body)
			_, _ = w.Write(content)
			w.Header().Set("X-Known", r.Trailer.Get("X-Sum"))
			w.Header().Set(http.TrailerPrefix+"X-Late", "late")
		}))
		w.publish()
		r, _ := http.NewRequest(http.MethodPost, "http://"+at, io.MultiReader(strings.NewReader("abc")))
		r.Trailer = http.Header{"X-Sum": {"3"}}
		res, err := client(t, way.http2).Do(r)
		if err != nil {
			t.Fatal(err)
		}
		content, _ := io.ReadAll(res.Body)
		_ = res.Body.Close()
		if string(content) != "abc" || res.Trailer.Get("X-Known") != "3" || res.Trailer.Get("X-Late") != "late" {
			t.Errorf("%v: body %q, trailers %v", way, content, res.Trailer)
		}
	})
}

func TestLargeBodies(t *testing.T) {
	body := bytes.Repeat([]byte("0123456789abcdef"), 1<<16) // 1 MiB
	each(t, ways, func(t *testing.T, way way) {
		w := newWorld(t, nodeproxy.Config{})
		at := w.service("orders", way.port, backend(t, func(w http.ResponseWriter, r *http.Request) {
			content, _ := io.ReadAll(r.Body)
			_, _ = w.Write(content)
		}))
		w.publish()
		res, err := client(t, way.http2).Post("http://"+at, "application/octet-stream", bytes.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(res.Body)
		_ = res.Body.Close()
		if err != nil || !bytes.Equal(got, body) {
			t.Errorf("%v: %d bytes came back, %v", way, len(got), err)
		}
	})
}

func TestEarlyHintsAndContinue(t *testing.T) {
	each(t, []string{"http", "http2"}, earlyHintsAndContinue)
}

func earlyHintsAndContinue(t *testing.T, port string) {
	w := newWorld(t, nodeproxy.Config{})
	at := w.service("orders", port, backend(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Link", "</a>")
		w.WriteHeader(http.StatusEarlyHints)
		content, _ := io.ReadAll(r.Body)
		fmt.Fprintf(w, "%s %q", content, r.Header.Get("Expect"))
	}))
	w.publish()
	got := raw(t, at, "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\nExpect: 100-continue\r\nConnection: close\r\n\r\nabc")
	got = strings.ReplaceAll(got, "link:", "Link:")
	for _, want := range []string{"HTTP/1.1 100 Continue\r\n", "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n", "HTTP/1.1 200 OK\r\n", `abc ""`} {
		if !strings.Contains(got, want) {
			t.Errorf("%q lacks %q", got, want)
		}
	}
}
