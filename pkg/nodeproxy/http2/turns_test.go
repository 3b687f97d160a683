package http2

import (
	"bytes"
	"io"
	"sync/atomic"
	"testing"
	"time"

	"github.com/weft-mesh/weft/internal/tcppair"
)

// A connection that always has more to be read leaves others their turn, also where
// each read is asked of a batch and the reader resumed.
func TestWhoIsResumedReadsNoMoreOftenInARow(t *testing.T) {
	e := New(Config{})
	defer e.Close()
	peer, taken := tcppair.New(t)
	_ = taken.SetReadBuffer(4 * readBytes)
	d, err := e.newDriver(taken, 0)
	if err != nil {
		t.Fatal(err)
	}
	w := &work{engine: e, now: time.Now()}
	c := newConn(e, d, w.now)
	ended := make(chan struct{})
	c.client = &client{ended: func() { close(ended) }}
	d.conn, c.driver, c.unread = c, d, preface
	e.register(c)
	const frame = 16 << 10
	unknown := append(appendFrameHeader(nil, frame-frameHeaderBytes, 0xff, 0, 0), make([]byte, frame-frameHeaderBytes)...)
	full := bytes.Repeat(unknown, readBytes/frame)
	var inARow, longest atomic.Int64
	left := make(chan struct{})
	d.read = func(w *work) progress {
		switch n := inARow.Load(); {
		case w.batch != nil && n <= 2*mostReads: // the poller: there is more than a read takes
			longest.Store(max(longest.Load(), inARow.Add(1)))
			_, _ = peer.Write(full)
		case n > 0 && w.batch == nil:
			d.read = d.readFrames
			close(left)
		}
		next := d.readFrames(w)
		if next == waits { // what was written is still on its way
			inARow.Store(0)
		}
		return next
	}
	d.start(w, nil)
	_, _ = io.WriteString(peer, preface+string(appendFrameHeader(nil, 0, frameSettings, 0, 0))+string(full))
	select {
	case <-left:
	case <-time.After(10 * time.Second):
		t.Error("no other goroutine reads on")
	}
	if n := longest.Load(); n > mostReads+1 {
		t.Errorf("the poller has read %d times in a row; want at most %d", n, mostReads)
	}
	_ = peer.Close()
	<-ended
}
