package http2

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/weft-mesh/weft/pkg/nodeproxy/http2/hpack"
	"github.com/weft-mesh/weft/pkg/policy"
)

// What a connection may hold.
const (
	// connWindow is what a peer may have under way on all its streams; it is
	// given back as soon as it is read.
	connWindow = 16 << 20
	// creditStep is how many bytes of a stream are given back at once.
	creditStep = 16 << 10
	// maxContinuations bounds the frames of one header block.
	maxContinuations = 32
	// remembered is how many streams a connection remembers to have reset:
	// frames that the peer sent before it learned of that are dropped.
	remembered = 512
)

// wire is where the bytes of a connection go.
type wire interface {
	// write writes what is taken now; less than all means that there is no room.
	// poll.ErrAsked means that the work's batch writes on: once it has, write is
	// called with the rest, which stays where it is.
	write(w *work, b []byte) (int, error)
	// closeWrite ends the stream to the peer.
	closeWrite()
	// cut ends both ways at once, so that the reader ends. It does not wait.
	cut()
}

// conn is one connection.
type conn struct {
	engine *Engine
	wire   wire
	driver *driver // behind wire; nil where no socket is
	client *client // of a client's connection, else nil
	bridge *bridge // of a client that speaks HTTP/1, else nil
	pool   *pool   // of a connection to an endpoint, else nil

	// Of the goroutine that reads.
	unread    string // what must still come of the preface
	settled   bool   // the first SETTINGS came
	block     []byte // a header block that is not whole
	blockOf   frame  // what it began with; stream 0: there is none
	blockMore int    // how many CONTINUATION frames it has
	decoder   hpack.Decoder
	message   message
	window    int // what the peer may still send on all streams
	taken     int // what is to be given back of that

	// partial is when a frame or block began that is not whole, in Unix
	// nanoseconds; 0 for none.
	partial atomic.Int64
	// killed tells the reader to end.
	killed atomic.Bool
	// stuck is true while the socket is full.
	stuck atomic.Bool

	// Of whoever writes.
	unsent *buffer // what is being written; nil for nothing
	from   int     // how much of it was
	rounds int     // how often in a row
	writer *work   // that has asked its batch

	mu     sync.Mutex // guards all below, and the halves
	halves map[uint32]*half
	free   []*half
	last   uint32 // the highest stream that the client opened, or the next of ours
	ringAt int
	ring   []uint32 // streams that were reset lately

	out       *buffer   // what is to be written; nil for nothing
	answers   int       // how many frames of it only answer the peer's
	scheduled bool      // a goroutine will flush at the end of its batch
	writing   bool      // a goroutine writes, and will write what is added
	roomy     bool      // the socket took bytes again meanwhile
	gone      bool      // the reader has ended: whoever stops writing closes the socket
	progress  time.Time // when enough was written last
	owes      int       // how much is enough the next time, while the connection is stuck
	credit    int       // what may be sent on all streams
	initial   int       // the window of a new stream of the peer
	peak      int       // the most that credit was
	reserve   int       // what of each stream's window is used only while there is plenty of credit
	blocked   []*half   // halves that wait for a window
	limit     int       // how many streams an endpoint takes
	told      bool      // the peer's first SETTINGS came
	newTable  bool      // the peer said how large a table it offers
	dead      bool      // nothing can be sent any more
	goodbye   bool      // the client was told to go
	final     bool      // no new streams: the client was told the last one
	leaving   bool      // no new streams on a connection to an endpoint
	closing   bool      // when all is written, the connection ends
	since     time.Time
	patience  int // what a peer may still offend
	refilled  time.Time
}

// buffer is bytes that are to be written, and whom to give credit then.
type buffer struct {
	b       []byte
	credits []credit
}

// credit is bytes of a stream that came from a connection.
type credit struct {
	from *conn
	id   uint32
	n    int
}

// half is one stream on one connection.
type half struct {
	id     uint32
	peer   *conn  // where the stream goes on; nil for nowhere
	peerID uint32 // its number there

	// What comes in.
	window    int   // what the peer may still send
	length    int64 // what it said it will send; -1 for nothing
	got       int64 // what it sent
	remoteEnd bool
	headed    bool  // the head of the answer came
	noBody    bool  // it answers HEAD: a length, but no body
	interim   uint8 // how many 1xx came

	// What goes out.
	credit     int    // what may be sent
	pending    []byte // what waits for a window
	sent       int    // how much of pending was sent
	trailer    []byte // what ends the stream after pending
	hasTrailer bool
	delivered  uint64 // how much of the body was sent in all
	end        bool   // the stream ends after pending
	localEnd   bool
	thenReset  bool // the rest of the request is not wanted once all is sent
	waits      bool // it is in blocked
	owed       int  // what was sent but not yet credited to the peer half

	// Since when the receiver owes a portion of what waits for its window, and
	// how much was delivered then.
	stalledSince time.Time
	stalledFrom  uint64

	// Since when the client owes a portion of its body, and how much of it was
	// there then.
	dueSince time.Time
	dueFrom  int64

	call     call          // of a client's half
	edits    *policy.Edits // of the answer; of an endpoint's half
	refunded int           // what the client was given back of it
	alarm    *time.Timer   // of what a policy waits for; kept with the half
}

