package http2_test

import (
	"fmt"
	"io"
	"net"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/weft-mesh/weft/pkg/nodeproxy/http2"
	"github.com/weft-mesh/weft/pkg/nodeproxy/limits"
	x "golang.org/x/net/http2"
)

// nobody is an address where no connection is accepted.
func nobody(t *testing.T) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// silent accepts connections and says nothing.
func silent(t *testing.T, _ string) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var running sync.WaitGroup
	running.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			running.Go(func() {
				_, _ = io.Copy(io.Discard, c)
				_ = c.Close()
			})
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		running.Wait()
	})
	return l.Addr().String()
}

// flow is one stream of one connection.
type flow struct {
	p      *peer
	stream uint32
}

// pour is an endpoint that sends as much as it is given credit for, and counts
// that by stream.
func pour(sent *sync.Map) func(*peer, event) {
	return func(p *peer, e event) {
		if e.kind == x.FrameHeaders {
			p.headers(e.stream, false, ":status", "200")
		}
		n := 0
		switch {
		case e.kind == x.FrameHeaders:
			n = 65535
		case e.kind == x.FrameWindowUpdate && e.stream != 0:
			n = int(e.n)
		}
		counter, _ := sent.LoadOrStore(flow{p, e.stream}, new(atomic.Int64))
		for ; n > 0; n -= min(n, 16<<10) {
			p.data(e.stream, false, strings.Repeat("x", min(n, 16<<10)))
			counter.(*atomic.Int64).Add(int64(min(n, 16<<10)))
		}
	}
}

func TestB48ASlowReaderHoldsItsWindowAndBlocksNobody(t *testing.T) {
	var sent sync.Map
	w := newWorld(t, http2.Config{}, endpoint(t, pour(&sent)))
	slow := w.hostile(x.Setting{ID: x.SettingInitialWindowSize, Val: 0})
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	const streams = 200
	for i := range uint32(streams) {
		slow.ask(2*i+1, true)
		slow.answered(2*i + 1)
	}
	quick := w.hostile(x.Setting{ID: x.SettingInitialWindowSize, Val: 8 << 20})
	quick.write(func() error { return quick.framer.WriteWindowUpdate(0, 8<<20) })
	quick.ask(1, true)
	eventually(t, "a quick reader gets its megabytes", func() bool { all, _ := quick.received(1); return len(all) > 4<<20 })
	quick.reset(1, x.ErrCodeCancel)
	eventually(t, "each slow stream got its window, and no more", func() bool {
		full, more := 0, 0
		sent.Range(func(_, n any) bool {
			switch got := n.(*atomic.Int64).Load(); {
			case got == 65535:
				full++
			case got > 65535:
				more++
			}
			return true
		})
		return full == streams && more == 1
	})
	quick.forget()
	runtime.GC()
	runtime.ReadMemStats(&after)
	if grown := int64(after.HeapAlloc) - int64(before.HeapAlloc); grown > streams*160<<10 {
		t.Errorf("%d stalled streams hold %d KiB", streams, grown>>10)
	}
}

// greedy connects as a client that asks for a hundred bodies without bounds. What
// comes is read by the test, or by nobody; buffer is how much the socket holds.
func (w *world) greedy(buffer int) *peer {
	w.Helper()
	conn, err := net.Dial("tcp", w.at)
	if err != nil {
		w.Fatal(err)
	}
	w.Cleanup(func() { _ = conn.Close() })
	_ = conn.(*net.TCPConn).SetReadBuffer(buffer)
	c := newPeer(w.T, conn)
	if _, err := io.WriteString(conn, x.ClientPreface); err != nil {
		w.Fatal(err)
	}
	c.must(c.framer.WriteSettings(x.Setting{ID: x.SettingInitialWindowSize, Val: 1<<31 - 1}))
	c.must(c.framer.WriteWindowUpdate(0, 1<<31-1-65535))
	for i := range uint32(100) {
		c.ask(2*i+1, true)
	}
	return c
}

