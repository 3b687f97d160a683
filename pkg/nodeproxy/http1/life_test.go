package http1_test

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/weft-mesh/weft/pkg/nodeproxy/http1"
)

// much tells how often the long tests repeat: WEFT_MUCH=1 makes them whole.
func much(whole, short int) int {
	if os.Getenv("WEFT_MUCH") != "" {
		return whole
	}
	return short
}

// descriptors counts this process's open files.
func descriptors() int {
	all, _ := os.ReadDir("/proc/self/fd")
	return len(all)
}

// Aborts at every offset of a request and of an answer, by either side: nothing
// stays behind.
func TestB51AbortsAtEveryOffset(t *testing.T) {
	const request = "POST /a HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabcde\r\n3;x\r\nfgh\r\n0\r\nX-A: 1\r\n\r\n"
	const answer = "HTTP/1.1 103 Early\r\nX: y\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabcde\r\n0\r\nX-A: 1\r\n\r\n"
	var cut atomic.Int64
	cut.Store(1 << 30)
	o := newOrigin(t, func(c *net.TCPConn, in *bufio.Reader) {
		if _, _, err := readRaw(in); err != nil {
			return
		}
		n := int(cut.Load())
		_, _ = io.WriteString(c, answer[:min(n, len(answer))])
		if n < len(answer) && n%2 == 0 {
			_ = c.SetLinger(0)
		}
	})
	w := newWorld(t, http1.Config{}, o.at)
	before := descriptors()
	abort := func(offset int, reset bool) {
		c := dial(t, w.at)
		defer c.Close()
		_, _ = io.WriteString(c, request[:offset])
		if reset {
			_ = c.SetLinger(0)
		}
	}
	rounds := much(10_000, 1_000) / (len(request) + len(answer))
	for range rounds + 1 {
		for offset := range len(request) {
			abort(offset, rand.IntN(2) == 0)
		}
		for offset := range len(answer) {
			cut.Store(int64(offset))
			if got := w.ask(strings.Replace(request, "\r\n", "\r\nConnection: close\r\n", 1)); strings.HasSuffix(got, "\r\n0\r\nX-A: 1\r\n\r\n") {
				t.Errorf("cut at %d: the answer looks whole: %q", offset, got)
			}
		}
		cut.Store(1 << 30)
	}
	eventually(t, "every connection is over", func() bool { return w.conns.Load() == 0 && o.open.Load() == 0 })
	eventually(t, "the descriptors are back", func() bool { return descriptors() <= before+2 })
}

// B51: when a client leaves, its request is cancelled at the endpoint within
// 100 ms; a busy machine is given more.
func TestB51AClientThatLeavesCancels(t *testing.T) {
	for _, reset := range []bool{false, true} {
		for _, raw := range []string{"GET / HTTP/1.1\r\nHost: h\r\n\r\n", "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1000000\r\n\r\nabc"} {
			reached, left := make(chan struct{}), make(chan time.Time)
			o := newOrigin(t, func(c *net.TCPConn, in *bufio.Reader) {
				_, _ = in.ReadByte()
				close(reached)
				_, _ = io.Copy(io.Discard, in)
				left <- time.Now()
			})
			w := newWorld(t, http1.Config{}, o.at)
			c := w.dial()
			_, _ = io.WriteString(c, raw)
			<-reached
			began := time.Now()
			if reset {
				_ = c.SetLinger(0)
			}
			_ = c.Close()
			if took := (<-left).Sub(began); took > 500*time.Millisecond {
				t.Errorf("reset %v: cancelled after %v", reset, took)
			}
		}
	}
}

// An endpoint that dies cancels its client at once.
func TestAnEndpointThatDiesReachesTheClient(t *testing.T) {
	o := newOrigin(t, func(c *net.TCPConn, in *bufio.Reader) {
		_, _ = in.ReadByte()
		_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\n\r\nabc")
		_ = c.SetLinger(0)
	})
	w := newWorld(t, http1.Config{}, o.at)
	c := w.dial()
	_, _ = io.WriteString(c, "GET / HTTP/1.1\r\nHost: h\r\n\r\n")
	if got, err := io.ReadAll(c); err == nil {
		t.Errorf("a broken answer looks whole: %q", got)
	}
}

