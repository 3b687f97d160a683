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

// B10: an endpoint that sends a body after the head of an answer that has none
// answers nobody else with it, however soon the connection is used again.
func TestB10ALateBodyReachesNobody(t *testing.T) {
	for _, bodiless := range []string{"HEAD 200 OK", "GET 204 No Content", "GET 304 Not Modified"} {
		method, status, _ := strings.Cut(bodiless, " ")
		heard, sent := make(chan struct{}), make(chan struct{})
		o := newOrigin(t, func(c *net.TCPConn, in *bufio.Reader) {
			for {
				raw, _, err := readRaw(in)
				if err != nil {
					return
				}
				if !strings.Contains(raw, " /first ") {
					_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nright")
					continue
				}
				_, _ = io.WriteString(c, "HTTP/1.1 "+status+"\r\nContent-Length: 43\r\n\r\n")
				<-heard
				_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nwrong")
				sent <- struct{}{}
			}
		})
		w := newWorld(t, http1.Config{}, o.at)
		for range 20 {
			a := w.dial()
			_, _ = fmt.Fprintf(a, "%s /first HTTP/1.1\r\nHost: h\r\n\r\n", method)
			if got := make([]byte, 12); readFull(a, got) != nil {
				t.Fatal(bodiless, "no answer")
			}
			heard <- struct{}{}
			<-sent
			if got := w.ask("GET /second HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"); !strings.HasSuffix(got, "right") {
				t.Fatalf("%s: another client got %q", bodiless, got)
			}
			_ = a.Close()
		}
	}
}

// A second answer that nobody asked for must not become the next client's.
func TestB10ASecondAnswerReachesNobody(t *testing.T) {
	heard, sent := make(chan struct{}), make(chan struct{})
	o := newOrigin(t, func(c *net.TCPConn, in *bufio.Reader) {
		for {
			raw, _, err := readRaw(in)
			if err != nil {
				return
			}
			_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nright")
			if strings.Contains(raw, " /first ") {
				<-heard
				_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nwrong")
				sent <- struct{}{}
			}
		}
	})
	w := newWorld(t, http1.Config{}, o.at)
	for range 20 {
		a := w.dial()
		_, _ = fmt.Fprint(a, "GET /first HTTP/1.1\r\nHost: h\r\n\r\n")
		if got := make([]byte, 12); readFull(a, got) != nil {
			t.Fatal("no answer")
		}
		heard <- struct{}{}
		<-sent
		if got := w.ask("GET /second HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"); !strings.HasSuffix(got, "right") {
			t.Fatalf("another client got %q", got)
		}
		_ = a.Close()
	}
}

// B04: whitespace around the fields that frame a message is what parsers
// differ about: it is not passed on.
func TestB04FramingFieldsAreForwardedInOneForm(t *testing.T) {
	w := newWorld(t, http1.Config{}, newOrigin(t, mirror).at)
	for _, field := range []string{"Transfer-Encoding:\tchunked", "Transfer-Encoding: chunked\t", "transfer-encoding:  chunked", "Transfer-Encoding: chunked "} {
		got := w.ask("POST / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n" + field + "\r\n\r\n0\r\n\r\n")
		if !strings.Contains(got, "\r\nTransfer-Encoding: chunked\r\n") || strings.Contains(got, field+"\r\n") {
			t.Errorf("%q arrives in %q", field, got)
		}
	}
	for _, field := range []string{"Content-Length:\t3", "Content-Length: 3\t", "content-length:  3", "Content-Length: 3 "} {
		got := w.ask("POST / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n" + field + "\r\n\r\nabc")
		if !strings.Contains(got, "\r\nContent-Length: 3\r\n") || strings.Contains(got, field+"\r\n") {
			t.Errorf("%q arrives in %q", field, got)
		}
	}
}

// B36: a Host that can be cut into name and port in two ways is refused.
func TestB36HostsHaveOneMeaning(t *testing.T) {
	w := newWorld(t, http1.Config{}, newOrigin(t, mirror).at)
	for _, host := range []string{"h:80:90", "h:8x", ":80", "[::1", "::1", "[::1]x", "[[::1]]", "a]b", "[]"} {
		for _, head := range []string{"GET / HTTP/1.1\r\nHost: " + host, "GET http://" + host + "/ HTTP/1.1\r\nHost: h"} {
			if s := statuses(w.ask(head + "\r\nConnection: close\r\n\r\n")); len(s) != 1 || s[0] != "400" {
				t.Errorf("%q: %v", head, s)
			}
		}
	}
	for _, host := range []string{"h", "h:", "h:80", "[::1]", "[::1]:80", "127.0.0.1:80", "a.b.c."} {
		got := w.ask("GET / HTTP/1.1\r\nHost: " + host + "\r\nConnection: close\r\n\r\n")
		if !strings.Contains(got, "\r\nHost: "+host+"\r\n") {
			t.Errorf("%q: %q", host, got)
		}
	}
}

// What was read before the connection was handed over may be as long as a head.
func TestALongFirstReadIsKept(t *testing.T) {
	w := newWorld(t, http1.Config{}, newOrigin(t, mirror).at)
	near, far := tcpPair(t)
	head := "GET /long HTTP/1.1\r\nHost: h\r\nConnection: close\r\nX-Long: " + strings.Repeat("x", 30<<10) + "\r\n\r\n"
	w.open.Add(1)
	w.engine.Serve(http1.Conn{Socket: far, First: []byte(head), At: w.key, Ended: w.open.Done})
	got, err := io.ReadAll(near)
	if err != nil || !strings.Contains(string(got), "GET /long ") {
		t.Errorf("got %.200q, %v", got, err)
	}
}

// A body that comes a while after a head that was read before the hand-over is
// waited for, however long the engine has run.
func TestABodyAfterAFirstReadIsWaitedFor(t *testing.T) {
	const limit = time.Second
	w := newWorld(t, http1.Config{Limits: limits.Limits{BodyTimeout: limit}}, newOrigin(t, mirror).at)
	<-time.After(limit + limit/2)
	near, far := tcpPair(t)
	head := "POST /late HTTP/1.1\r\nHost: h\r\nConnection: close\r\nContent-Length: 3\r\n\r\n"
	w.open.Add(1)
	w.engine.Serve(http1.Conn{Socket: far, First: []byte(head), At: w.key, Ended: w.open.Done})
	<-time.After(limit / 4)
	_, _ = io.WriteString(near, "abc")
	got, err := io.ReadAll(near)
	if err != nil || !strings.Contains(string(got), "POST /late ") {
		t.Errorf("got %.200q, %v", got, err)
	}
}

// A reset that comes with the last bytes of requests, or right behind the
// answer, is never missed: no connection stays until its idle limit.
func TestAResetWithTheLastBytesIsSeen(t *testing.T) {
	w := newWorld(t, http1.Config{}, newOrigin(t, mirror).at)
	const request = "GET /a HTTP/1.1\r\nHost: h\r\n\r\n"
	for n := range much(10_000, 1_000) {
		c := dial(t, w.at)
		if n%4 > 1 {
			_, _ = io.WriteString(c, request)
			_ = readFull(c, make([]byte, 15))
		}
		_, _ = io.WriteString(c, strings.Repeat(request, n%2)+"\r\n"[:n%3])
		_ = c.SetLinger(0)
		_ = c.Close()
	}
	eventually(t, "every connection is over", func() bool { return w.conns.Load() == 0 })
}

// tcpPair returns the two ends of a connection.
func tcpPair(t *testing.T) (near, far *net.TCPConn) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	near = dial(t, l.Addr().String())
	c, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	return near, c.(*net.TCPConn)
}