func TestB48AClientThatDoesNotReadItsSocketHoldsItsWindows(t *testing.T) {
	var sent sync.Map
	w := newWorld(t, http2.Config{Limits: limits.Limits{BodyTimeout: 1}}, endpoint(t, pour(&sent)))
	c := w.greedy(4 << 10)
	other := w.hostile()
	other.ask(1, true)
	other.answered(1)
	eventually(t, "the connection is given up", func() bool {
		return c.framer.WritePing(false, [8]byte{}) != nil
	})
	sum := int64(0)
	sent.Range(func(_, n any) bool { sum += n.(*atomic.Int64).Load(); return true })
	if sum > 100*65535+(8<<20) {
		t.Errorf("the endpoint was given credit for %d KiB", sum>>10)
	}
}

// A client that takes more than its portion of what waits for its full socket is
// kept, though that never becomes empty.
func TestB48AClientThatReadsSlowlyIsKept(t *testing.T) {
	var sent sync.Map
	w := newWorld(t, http2.Config{Limits: limits.Limits{BodyTimeout: 2 * time.Second}}, endpoint(t, pour(&sent)))
	w.sndbuf.Store(32 << 10)
	c := w.greedy(128 << 10)
	const portion = 8 << 10 // in each step; in each second 500 bytes would do
	ticker := time.NewTicker(20 * time.Millisecond)
	defer ticker.Stop()
	for n := range 5 * 50 {
		<-ticker.C
		if _, err := io.ReadFull(c.conn, make([]byte, portion)); err != nil {
			t.Fatalf("after %d bytes: %v", n*portion, err)
		}
	}
}

func TestASlowEndpointGetsNoMoreThanItsWindow(t *testing.T) {
	var asked atomic.Pointer[peer]
	w := newWorld(t, http2.Config{}, endpoint(t, func(p *peer, e event) {
		if e.kind == x.FrameHeaders && e.stream == 1 {
			hello(p, e)
			asked.Store(p)
		}
	}, x.Setting{ID: x.SettingInitialWindowSize, Val: 10}))
	c := w.hostile()
	c.ask(1, true)
	c.answered(1) // the endpoint's settings have come before that
	p := asked.Load()
	c.ask(3, false)
	for range 6 {
		c.data(3, false, strings.Repeat("y", 10000))
	}
	c.headers(3, true, "sum", "1")
	eventually(t, "the window is used", func() bool { all, _ := p.received(3); return len(all) == 10 })
	if back := c.find(func(e event) bool { return e.kind == x.FrameWindowUpdate && e.stream == 3 }); len(back) != 0 {
		t.Errorf("credit for what the endpoint has not taken: %v", back)
	}
	p.write(func() error { return p.framer.WriteSettings(x.Setting{ID: x.SettingInitialWindowSize, Val: 50000}) })
	eventually(t, "the larger window is used", func() bool { all, _ := p.received(3); return len(all) == 50000 })
	p.write(func() error { return p.framer.WriteWindowUpdate(3, 20000) })
	trailer := p.expect("the trailers", func(e event) bool { return e.kind == x.FrameHeaders && e.end && e.stream == 3 })
	if all, _ := p.received(3); len(all) != 60000 || trailer.fields["sum"] != "1" {
		t.Errorf("got %d bytes and %v", len(all), trailer.fields)
	}
}

