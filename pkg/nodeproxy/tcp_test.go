package nodeproxy_test

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"maps"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/weft-mesh/weft/pkg/nodeproxy"
)

// echo says back what it hears, then ends as the client did.
func echo(c *net.TCPConn) { _, _ = io.Copy(c, c) }

func TestTCPHalfCloseByTheClient(t *testing.T) {
	each(t, []string{"tcp", ""}, func(t *testing.T, protocol string) {
		w := newWorld(t, nodeproxy.Config{})
		at := w.service("db", protocol, tcpBackend(t, func(c *net.TCPConn) {
			content, _ := io.ReadAll(c) // needs the client's end
			_, _ = c.Write(bytes.ToUpper(content))
		}))
		w.publish()
		c := dial(t, at)
		if _, err := c.Write([]byte("\x00hello")); err != nil {
			t.Fatal(err)
		}
		_ = c.CloseWrite()
		if got, err := io.ReadAll(c); err != nil || string(got) != "\x00HELLO" {
			t.Errorf("protocol %q: got %q, %v", protocol, got, err)
		}
	})
}

func TestTCPHalfCloseByTheServer(t *testing.T) {
	each(t, []string{"tcp", ""}, func(t *testing.T, protocol string) {
		heard := make(chan string, 1)
		w := newWorld(t, nodeproxy.Config{})
		at := w.service("db", protocol, tcpBackend(t, func(c *net.TCPConn) {
			_, _ = io.WriteString(c, "bye")
			_ = c.CloseWrite()
			content, _ := io.ReadAll(c)
			heard <- string(content)
		}))
		w.publish()
		c := dial(t, at)
		if got, err := io.ReadAll(c); err != nil || string(got) != "bye" {
			t.Errorf("protocol %q: got %q, %v", protocol, got, err)
		}
		_, _ = io.WriteString(c, "still here")
		_ = c.CloseWrite()
		if got := <-heard; got != "still here" {
			t.Errorf("protocol %q: the server heard %q", protocol, got)
		}
	})
}

func TestTCPManyBytesBothWays(t *testing.T) {
	each(t, []time.Duration{0, time.Minute}, func(t *testing.T, idle time.Duration) {
		w := newWorld(t, nodeproxy.Config{TCPIdleTimeout: idle})
		at := w.service("db", "tcp", tcpBackend(t, echo))
		w.publish()
		sent := bytes.Repeat([]byte("0123456789abcde\n"), 1<<20) // 16 MiB: more than one piece
		c := dial(t, at)
		go func() {
			_, _ = c.Write(sent)
			_ = c.CloseWrite()
		}()
		got, err := io.ReadAll(c)
		if err != nil || !bytes.Equal(got, sent) {
			t.Fatalf("idle %v: %d bytes came back of %d, %v", idle, len(got), len(sent), err)
		}
		labels := map[string]string{"source_workload": "caller", "destination_service": "db.shop", "destination_backend": "db"}
		eventually(t, "bytes and connections are counted", func() bool {
			n := float64(len(sent))
			return w.count("weft_tcp_received_bytes_total", labels) == n && w.count("weft_tcp_sent_bytes_total", labels) == n &&
				w.count("weft_tcp_connections_opened_total", labels) == 1 && w.count("weft_tcp_connections_closed_total", labels) == 1
		})
	})
}

func TestTCPIdleTimeout(t *testing.T) {
	each(t, []string{"tcp", ""}, func(t *testing.T, protocol string) {
		w := newWorld(t, nodeproxy.Config{TCPIdleTimeout: 50 * time.Millisecond})
		at := w.service("db", protocol, tcpBackend(t, echo))
		w.publish()
		c := dial(t, at)
		if n, err := c.Read(make([]byte, 1)); n != 0 || errors.Is(err, os.ErrDeadlineExceeded) || err == nil {
			t.Errorf("protocol %q: an idle connection gave %d bytes, %v", protocol, n, err)
		}
	})
}

