package http2

import (
	"bytes"
	"errors"
	"net"
	"testing"
	"time"

	"github.com/weft-mesh/weft/pkg/nodeproxy/upstream"
)

// watched is a wire that does something in the middle of each write.
type watched struct {
	memory
	meanwhile func()
}

func (w *watched) write(on *work, b []byte) (int, error) {
	w.meanwhile()
	return w.memory.write(on, b)
}

// request begins stream 1 of the bench's client, and of its endpoint.
func (b *bench) request(t *testing.T, end bool) {
	t.Helper()
	head := block(t, b.down, ":method", "POST", ":scheme", "http", ":path", "/", ":authority", "orders.shop.mesh")
	b.feed(t, b.down, appendBlock(nil, 1, head, end))
}

func (b *bench) feed(t *testing.T, c *conn, in []byte) {
	t.Helper()
	if _, err := c.feed(b.w, in); err != nil {
		t.Fatal(err)
	}
	b.w.finish()
}

func appendData(in []byte, stream uint32, n int) []byte {
	return append(appendFrameHeader(in, n, frameData, 0, stream), make([]byte, n)...)
}

// A write that happens to run while connections are looked after is not one
// that the peer does not take.
func TestABusyConnectionIsNotTakenForAStuckOne(t *testing.T) {
	b := newBench(t)
	later := &work{engine: b.w.engine, now: b.w.now.Add(2 * time.Minute)}
	b.up.wire = &watched{meanwhile: func() { b.up.look(later) }}
	b.request(t, false)
	if b.up.dead {
		t.Error("the connection was ended in the middle of a write")
	}
}

// A stream whose reader never quite catches up holds its window only.
func TestB48AStreamThatAlwaysWaitsHoldsItsWindow(t *testing.T) {
	b := newBench(t)
	b.request(t, true)
	b.feed(t, b.up, appendBlock(nil, 1, block(t, b.up, ":status", "200"), false))
	for range 7 {
		b.feed(t, b.up, appendData(nil, 1, 16000))
	}
	for range 500 {
		b.feed(t, b.down, appendWindowUpdate(nil, 1, creditStep))
		b.feed(t, b.up, appendData(nil, 1, creditStep))
	}
	if h := b.down.halves[1]; cap(h.pending) > 4*defaultWindow {
		t.Errorf("it holds %d KiB", cap(h.pending)>>10)
	}
}

// An endpoint that asks and does not read what it is told is not kept.
func TestB48AnEndpointThatOnlyAsksIsGivenUp(t *testing.T) {
	ping := append(appendFrameHeader(nil, pingBytes, framePing, 0, 0), make([]byte, pingBytes)...)
	padded := append(appendFrameHeader(nil, 1, frameData, flagPadded, 1), 0)
	for name, asks := range map[string][]byte{"PING": ping, "SETTINGS": appendSettings(nil), "padding": padded} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			b.request(t, true)
			b.feed(t, b.up, appendBlock(nil, 1, block(t, b.up, ":status", "200"), false))
			b.up.stuck.Store(true)
			b.up.writing = true
			var err error
			for i := 0; i < 3*mostAnswers && err == nil && b.up.halves[1] != nil; i++ {
				_, err = b.up.feed(b.w, asks)
			}
			if name != "padding" && !errors.Is(err, enhanceYourCalm) {
				t.Errorf("got %v", err)
			}
			if n := len(b.up.out.bytes()); n > 32*mostAnswers {
				t.Errorf("%d KiB wait for it", n>>10)
			}
		})
	}
}

// A slow endpoint may ask whether its connection lives while much waits for it.
func TestASlowEndpointMayPing(t *testing.T) {
	b := newBench(t)
	b.up.stuck.Store(true)
	b.up.writing = true
	out := b.up.buffer(b.w)
	out.b = append(out.b, make([]byte, 2*mostUnwritten)...)
	b.feed(t, b.up, append(appendFrameHeader(nil, pingBytes, framePing, 0, 0), make([]byte, pingBytes)...))
}

// A fault leaves no lock behind that the end of the connections waits for.
func TestB54AFaultHoldsNoLock(t *testing.T) {
	for name, frame := range map[string][]byte{
		"reset": appendReset(nil, 1, cancelled), "data": appendData(nil, 1, 1),
		"head": appendBlock(nil, 1, []byte{0x88}, true), "window": appendWindowUpdate(nil, 1, 0),
		"goaway": appendGoAway(nil, 0, noError),
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			b.request(t, true)
			pool := b.up.pool
			b.up.pool = nil // whoever ends a stream there panics
			func() {
				defer func() {
					if recover() == nil {
						t.Error("no fault")
					}
				}()
				_, _ = b.up.feed(b.w, frame)
			}()
			b.up.pool = pool
			for _, c := range []*conn{b.down, b.up} {
				if !c.mu.TryLock() {
					t.Fatal("a lock is held")
				}
				c.mu.Unlock()
			}
		})
	}
}