// newConn returns a connection of either kind; its first bytes are already to
// be written.
func newConn(e *Engine, to wire, now time.Time) *conn {
	c := &conn{
		engine: e, wire: to, halves: map[uint32]*half{},
		window: connWindow, credit: defaultWindow, peak: defaultWindow, initial: defaultWindow,
		since: now, progress: now, patience: fullPatience, refilled: now,
	}
	c.message.decoder, c.message.most = &c.decoder, &e.config.Limits
	return c
}

// down tells whether the connection is a client's.
func (c *conn) down() bool { return c.client != nil }

// buffer returns what is to be written, to be appended to. The caller holds mu
// and tells the work.
func (c *conn) buffer(w *work) *buffer {
	if c.out == nil {
		c.out = c.engine.buffers.get()
	}
	if !c.scheduled {
		c.scheduled = true
		w.dirty = append(w.dirty, c)
	}
	return c.out
}

// take returns a fresh half in the table. The caller holds mu.
func (c *conn) take(id uint32) *half {
	var h *half
	if n := len(c.free); n > 0 {
		h, c.free = c.free[n-1], c.free[:n-1]
	} else {
		h = &half{}
	}
	h.id, h.window, h.credit, h.length = id, c.offered(), c.initial, -1
	c.halves[id] = h
	return h
}

// offered is what a peer may send on a stream before it is given more. One that
// has not read our settings sends less.
func (c *conn) offered() int { return max(defaultWindow, c.engine.config.Limits.HeldBytes) }

// keptHalves is how many unused halves a connection keeps.
const keptHalves = 128

// remove ends a half: the stream is over on this connection. The caller holds
// mu and does not use the half any more.
func (c *conn) remove(w *work, h *half) {
	delete(c.halves, h.id)
	if h.waits {
		c.unlist(h)
	}
	if c.down() {
		c.finish(w, h)
	} else if c.pool.waits() {
		w.wake(c.pool)
	}
	if len(c.halves) == 0 {
		c.since = w.now
		if c.final || c.leaving {
			c.end(w)
		}
	}
	if len(c.free) < keptHalves {
		h.recycle()
		c.free = append(c.free, h)
	}
}

// recycle empties a half but for memory of a modest size.
func (h *half) recycle() {
	*h = half{pending: modest(h.pending), trailer: modest(h.trailer), alarm: h.alarm, call: call{
		head: modest(h.call.head), body: modest(h.call.body), trailer: modest(h.call.trailer),
	}}
}

// modest returns memory to be used again, or none where it is large.
func modest(b []byte) []byte {
	if cap(b) > 4<<10 {
		return nil
	}
	return b[:0]
}

// end lets the connection end when all is written. The caller holds mu.
func (c *conn) end(w *work) {
	c.closing = true
	if !c.scheduled {
		c.scheduled = true
		w.dirty = append(w.dirty, c)
	}
}

// settle ends a half whose both directions have ended. The caller holds mu.
func (c *conn) settle(w *work, h *half) {
	if h.localEnd && h.remoteEnd {
		c.remove(w, h)
	}
}

// drop resets a stream and ends its half. The caller holds mu.
func (c *conn) drop(w *work, h *half, code errorCode) {
	c.resetStream(w, h.id, code)
	c.remove(w, h)
}

// resetStream writes RST_STREAM and remembers it. The caller holds mu.
func (c *conn) resetStream(w *work, id uint32, code errorCode) {
	if c.dead {
		return
	}
	if c.ring == nil {
		c.ring = make([]uint32, remembered)
	}
	c.ring[c.ringAt%remembered] = id
	c.ringAt++
	out := c.buffer(w)
	out.b = appendReset(out.b, id, code)
}

// wasReset tells whether a stream was reset lately. The caller holds mu.
func (c *conn) wasReset(id uint32) bool {
	for _, known := range c.ring {
		if known == id {
			return true
		}
	}
	return false
}

// idle tells whether a stream was never opened. The caller holds mu.
func (c *conn) idle(id uint32) bool {
	if c.down() {
		return id%2 == 0 || id > c.last
	}
	return id%2 == 0 || id >= c.last
}
