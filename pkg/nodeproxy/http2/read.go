package http2

import (
	"encoding/binary"
	"time"
)

// feed takes what was read and returns how much of it was used: whole frames
// only. An error ends the connection; it is an errorCode.
func (c *conn) feed(w *work, b []byte) (used int, err error) {
	if len(c.unread) > 0 {
		n := min(len(b), len(c.unread))
		if string(b[:n]) != c.unread[:n] {
			return 0, protocolError
		}
		c.unread, used = c.unread[n:], n
	}
	for {
		f, whole, err := parseFrame(b[used:])
		if err != nil {
			return used, err
		}
		if !whole {
			break
		}
		used += frameHeaderBytes + len(f.payload)
		if err := c.frame(w, f); err != nil {
			return used, err
		}
	}
	c.giveBack(w)
	return used, nil
}

// giveBack returns the connection's window, a good part at once.
func (c *conn) giveBack(w *work) {
	if c.taken < connWindow/8 {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	out := c.buffer(w)
	out.b = appendWindowUpdate(out.b, 0, c.taken)
	c.window += c.taken
	c.taken = 0
}

// frame takes one frame.
func (c *conn) frame(w *work, f frame) error {
	if c.blockOf.stream != 0 && (f.kind != frameContinuation || f.stream != c.blockOf.stream) {
		return protocolError // RFC 9113 §6.10
	}
	if !c.settled {
		if f.kind != frameSettings || f.has(flagAck) {
			return protocolError // RFC 9113 §3.4
		}
		c.settled = true
	}
	switch f.kind {
	case frameData:
		return c.data(w, f)
	case frameHeaders:
		return c.headers(w, f)
	case frameContinuation:
		return c.continuation(w, f)
	case framePriority:
		return c.priority(w, f)
	case frameReset:
		return c.reset(w, f)
	case frameSettings:
		return c.settings(w, f)
	case framePushPromise:
		return protocolError // it is never allowed to us
	case framePing:
		return c.ping(w, f)
	case frameGoAway:
		return c.goAway(w, f)
	case frameWindowUpdate:
		return c.windowUpdate(w, f)
	}
	return nil // RFC 9113 §4.1: unknown types are ignored
}

// headers takes a HEADERS frame.
func (c *conn) headers(w *work, f frame) error {
	if f.stream == 0 || c.down() && f.stream%2 == 0 {
		return protocolError
	}
	if err := f.unpad(); err != nil {
		return err
	}
	ownParent := false
	if f.has(flagPriority) {
		if len(f.payload) < priorityBytes {
			return frameSizeError
		}
		ownParent = binary.BigEndian.Uint32(f.payload)&highestStream == f.stream
		f.payload = f.payload[priorityBytes:]
	}
	if ownParent {
		f.flags |= flagOwnParent
	} else {
		f.flags &^= flagOwnParent
	}
	if f.has(flagEndHeaders) {
		return c.whole(w, f)
	}
	c.block = append(c.block[:0], f.payload...)
	c.blockOf, c.blockMore = f, 0
	c.blockOf.payload = nil
	return nil
}

// flagOwnParent marks, among a frame's flags in memory, a stream that depends
// on itself, which is an error of the stream (RFC 7540 §5.3.1).
const flagOwnParent = 0x40

// continuation takes more of a block. A block that has too many pieces or
// octets ends the connection: nothing of it was worth reading.
func (c *conn) continuation(w *work, f frame) error {
	if c.blockOf.stream == 0 {
		return protocolError
	}
	c.blockMore++
	if c.blockMore > maxContinuations || len(c.block)+len(f.payload) > 2*c.engine.config.Limits.HeadBytes {
		return enhanceYourCalm
	}
	c.block = append(c.block, f.payload...)
	if !f.has(flagEndHeaders) {
		return nil
	}
	whole := c.blockOf
	whole.payload = c.block
	c.blockOf = frame{}
	err := c.whole(w, whole)
	c.block = modest(c.block)
	return err
}

// whole takes a whole header block.
func (c *conn) whole(w *work, f frame) error {
	if c.down() {
		return c.fromClient(w, f)
	}
	return c.fromEndpoint(w, f)
}

// priority looks at a PRIORITY frame only for what is wrong with it (RFC 9113 §6.3).
func (c *conn) priority(w *work, f frame) error {
	if f.stream == 0 {
		return protocolError
	}
	wrong := frameSizeError
	if len(f.payload) == priorityBytes {
		if binary.BigEndian.Uint32(f.payload)&highestStream != f.stream {
			return nil
		}
		wrong = protocolError
	}
	return c.streamError(w, f.stream, wrong)
}

// data takes a DATA frame.
func (c *conn) data(w *work, f frame) error {
	if f.stream == 0 {
		return protocolError
	}
	length := len(f.payload)
	if c.window -= length; c.window < 0 {
		return flowControlError
	}
	c.taken += length
	if err := f.unpad(); err != nil {
		return err
	}
	if c.down() {
		return c.upload(w, f, length)
	}
	return c.download(w, f, length)
}

// receive counts what a DATA frame brings; padding is given back at once. The
// result is noError where the frame may be passed on. The caller holds mu.
func (c *conn) receive(w *work, h *half, f frame, length int) errorCode {
	if h.remoteEnd {
		return streamClosed
	}
	if h.window -= length; h.window < 0 {
		return flowControlError
	}
	h.got += int64(len(f.payload))
	end := f.has(flagEndStream)
	if h.length >= 0 && (h.got > h.length || end && h.got != h.length) {
		return protocolError // RFC 9113 §8.1.1
	}
	if padding := length - len(f.payload); padding > 0 && !end {
		if !c.answer() {
			return enhanceYourCalm
		}
		h.window += padding
		out := c.buffer(w)
		out.b = appendWindowUpdate(out.b, h.id, padding)
	}
	h.remoteEnd = end
	return noError
}

// late judges a DATA frame of a stream that is not in the table. The caller
// holds mu.
func (c *conn) late(w *work, id uint32) error {
	switch {
	case c.idle(id):
		return protocolError
	case c.wasReset(id):
		return nil
	case !c.offend(w.now) || !c.answer():
		return enhanceYourCalm
	}
	c.resetStream(w, id, streamClosed)
	return nil
}

// mostAnswers is how many frames that only answer an endpoint's may wait for
// its socket. A client's are bounded by full.
const mostAnswers = 4096

// answer counts a frame that is due to nothing but one of the peer's; false
// means that the peer asks and does not read the answers. The caller holds mu.
func (c *conn) answer() bool {
	c.answers++
	return c.down() || !c.stuck.Load() || c.answers <= mostAnswers
}

// How much of what makes work for nothing a peer may send: bursts of up to
// fullPatience, refillPerSecond in the long run, and one for each stream that
// ends well. A client may so cancel half of its calls at any rate.
const (
	fullPatience    = 256
	refillPerSecond = 64
)

// offend counts an offence, which a stream that was reset is, whoever made us
// reset it; false means that it was one too many. Endpoints may offend: their
// connections are shared. The caller holds mu.
func (c *conn) offend(now time.Time) bool {
	more := int(now.Sub(c.refilled) * refillPerSecond / time.Second)
	if more > 0 {
		c.patience = min(c.patience+more, fullPatience)
		c.refilled = now
	}
	c.patience--
	return c.patience > 0 || !c.down()
}
