package http2

import (
	"time"

	"github.com/weft-mesh/weft/pkg/nodeproxy/http2/hpack"
)

// mostUnwritten is how much may wait for a full socket before nothing more is
// read from a client, or begun at an endpoint.
const mostUnwritten = 256 << 10

// mostHeads is how much may wait for a client, beside which no head is put: twice
// what all its streams may hold.
func (c *conn) mostHeads() int { return 2 * c.engine.config.Limits.Streams * c.offered() }

// bytes returns what a buffer holds; nothing for nil.
func (b *buffer) bytes() []byte {
	if b == nil {
		return nil
	}
	return b.b
}

// head sends a header block. The half may be gone afterwards. The caller holds mu.
func (c *conn) head(w *work, h *half, block []byte, end bool) {
	if c.dead || h.localEnd || h.end {
		return
	}
	if c.down() && len(c.out.bytes()) > c.mostHeads() {
		c.kill() // no window bounds heads: a client that reads none is not kept
		return
	}
	out := c.buffer(w)
	if c.newTable {
		c.newTable = false
		block = append(hpack.AppendReset(nil), block...)
	}
	out.b = appendBlock(out.b, h.id, block, end)
	if end {
		c.ended(w, h)
	}
}

// tail sends trailers, after what waits. The half may be gone afterwards. The
// caller holds mu.
func (c *conn) tail(w *work, h *half, block []byte) {
	switch {
	case c.dead || h.localEnd || h.end:
	case len(block) == 0:
		c.send(w, h, nil, true)
	case h.waits:
		h.trailer = append(h.trailer[:0], block...)
		h.hasTrailer, h.end = true, true
	default:
		c.head(w, h, block, true)
	}
}

// send sends a piece of a body; what no window has room for waits. The result
// tells whether something does. The half may be gone afterwards. The caller
// holds mu.
func (c *conn) send(w *work, h *half, data []byte, end bool) (waits bool) {
	if c.dead || h.localEnd || h.end {
		return false
	}
	if h.waits {
		h.compact()
		h.pending = append(h.pending, data...)
		h.end = end
		return true
	}
	n := c.transmit(w, h, data, end)
	if n == len(data) {
		if end {
			c.ended(w, h)
		}
		return false
	}
	h.pending = append(h.pending[:0], data[n:]...)
	h.sent, h.end, h.waits = 0, end, true
	c.blocked = append(c.blocked, h)
	return true
}

// compact drops what was sent of what waits: a stream that never quite catches
// up holds its window, not all it ever carried.
func (h *half) compact() {
	if h.sent > 0 && h.sent >= len(h.pending)-h.sent {
		h.pending = h.pending[:copy(h.pending, h.pending[h.sent:])]
		h.sent = 0
	}
}

// transmit writes as much as the windows allow; the last octet ends the stream
// where end is set. The caller holds mu.
func (c *conn) transmit(w *work, h *half, data []byte, end bool) (n int) {
	if len(data) == 0 && end {
		out := c.buffer(w)
		out.b = appendFrameHeader(out.b, 0, frameData, flagEndStream, h.id)
		return 0
	}
	for n < len(data) {
		size := min(len(data)-n, maxFrameBytes, c.allowance(h))
		if size <= 0 {
			break
		}
		flags := uint8(0)
		if end && n+size == len(data) {
			flags = flagEndStream
		}
		out := c.buffer(w)
		out.b = appendFrameHeader(out.b, size, frameData, flags, h.id)
		out.b = append(out.b, data[n:n+size]...)
		h.credit -= size
		c.credit -= size
		n += size
	}
	h.delivered += uint64(n)
	c.owe(w, h, n)
	return n
}

// allowance is how much a stream may send now. An endpoint may offer a stream a
// large window, and give nothing back before much of it was used: it is used.
// But what is beyond 64 KiB leaves a quarter of the connection to the others,
// so that a stream that the endpoint does not read cannot take all of it.
func (c *conn) allowance(h *half) int {
	return min(h.credit, c.credit, max(h.credit-c.reserve, c.credit-c.peak/4))
}

// owe counts what the peer half is to be given back when it is written.
func (c *conn) owe(w *work, h *half, n int) {
	h.owed += n
	if h.owed < creditStep || h.peer == nil || n == 0 {
		return
	}
	out := c.buffer(w)
	out.credits = append(out.credits, credit{from: h.peer, id: h.peerID, n: h.owed})
	h.owed = 0
}

// ended marks what was sent as all there is. The half may be gone afterwards.
// The caller holds mu.
func (c *conn) ended(w *work, h *half) {
	h.localEnd = true
	if h.thenReset && !h.remoteEnd {
		c.drop(w, h, noError)
		return
	}
	c.settle(w, h)
}

// push sends what waits. The half may be gone afterwards. The caller holds mu.
func (c *conn) push(w *work, h *half) {
	rest := h.pending[h.sent:]
	n := c.transmit(w, h, rest, h.end && !h.hasTrailer)
	h.sent += n
	if n < len(rest) {
		return
	}
	c.unlist(h)
	h.pending = modest(h.pending)
	if !h.end {
		return
	}
	if !h.hasTrailer {
		c.ended(w, h)
		return
	}
	h.end = false
	c.head(w, h, h.trailer, true)
}

// unblock sends what waits on all streams; whoever still waits and got
// something goes to the end of the row. The caller holds mu.
func (c *conn) unblock(w *work) {
	for i, n := 0, len(c.blocked); n > 0 && c.credit > 0 && i < len(c.blocked); n-- {
		h := c.blocked[i]
		before := h.sent
		c.push(w, h)
		if i >= len(c.blocked) || c.blocked[i] != h {
			continue // it has left the row
		}
		if h.sent == before {
			i++
			continue
		}
		copy(c.blocked[i:], c.blocked[i+1:])
		c.blocked[len(c.blocked)-1] = h
	}
}

// unlist takes a half out of the row of those that wait. The caller holds mu.
func (c *conn) unlist(h *half) {
	h.waits, h.stalledSince = false, time.Time{}
	for i, b := range c.blocked {
		if b == h {
			copy(c.blocked[i:], c.blocked[i+1:])
			c.blocked[len(c.blocked)-1] = nil
			c.blocked = c.blocked[:len(c.blocked)-1]
			return
		}
	}
}

// refund gives credit for what was written to the receiver.
func (w *work) refund(credits []credit) {
	for _, owed := range credits {
		owed.from.refund(w, owed.id, owed.n)
	}
}

func (c *conn) refund(w *work, id uint32, n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if h := c.halves[id]; h != nil && !h.remoteEnd && !c.dead {
		h.window += n
		h.refunded += n
		out := c.buffer(w)
		out.b = appendWindowUpdate(out.b, id, n)
	}
}