// A reset of either side is passed on as one: no broken stream looks complete.
func TestTCPResetIsPassedOn(t *testing.T) {
	server := make(chan error, 1)
	w := newWorld(t, nodeproxy.Config{})
	reads := w.service("reads", "tcp", tcpBackend(t, func(c *net.TCPConn) {
		_, _ = io.WriteString(c, "x")
		_, err := io.ReadAll(c)
		server <- err
	}))
	resets := w.service("resets", "tcp", tcpBackend(t, func(c *net.TCPConn) {
		_, _ = io.ReadFull(c, make([]byte, 1))
		_ = c.SetLinger(0)
	}))
	w.publish()
	c := dial(t, reads)
	_, _ = io.ReadFull(c, make([]byte, 1))
	_ = c.SetLinger(0)
	_ = c.Close()
	if err := <-server; !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("the server saw %v; want a reset", err)
	}
	c = dial(t, resets)
	_, _ = io.WriteString(c, "x")
	if _, err := io.ReadAll(c); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("the client saw %v; want a reset", err)
	}
}

func TestTCPRefusalsAreResets(t *testing.T) {
	endpoints := map[string][]string{"no-endpoints": nil, "connect-failed": {closedPort(t)}}
	each(t, slices.Collect(maps.Keys(endpoints)), func(t *testing.T, reason string) {
		w := newWorld(t, nodeproxy.Config{})
		at := w.service("db", "tcp", endpoints[reason]...)
		w.publish()
		c, err := net.Dial("tcp", at)
		if err == nil {
			_, err = c.Read(make([]byte, 1))
			_ = c.Close()
		}
		if !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("%s: got %v; want a reset", reason, err)
		}
		eventually(t, reason+" is counted", func() bool {
			return w.count("weft_refusals_total", map[string]string{"reason": reason}) == 1 &&
				w.count("weft_tcp_connections_refused_total", map[string]string{"destination_service": "db.shop", "source_workload": "caller", "response_flags": reason}) == 1
		})
	})
}

func TestTCPTriesOtherEndpoints(t *testing.T) {
	w := newWorld(t, nodeproxy.Config{})
	at := w.service("db", "tcp", closedPort(t), tcpBackend(t, echo), closedPort(t))
	w.publish()
	for range 20 {
		c := dial(t, at)
		_, _ = io.WriteString(c, "x")
		_ = c.CloseWrite()
		if got, err := io.ReadAll(c); err != nil || string(got) != "x" {
			t.Fatalf("got %q, %v", got, err)
		}
	}
}

// TestServerSpeaksFirst: the client says nothing until the server has. Before
// the sniff deadline is over it is not even connected.
func TestServerSpeaksFirst(t *testing.T) {
	w := newWorld(t, nodeproxy.Config{DetectTimeout: 20 * time.Millisecond})
	at := w.service("mail", "", tcpBackend(t, func(c *net.TCPConn) {
		_, _ = io.WriteString(c, "220 ready\r\n")
		echo(c)
	}))
	w.publish()
	c := dial(t, at)
	r := bufio.NewReader(c)
	if line, err := r.ReadString('\n'); err != nil || line != "220 ready\r\n" {
		t.Fatalf("got %q, %v", line, err)
	}
	// What looks like HTTP is not looked at any more.
	_, _ = io.WriteString(c, "GET / HTTP/1.1\r\n\r\n")
	_ = c.CloseWrite()
	if got, err := io.ReadAll(r); err != nil || string(got) != "GET / HTTP/1.1\r\n\r\n" {
		t.Errorf("got %q, %v", got, err)
	}
}

