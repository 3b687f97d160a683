package http1_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/weft-mesh/weft/pkg/nodeproxy/http1"
	"github.com/weft-mesh/weft/pkg/nodeproxy/limits"
)

// What a hostile endpoint answers, as raw bytes. want is what the client gets
// before the answer to its next request on the same connection; empty means a
// 502 that explains itself, and broken an answer that is visibly cut off.
const broken = "broken"

func TestHostileBackends(t *testing.T) {
	const ok = "HTTP/1.1 200 OK\r\n"
	for _, test := range []struct{ row, answer, want string }{
		{"B10 both lengths", ok + "Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", ""},
		{"B10 two lengths", ok + "Content-Length: 1\r\nContent-Length: 2\r\n\r\nab", ""},
		{"B10 bad length", ok + "Content-Length: +1\r\n\r\na", ""},
		{"B10 unknown coding", ok + "Transfer-Encoding: gzip\r\n\r\na", ""},
		{"B10 chunked in HTTP/1.0", "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", ""},
		{"B10 status 099", "HTTP/1.1 099 X\r\nContent-Length: 0\r\n\r\n", ""},
		{"B10 status 000", "HTTP/1.1 000 X\r\nContent-Length: 0\r\n\r\n", ""},
		{"B10 status 20", "HTTP/1.1 20 X\r\nContent-Length: 0\r\n\r\n", ""},
		{"B10 status 2000", "HTTP/1.1 2000 X\r\nContent-Length: 0\r\n\r\n", ""},
		{"B10 no version", "200 OK\r\nContent-Length: 0\r\n\r\n", ""},
		{"B10 version 2", "HTTP/2.0 200 OK\r\nContent-Length: 0\r\n\r\n", ""},
		{"B10 control in the reason", "HTTP/1.1 200 O\x00K\r\nContent-Length: 0\r\n\r\n", ""},
		{"B10 bare LF", "HTTP/1.1 200 OK\nContent-Length: 0\n\n", ""},
		{"B10 half a head", "HTTP/1.1 200 OK\r\nConte", ""},
		{"B10 nothing", "", ""},
		{"B10 bytes after the length", ok + "Content-Length: 1\r\n\r\naHTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison", ok + "Content-Length: 1\r\n\r\na"},
		{"B10 body of a 204", "HTTP/1.1 204 No Content\r\nContent-Length: 6\r\n\r\npoison", "HTTP/1.1 204 No Content\r\n\r\n"},
		{"B10 chunks of a 204", "HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "HTTP/1.1 204 No Content\r\n\r\n"},
		{"B10 body of a 304", "HTTP/1.1 304 Not Modified\r\nContent-Length: 6\r\n\r\npoison", "HTTP/1.1 304 Not Modified\r\nContent-Length: 6\r\n\r\n"},
		{"B10 body of a 205", "HTTP/1.1 205 Reset Content\r\nContent-Length: 6\r\n\r\npoison", "HTTP/1.1 205 Reset Content\r\nContent-Length: 0\r\n\r\n"},
		{"B10 chunks of a 205", "HTTP/1.1 205 Reset Content\r\nTransfer-Encoding: chunked\r\n\r\n6\r\npoison\r\n0\r\n\r\n", "HTTP/1.1 205 Reset Content\r\nContent-Length: 0\r\n\r\n"},
		{"B10 truncated length", ok + "Content-Length: 10\r\n\r\nabc", broken},
		{"B10 truncated chunk", ok + "Transfer-Encoding: chunked\r\n\r\n5\r\nab", broken},
		{"B10 truncated chunks", ok + "Transfer-Encoding: chunked\r\n\r\n5\r\nabcde\r\n", broken},
		{"B10 bad chunk", ok + "Transfer-Encoding: chunked\r\n\r\n0x5\r\nabcde\r\n0\r\n\r\n", ""},
		{"B10 no CRLF after a chunk", ok + "Transfer-Encoding: chunked\r\n\r\n1\r\nab\r\n0\r\n\r\n", ""},
		{"B10 bad chunk after much", ok + "Transfer-Encoding: chunked\r\n\r\n186a0\r\n" + strings.Repeat("a", 100000) + "\r\nx\r\n0\r\n\r\n", broken},
		{"B16 a tunnel without 101", ok + "Connection: Upgrade\r\nUpgrade: websocket\r\nContent-Length: 1\r\n\r\na", ok + "Content-Length: 1\r\n\r\na"},
		{"B16 101 that nobody asked for", "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n", ""},
		{"B26 long head", ok + "X-A: " + strings.Repeat("a", 70<<10) + "\r\nContent-Length: 0\r\n\r\n", ""},
		{"B26 many fields", ok + strings.Repeat("a: b\r\n", 200) + "Content-Length: 0\r\n\r\n", ""},
		{"B28 1,000 interim responses", strings.Repeat("HTTP/1.1 102 Processing\r\nX-A: "+strings.Repeat("a", 100)+"\r\n\r\n", 1000) + ok + "Content-Length: 0\r\n\r\n", ""},
	} {
		t.Run(test.row, func(t *testing.T) {
			o := newOrigin(t, replies(test.answer, true))
			w := newWorld(t, http1.Config{}, o.at)
			const next = "GET /next HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"
			got := w.ask("GET /a HTTP/1.1\r\nHost: h\r\n\r\n" + next)
			switch {
			case test.want == broken:
				if strings.Contains(got, "\r\n0\r\n\r\n") || strings.Count(got, "HTTP/1.1") != 1 {
					t.Errorf("the end was made up: %q", got)
				}
			case test.want == "":
				if s := statuses(got); len(s) != 2 || s[0] != "502" || !strings.Contains(got, "\r\nWeft-Reason: upstream-") {
					t.Errorf("got %v %.300q; want 502 twice", s, got)
				}
			case !strings.HasPrefix(got, test.want+"HTTP/1.1 "):
				t.Errorf("got\n%q; want\n%q first", got, test.want)
			}
			if test.want != broken && o.conns.Load() != 2 {
				t.Errorf("%d connections for two requests: one was used again", o.conns.Load())
			}
		})
	}
}

// What a client gets of a right answer, as raw bytes.
func TestWhatAClientGets(t *testing.T) {
	const ok = "HTTP/1.1 200 OK\r\n"
	for _, test := range []struct{ row, request, answer, want string }{
		{"B27 trailers", "GET / HTTP/1.1", ok + "Transfer-Encoding: chunked\r\nTrailer: Grpc-Status\r\n\r\n1;x\r\na\r\n0\r\nSet-Cookie: a\r\nContent-Length: 3\r\nGrpc-Status: 0\r\n\r\n",
			ok + "Transfer-Encoding: chunked\r\nTrailer: Grpc-Status\r\n\r\n1\r\na\r\n0\r\nGrpc-Status: 0\r\n\r\n"},
		{"B28 103 is passed on, 100 is not", "GET / HTTP/1.1", "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\nContent-Length: 4\r\n\r\n" + ok + "Content-Length: 1\r\n\r\na",
			"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" + ok + "Content-Length: 1\r\n\r\na"},
		{"B28 no 103 to HTTP/1.0", "GET / HTTP/1.0", "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" + ok + "Content-Length: 1\r\n\r\na",
			ok + "Content-Length: 1\r\nConnection: close\r\n\r\na"},
		{"B29 nothing is added", "GET / HTTP/1.1", ok + "content-length: 6\r\nX-Odd:  a \r\n\r\n<html>", ok + "content-length: 6\r\nX-Odd:  a \r\n\r\n<html>"},
		{"hop by hop", "GET / HTTP/1.1", ok + "Connection: keep-alive, X-A\r\nX-A: 1\r\nKeep-Alive: timeout=5\r\nWeft-Reason: lie\r\nContent-Length: 1\r\n\r\na", ok + "Content-Length: 1\r\n\r\na"},
		{"HEAD", "HEAD / HTTP/1.1", ok + "Content-Length: 10\r\n\r\n", ok + "Content-Length: 10\r\n\r\n"},
		{"HEAD of chunks", "HEAD / HTTP/1.1", ok + "Transfer-Encoding: chunked\r\n\r\n", ok + "Transfer-Encoding: chunked\r\n\r\n"},
		{"no reason", "GET / HTTP/1.1", "HTTP/1.1 200\r\nContent-Length: 1\r\n\r\na", "HTTP/1.1 200 \r\nContent-Length: 1\r\n\r\na"},
		{"an odd status", "GET / HTTP/1.1", "HTTP/1.1 799 Odd One\r\nContent-Length: 1\r\n\r\na", "HTTP/1.1 799 Odd One\r\nContent-Length: 1\r\n\r\na"},
		{"chunks lose their frames for HTTP/1.0", "GET / HTTP/1.0", ok + "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2;x\r\nde\r\n0\r\nX-A: 1\r\n\r\n", ok + "Connection: close\r\n\r\nabcde"},
		{"ended by the connection", "GET / HTTP/1.1", ok + "X-A: 1\r\n\r\nabc", ok + "X-A: 1\r\nConnection: close\r\n\r\nabc"},
		{"HTTP/1.0 endpoint", "GET / HTTP/1.1", "HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\na", ok + "Content-Length: 1\r\n\r\na"},
	} {
		t.Run(test.row, func(t *testing.T) {
			w := newWorld(t, http1.Config{}, newOrigin(t, replies(test.answer, true)).at)
			got := w.ask(test.request + "\r\nHost: h\r\n\r\n" + "GET /next HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
			if !strings.HasPrefix(got, test.want) {
				t.Errorf("got\n%q; want\n%q", got, test.want)
			}
			if strings.Contains(test.want, "Connection: close") && got != test.want {
				t.Errorf("more followed: %q", got[len(test.want):])
			}
		})
	}
}

// B06: a client's malformed body is the client's fault: the endpoint's
// connection goes, the endpoint is not failed.
func TestB06ABadChunkAfterTheHeadWasSent(t *testing.T) {
	o := newOrigin(t, mirror)
	w := newWorld(t, http1.Config{}, o.at)
	c := w.dial()
	_, _ = io.WriteString(c, "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabc")
	eventually(t, "the request reaches the endpoint", func() bool { return o.open.Load() == 1 })
	_, _ = io.WriteString(c, "deX\r\n")
	got, _ := io.ReadAll(c)
	if s := statuses(string(got)); len(s) != 1 || s[0] != "400" {
		t.Errorf("got %q; want 400", got)
	}
	eventually(t, "the endpoint's connection is closed", func() bool { return o.open.Load() == 0 })
	if got := w.ask("GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"); statuses(got)[0] != "200" {
		t.Errorf("then: %q", got)
	}
}

// B12: an answer before the body was sent is passed on, and both connections
// end with it.
func TestB12EarlyAnswer(t *testing.T) {
	for _, framing := range []string{"Content-Length: 10000000\r\n\r\n", "Transfer-Encoding: chunked\r\n\r\n5\r\nabcde\r\n"} {
		o := newOrigin(t, func(c *net.TCPConn, in *bufio.Reader) {
			line, _ := in.ReadString('\n')
			_, _ = fmt.Fprintf(c, "HTTP/1.1 413 Too Large\r\nContent-Length: %d\r\n\r\n%s", len(line), line)
			_, _ = io.Copy(io.Discard, in)
		})
		w := newWorld(t, http1.Config{}, o.at)
		got := w.ask("POST /a HTTP/1.1\r\nHost: h\r\n" + framing)
		if !strings.HasPrefix(got, "HTTP/1.1 413 Too Large\r\n") || !strings.Contains(got, "\r\nConnection: close\r\n") || !strings.HasSuffix(got, "POST /a HTTP/1.1\r\n") {
			t.Errorf("got %q", got)
		}
		eventually(t, "the endpoint's connection is closed", func() bool { return o.open.Load() == 0 })
		if got := w.ask("GET /b HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"); !strings.HasSuffix(got, "GET /b HTTP/1.1\r\n") {
			t.Errorf("the next request: %q", got)
		}
	}
}

// B11: the expectation is answered by the proxy before the body is there.
func TestB11TheBodyIsAskedFor(t *testing.T) {
	w := newWorld(t, http1.Config{}, newOrigin(t, mirror).at)
	for _, length := range []int{5, 200_000} {
		c := w.dial()
		in := bufio.NewReader(c)
		_, _ = fmt.Fprintf(c, "POST / HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: %d\r\nConnection: close\r\n\r\n", length)
		if line, err := in.ReadString('\n'); line != "HTTP/1.1 100 Continue\r\n" {
			t.Fatalf("got %q, %v", line, err)
		}
		_, _ = io.WriteString(c, strings.Repeat("a", length))
		rest, err := io.ReadAll(in)
		if err != nil || !strings.HasPrefix(string(rest), "\r\nHTTP/1.1 200 OK\r\n") || !strings.HasSuffix(string(rest), strings.Repeat("a", length)) {
			t.Errorf("got %.200q, %v", rest, err)
		}
	}
}

// B49: a head and a body that do not come are not waited for for ever.
func TestB49SlowClients(t *testing.T) {
	for _, raw := range []string{"GET / HT", "GET / HTTP/1.1\r\nHost: h\r\n", "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\nabc",
		"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabc"} {
		w := newWorld(t, http1.Config{Limits: limits.Limits{HeadTimeout: 50 * time.Millisecond, BodyTimeout: 50 * time.Millisecond}}, newOrigin(t, mirror).at)
		if got := w.ask(raw); strings.Contains(got, "200") {
			t.Errorf("%q: got %q", raw, got)
		}
		eventually(t, "the connection is over", func() bool { return w.conns.Load() == 0 })
	}
}

// B54: what nobody foresaw costs one connection. A Service without a Snapshot
// is such a case: Current is required.
func TestB54AFaultCostsOneConnection(t *testing.T) {
	w := newWorld(t, http1.Config{}, newOrigin(t, mirror).at)
	kept := w.snapshot.Swap(nil)
	if got := w.ask("GET / HTTP/1.1\r\nHost: h\r\n\r\n"); got != "" {
		t.Errorf("got %q", got)
	}
	w.snapshot.Store(kept)
	if got := w.ask("GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"); statuses(got)[0] != "200" {
		t.Errorf("then: %q", got)
	}
}
