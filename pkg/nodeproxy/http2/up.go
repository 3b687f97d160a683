package http2

import (
	"github.com/weft-mesh/weft/pkg/nodeproxy/upstream"
	"github.com/weft-mesh/weft/pkg/policy"
)

// maxInterim is how many 1xx answers an endpoint may send before the real one.
const maxInterim = 8

// fromEndpoint takes an answer's head, or its trailers.
func (c *conn) fromEndpoint(w *work, f frame) error {
	never, headed, edits := c.stage(f.stream)
	if never {
		return protocolError
	}
	m, err := &c.message, error(nil)
	if headed {
		err = m.trailers(f.payload)
	} else {
		m.edits = edits
		err = m.response(f.payload)
	}
	if err != nil {
		return compressionError
	}
	switch on := c.accept(w, f, headed); {
	case on.to == nil: // it was reset while this was on its way
	case on.lost:
		on.to.lost(w, on.loss)
	case headed:
		on.to.answerTail(w, on.loss.id, on.by())
	default:
		on.to.answerHead(w, on.loss.id, on.by(), f.has(flagEndStream))
	}
	return nil
}

// stage tells how far an answer is (its stream was never opened, or its head
// came) and how its head is to be edited.
func (c *conn) stage(id uint32) (never, headed bool, edits *policy.Edits) {
	c.mu.Lock()
	defer c.mu.Unlock()
	h := c.halves[id]
	if h == nil {
		return c.idle(id), false, nil
	}
	return false, h.headed, h.edits
}

// accept takes a header block that was read into the message.
func (c *conn) accept(w *work, f frame, headed bool) step {
	c.mu.Lock()
	defer c.mu.Unlock()
	h := c.halves[f.stream]
	if h == nil {
		return step{}
	}
	end := f.has(flagEndStream)
	if wrong := h.judge(&c.message, headed, end); wrong != noError || f.has(flagOwnParent) {
		return c.blame(w, h, max(wrong, protocolError))
	}
	h.remoteEnd = end
	on := c.next(h)
	c.settle(w, h)
	return on
}

// step is where a frame of an endpoint leads, once its connection's lock is
// free again: to a client's half, or nowhere. lost means that the stream ended
// otherwise than it should.
type step struct {
	to   *conn
	loss loss
	lost bool
}

func (s *step) by() origin { return origin{s.loss.from, s.loss.fromID} }

// next is the step to the client's half. The caller holds mu.
func (c *conn) next(h *half) step {
	return step{to: h.peer, loss: loss{from: c, fromID: h.id, id: h.peerID, code: cancelled}}
}

// judge tells what is wrong with a block at this point of an answer (RFC 9113
// §8.1). The connection's lock is held.
func (h *half) judge(m *message, headed, end bool) errorCode {
	switch {
	case h.remoteEnd:
		return streamClosed
	case m.malformed || m.tooLarge:
		return protocolError
	case headed:
		if !end || h.length >= 0 && h.got != h.length {
			return protocolError
		}
		return noError
	case m.status < 200:
		if h.interim++; end || h.interim > maxInterim {
			return protocolError
		}
		return noError
	}
	h.headed, h.length = true, m.length
	if h.noBody || m.status == 204 || m.status == 304 {
		h.length = 0
	}
	if end && h.length > 0 {
		return protocolError
	}
	return noError
}

// download takes a piece of an answer's body.
func (c *conn) download(w *work, f frame, length int) error {
	on, err := c.piece(w, f, length)
	switch {
	case err != nil || on.to == nil:
	case on.lost:
		on.to.lost(w, on.loss)
	default:
		on.to.answerBody(w, on.loss.id, on.by(), f)
	}
	return err
}

func (c *conn) piece(w *work, f frame, length int) (step, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	h := c.halves[f.stream]
	if h == nil {
		return step{}, c.late(w, f.stream)
	}
	wrong := c.receive(w, h, f, length)
	if wrong == noError && !h.headed {
		wrong = protocolError
	}
	if wrong != noError {
		return c.blame(w, h, wrong), nil
	}
	on := c.next(h)
	c.settle(w, h)
	return on, nil
}

// blame resets a stream for what the endpoint did wrong; the step tells the
// client's half. The caller holds mu.
func (c *conn) blame(w *work, h *half, code errorCode) step {
	on := c.next(h)
	on.lost, on.loss.code, on.loss.reason = true, protocolError, upstream.UpstreamMalformed
	c.drop(w, h, code)
	return on
}

// abandoned takes the end of a connection to an endpoint that still delivers
// the streams up to last: no new ones, and the later ones were not processed.
func (c *conn) abandoned(w *work, last uint32) {
	losses := c.collect(w, last)
	c.pool.leave(c)
	for _, l := range losses {
		l.loss.unprocessed, l.loss.goodbye = true, true
		l.to.lost(w, l.loss)
	}
	w.wake(c.pool)
}

// collect takes no new streams and removes the halves above one. A connection
// without any is to end.
func (c *conn) collect(w *work, above uint32) (out []step) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.leaving = true
	for id, h := range c.halves {
		if id > above {
			out = append(out, c.next(h))
			c.remove(w, h)
		}
	}
	if len(c.halves) == 0 {
		c.end(w)
	}
	return out
}