// TestALateClient is silent for longer than the sniff deadline, and so is the
// server. Its first bytes decide all the same: opaque ones use the connection
// that was made, HTTP does not.
func TestALateClient(t *testing.T) {
	var mu sync.Mutex
	var unused int
	connected := make(chan struct{}, 10)
	w := newWorld(t, nodeproxy.Config{DetectTimeout: time.Millisecond})
	at := w.service("any", "", tcpBackend(t, func(c *net.TCPConn) {
		connected <- struct{}{}
		r := bufio.NewReader(c)
		begin, err := r.Peek(1)
		switch {
		case err != nil:
			mu.Lock()
			unused++
			mu.Unlock()
		case begin[0] == 'G':
			if _, err := http.ReadRequest(r); err == nil {
				_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nhttp")
			}
		default:
			_, _ = io.Copy(c, r)
		}
	}))
	w.publish()
	c := dial(t, at)
	<-connected
	_, _ = io.WriteString(c, "\x00opaque")
	_ = c.CloseWrite()
	if got, err := io.ReadAll(c); err != nil || string(got) != "\x00opaque" {
		t.Errorf("opaque: got %q, %v", got, err)
	}
	c = dial(t, at)
	<-connected
	_, _ = io.WriteString(c, "G")
	_, _ = io.WriteString(c, "ET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
	if got, err := io.ReadAll(c); err != nil || !strings.HasSuffix(string(got), "http") {
		t.Errorf("HTTP: got %q, %v", got, err)
	}
	eventually(t, "the connection made for nothing is closed", func() bool {
		mu.Lock()
		defer mu.Unlock()
		return unused == 1
	})
}

// TestByteByByte: it does not matter in which pieces bytes come.
func TestByteByByte(t *testing.T) {
	w := newWorld(t, nodeproxy.Config{})
	at := w.service("any", "", backend(t, func(w http.ResponseWriter, r *http.Request) { _, _ = io.Copy(w, r.Body) }))
	raw := w.service("raw", "", tcpBackend(t, echo))
	w.publish()
	ask := func(at, bytes string) string {
		c := dial(t, at)
		_ = c.SetNoDelay(true)
		for i := range len(bytes) {
			_, _ = io.WriteString(c, bytes[i:i+1])
		}
		got, err := bufio.NewReader(c).ReadString('!')
		if err != nil {
			t.Error(err)
		}
		return got
	}
	if got := ask(at, "POST /x HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nab!"); !strings.HasPrefix(got, "HTTP/1.1 200 OK") || !strings.HasSuffix(got, "ab!") {
		t.Errorf("HTTP: got %q", got)
	}
	// They begin like a method, and like the preface of HTTP/2, and are neither.
	for _, s := range []string{"QUIT\r\n!", "PRIVMSG #a :b!"} {
		if got := ask(raw, s); got != s {
			t.Errorf("%q: got %q", s, got)
		}
	}
}

// TestBeginsLikeHTTPAndStops: what could still become HTTP is passed on as it
// is when nothing follows.
func TestBeginsLikeHTTPAndStops(t *testing.T) {
	w := newWorld(t, nodeproxy.Config{DetectTimeout: 5 * time.Millisecond})
	at := w.service("raw", "", tcpBackend(t, echo))
	w.publish()
	c := dial(t, at)
	_, _ = io.WriteString(c, "HELLO")
	got := make([]byte, 5)
	if _, err := io.ReadFull(c, got); err != nil || string(got) != "HELLO" {
		t.Errorf("got %q, %v", got, err)
	}
}

// TestConnectionsAreSharedOutExactly: connections rotate as requests do.
func TestConnectionsAreSharedOutExactly(t *testing.T) {
	var v1, v2 atomic.Int32
	w := newWorld(t, nodeproxy.Config{})
	count := func(n *atomic.Int32) func(*net.TCPConn) {
		return func(c *net.TCPConn) { n.Add(1); _, _ = io.WriteString(c, "x") }
	}
	w.service("v1", "tcp", tcpBackend(t, count(&v1)))
	w.service("v2", "tcp", tcpBackend(t, count(&v2)))
	at := w.service("db", "tcp")
	w.split("db", map[string]int64{"v1": 75, "v2": 25})
	w.publish()
	for range 40 {
		_, _ = io.ReadAll(dial(t, at))
	}
	if v1.Load() != 30 || v2.Load() != 10 {
		t.Errorf("40 connections were shared out as %d and %d; want 30 and 10", v1.Load(), v2.Load())
	}
}