// No connection has more streams than the endpoint takes, and what has no place
// on those there are gets further ones.
func TestTheEndpointsLimitOfStreamsIsHonoured(t *testing.T) {
	var conns sync.Map // *peer → *atomic.Int64: its open streams
	var most atomic.Int64
	held := make(chan func(), 100)
	w := newWorld(t, http2.Config{}, endpoint(t, onRequest(func(p *peer, e event) {
		open, _ := conns.LoadOrStore(p, new(atomic.Int64))
		most.Store(max(most.Load(), open.(*atomic.Int64).Add(1)))
		held <- func() {
			open.(*atomic.Int64).Add(-1)
			p.headers(e.stream, true, ":status", "204")
		}
	}), x.Setting{ID: x.SettingMaxConcurrentStreams, Val: 3}))
	first := w.hostile()
	first.ask(1, true)
	(<-held)()
	first.answered(1)
	c := w.hostile()
	for i := range uint32(50) {
		c.ask(2*i+1, true)
	}
	var all []func()
	for range 50 { // all at once
		all = append(all, <-held)
	}
	for _, answer := range all {
		answer()
	}
	for i := range uint32(50) {
		c.answered(2*i + 1)
	}
	if most.Load() > 3 {
		t.Errorf("%d streams at once on one connection; want at most 3", most.Load())
	}
}

func TestStreamsBeyondTheLimitAreRefused(t *testing.T) {
	w := newWorld(t, http2.Config{}, endpoint(t, func(*peer, event) {}))
	c := w.hostile()
	for i := range uint32(257) {
		c.ask(2*i+1, false)
	}
	if code := c.wasReset(513); code != x.ErrCodeRefusedStream {
		t.Errorf("reset with %v", code)
	}
}

func TestB46AnHPACKBombStaysSmall(t *testing.T) {
	w := newWorld(t, http2.Config{}, endpoint(t, func(*peer, event) {}))
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	c := w.hostile()
	c.ask(1, false, "n", strings.Repeat("v", 3900))
	for i := range uint32(250) {
		// One octet each for a field of 4 KB.
		block := append([]byte{0x83, 0x86, 0x84, 0xbe}, strings.Repeat("\xbe", 16000)...)
		c.write(func() error {
			return c.framer.WriteHeaders(x.HeadersFrameParam{StreamID: 2*i + 3, BlockFragment: block, EndStream: true, EndHeaders: true})
		})
	}
	c.answered(501)
	if got := c.answered(3); got.fields[":status"] != "431" {
		t.Errorf("answered %v", got.fields)
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	if grown := int64(after.HeapAlloc) - int64(before.HeapAlloc); grown > 8<<20 {
		t.Errorf("it holds %d KiB", grown>>10)
	}
}

func TestAnEarlyAnswerComesWholeBeforeTheUploadIsStopped(t *testing.T) {
	answer := strings.Repeat("z", 30000)
	w := newWorld(t, http2.Config{}, endpoint(t, onRequest(func(p *peer, e event) {
		p.headers(e.stream, false, ":status", "413")
		p.data(e.stream, false, answer[:15000])
		p.data(e.stream, true, answer[15000:])
		p.reset(e.stream, x.ErrCodeNo)
	})))
	c := w.hostile(x.Setting{ID: x.SettingInitialWindowSize, Val: 100})
	c.ask(1, false, "content-length", "1000000")
	eventually(t, "the first of the answer", func() bool { all, _ := c.received(1); return len(all) == 100 })
	c.data(1, false, "more")
	c.write(func() error { return c.framer.WriteWindowUpdate(1, 60000) })
	if code := c.wasReset(1); code != x.ErrCodeNo {
		t.Errorf("reset with %v", code)
	}
	if all, end := c.received(1); all != answer || !end {
		t.Errorf("%d bytes, end %v", len(all), end)
	}
}

func TestManyClientsShareFewConnections(t *testing.T) {
	var conns sync.Map
	w := newWorld(t, http2.Config{}, endpoint(t, func(p *peer, e event) {
		conns.Store(p, true)
		hello(p, e)
	}))
	for i := range 40 {
		c := w.hostile()
		c.ask(1, true, "n", fmt.Sprint(i))
		c.answered(1)
	}
	n := 0
	conns.Range(func(any, any) bool { n++; return true })
	if n > 2*runtime.GOMAXPROCS(0) {
		t.Errorf("%d connections to the endpoint", n)
	}
}