// What waits for a place at a full endpoint is told so in the end.
func TestARequestDoesNotWaitForEver(t *testing.T) {
	b := newBench(t)
	b.up.limit = 0
	b.up.pool.dialing = 1 // that never comes to an end
	b.request(t, true)
	b.down.look(&work{engine: b.w.engine, now: b.w.now.Add(9 * time.Second)})
	if len(b.down.halves) != 1 {
		t.Fatal("the request did not wait")
	}
	late := &work{engine: b.w.engine, now: b.w.now.Add(11 * time.Second)}
	b.down.look(late)
	late.finish()
	if len(b.down.halves) != 0 || len(b.toClient.b) == 0 {
		t.Error("the request still waits")
	}
}

// What waits when its endpoint leaves the Table is still served by it.
func TestB67WhatWaitsForAnEndpointThatLeftIsServed(t *testing.T) {
	b := newBench(t)
	p := b.up.pool
	p.conns.Store(&[]*conn{})
	p.dialing = 1
	b.request(t, true)
	b.w.engine.Forget([]*upstream.Endpoint{p.endpoint})
	p.join(b.w, b.up)
	b.w.engine.unregister(b.up)
	b.w.finish()
	if len(b.up.halves) != 1 || !b.up.leaving || len(*p.conns.Load()) != 0 {
		t.Errorf("%d streams on the connection, which leaves: %v", len(b.up.halves), b.up.leaving)
	}
}

// Room at a socket is room for those that wait for it.
func TestRoomAtAnEndpointWakesWhatWaits(t *testing.T) {
	b := newBench(t)
	b.up.stuck.Store(true)
	b.up.writing = true
	out := &buffer{b: make([]byte, 2*mostUnwritten)}
	b.up.out = out
	b.up.pool.dialing = 1
	b.request(t, true)
	if len(b.up.halves) != 0 {
		t.Fatal("the request did not wait")
	}
	b.up.out, b.up.unsent, b.up.writing = nil, out, false
	b.up.resume(b.w)
	b.w.finish()
	if len(b.up.halves) != 1 {
		t.Error("the request still waits")
	}
}

// The end of an upload that the endpoint answered and never takes is dropped.
func TestAnUploadThatIsNotTakenAfterItsAnswerEnds(t *testing.T) {
	b := newBench(t)
	b.feed(t, b.up, appendSettings(nil, setting{settingInitialWindow, 0}))
	b.request(t, false)
	in := appendData(nil, 1, 1000)
	b.feed(t, b.down, append(in, appendFrameHeader(nil, 0, frameData, flagEndStream, 1)...))
	b.feed(t, b.up, appendBlock(nil, 1, block(t, b.up, ":status", "200"), true))
	if len(b.down.halves) != 0 || len(b.up.halves) != 1 {
		t.Fatalf("%d and %d streams", len(b.down.halves), len(b.up.halves))
	}
	for _, after := range []time.Duration{0, 50 * time.Second, 70 * time.Second} {
		b.up.look(&work{engine: b.w.engine, now: b.w.now.Add(after)})
		if left := len(b.up.halves); (left == 1) != (after < time.Minute) {
			t.Errorf("%d streams after %v", left, after)
		}
	}
}

// Heads are bound by no window: a client that reads none of them is given up.
func TestB28AClientThatReadsNoHeadsIsGivenUp(t *testing.T) {
	b := newBench(t)
	b.down.stuck.Store(true)
	b.down.writing = true
	interim := block(t, b.up, ":status", "103", "link", string(bytes.Repeat([]byte("l"), 60000)))
	var in []byte
	for stream, head := uint32(1), block(t, b.down, ":method", "GET", ":scheme", "http", ":path", "/"); !b.down.dead && stream < 2*uint32(b.down.engine.config.Limits.Streams); stream += 2 {
		b.feed(t, b.down, appendBlock(nil, stream, head, true))
		in = in[:0]
		for range maxInterim {
			in = appendBlock(in, stream, interim, false)
		}
		b.feed(t, b.up, in)
	}
	if n := len(b.down.out.bytes()); !b.down.dead || n > b.down.mostHeads()+1<<17 {
		t.Errorf("%d MiB wait", n>>20)
	}
}

// A fault while a request that waits is begun ends neither the process, whose
// poller may have come by, nor the others that wait.
func TestAFaultOfOneThatWaitsIsItsOwn(t *testing.T) {
	e := New(Config{})
	defer e.Close()
	p, w := newPool(e, nil), &work{engine: e}
	p.conns.Store(&[]*conn{{}})
	for range 2 {
		c := newConn(e, nowhere{}, time.Now()) // without a client: that is the fault
		c.take(1).call.waiting = true
		p.waiting = append(p.waiting, waiter{c, 1})
		p.length.Add(1)
	}
	p.serve(w)
	if p.waits() || p.serving {
		t.Error("others still wait")
	}
}

// A connection that is already used, but not yet watched, is read by nobody but
// who is about to start it.
func TestADriverIsReadByWhoStartsIt(t *testing.T) {
	e := New(Config{})
	defer e.Close()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	tcp, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	d, err := e.newDriver(tcp.(*net.TCPConn), 0)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	d.read = func(*work) progress {
		t.Error("it is read")
		return waits
	}
	d.conn = newConn(e, d, time.Now())
	d.post(&work{engine: e}, news)
}