// Bodies both ways, larger than every buffer and in every framing, arrive as
// they were sent; both sides move at once.
func TestLargeBodies(t *testing.T) {
	o := newOrigin(t, func(c *net.TCPConn, in *bufio.Reader) {
		for {
			_, r, err := readHeadOnly(in)
			if err != nil {
				return
			}
			_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
			buffer := make([]byte, 10_000)
			for {
				n, err := r.Read(buffer)
				if n > 0 {
					_, _ = fmt.Fprintf(c, "%x\r\n%s\r\n", n, buffer[:n])
				}
				if err != nil {
					break
				}
			}
			if _, err := io.WriteString(c, "0\r\n\r\n"); err != nil {
				return
			}
		}
	})
	w := newWorld(t, http1.Config{}, o.at)
	for _, size := range []int{0, 1, 1000, 16 << 10, 64 << 10, 64<<10 + 1, 3_000_000} {
		for _, chunk := range []int{0, 1 + size/7, 100_000} {
			body := make([]byte, size)
			for i := range body {
				body[i] = byte(rand.Uint32())
			}
			if got := echo(w, body, chunk); !bytes.Equal(got, body) {
				t.Errorf("%d bytes in chunks of %d: got %d others", size, chunk, len(got))
			}
		}
	}
}

// Byte by byte is the same as whole, through the whole engine.
func TestByteByByte(t *testing.T) {
	w := newWorld(t, http1.Config{}, newOrigin(t, mirror).at)
	c := w.dial()
	_ = c.SetNoDelay(true)
	raw := "\r\nPOST /a HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n5;x\r\nabcde\r\n0\r\nX-A: 1\r\n\r\nGET /b HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"
	for i := range len(raw) {
		if _, err := c.Write([]byte{raw[i]}); err != nil {
			t.Fatal(err)
		}
	}
	got, _ := io.ReadAll(c)
	want := "POST /a HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\nX-Forwarded-For: 127.0.0.1\r\n\r\n5\r\nabcde\r\n0\r\nX-A: 1\r\n\r\n"
	if s := statuses(string(got)); len(s) != 2 || !strings.Contains(string(got), want) {
		t.Errorf("got %q", got)
	}
}

// Requests that come together are answered in their order, each once.
func TestPipelining(t *testing.T) {
	w := newWorld(t, http1.Config{}, newOrigin(t, mirror).at)
	var raw strings.Builder
	const requests = 2000
	for i := range requests {
		fmt.Fprintf(&raw, "POST /%d HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc", i)
	}
	raw.WriteString("GET /last HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
	got := w.ask(raw.String())
	for i := range requests {
		next := fmt.Sprintf("POST /%d HTTP/1.1", i)
		at := strings.Index(got, next)
		if at < 0 {
			t.Fatalf("no %s", next)
		}
		got = got[at:]
	}
	if strings.Count(got, "HTTP/1.1 200 OK") != 1 {
		t.Errorf("the last: %q", got)
	}
}

// Drain says goodbye with the next answer; Quiesce closes what only waits.
func TestDrainAndQuiesce(t *testing.T) {
	w := newWorld(t, http1.Config{}, newOrigin(t, mirror).at)
	idle, used := w.dial(), w.dial()
	for _, c := range []net.Conn{idle, used} {
		_, _ = io.WriteString(c, "GET / HTTP/1.1\r\nHost: h\r\n\r\n")
		if got := make([]byte, 15); readFull(c, got) != nil || string(got) != "HTTP/1.1 200 OK" {
			t.Fatalf("got %q", got)
		}
	}
	w.engine.Drain()
	_, _ = io.WriteString(used, "GET / HTTP/1.1\r\nHost: h\r\n\r\n")
	if got, err := io.ReadAll(used); err != nil || !strings.Contains(string(got), "Connection: close") {
		t.Errorf("got %q, %v", got, err)
	}
	w.engine.Quiesce()
	if _, err := io.ReadAll(idle); err != nil {
		t.Errorf("the idle connection: %v", err)
	}
}

func readFull(c net.Conn, b []byte) error {
	_, err := io.ReadFull(c, b)
	return err
}
