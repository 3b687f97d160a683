package http2

import "github.com/weft-mesh/weft/pkg/nodeproxy/upstream"

// maxInterim is how many 1xx answers an endpoint may send before the real one.
const maxInterim = 8

// fromEndpoint takes an answer's head, or its trailers.
func (c *conn) fromEndpoint(w *work, f frame) error {
	c.mu.Lock()
	h := c.halves[f.stream]
	never, headed := c.idle(f.stream), h != nil && h.headed
	c.mu.Unlock()
	if never {
		return protocolError
	}
	m, err := &c.message, error(nil)
	if headed {
		err = m.trailers(f.payload)
	} else {
		err = m.response(f.payload)
	}
	if err != nil {
		return compressionError
	}
	c.mu.Lock()
	if h = c.halves[f.stream]; h == nil {
		c.mu.Unlock()
		return nil // it was reset while this was on its way
	}
	end := f.has(flagEndStream)
	if wrong := h.judge(m, headed, end); wrong != noError || f.has(flagOwnParent) {
		c.blame(w, h, max(wrong, protocolError))
		return nil
	}
	h.remoteEnd = end
	to, id, by := h.peer, h.peerID, origin{c, h.id}
	c.settle(w, h)
	c.mu.Unlock()
	if headed {
		to.answerTail(w, id, by)
	} else {
		to.answerHead(w, id, by, end)
	}
	return nil
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
	c.mu.Lock()
	h := c.halves[f.stream]
	if h == nil {
		defer c.mu.Unlock()
		return c.late(w, f.stream)
	}
	wrong := c.receive(w, h, f, length)
	if wrong == noError && !h.headed {
		wrong = protocolError
	}
	if wrong != noError {
		c.blame(w, h, wrong)
		return nil
	}
	to, id, by := h.peer, h.peerID, origin{c, h.id}
	c.settle(w, h)
	c.mu.Unlock()
	to.answerBody(w, id, by, f)
	return nil
}

// blame resets a stream for what the endpoint did wrong, both ways. The caller
// holds mu; it is unlocked afterwards.
func (c *conn) blame(w *work, h *half, code errorCode) {
	l := loss{from: c, fromID: h.id, id: h.peerID, code: protocolError, reason: upstream.UpstreamMalformed}
	to := h.peer
	c.drop(w, h, code)
	c.mu.Unlock()
	to.lost(w, l)
}

// abandoned takes the end of a connection to an endpoint that still delivers
// the streams up to last: no new ones, and the later ones were not processed.
func (c *conn) abandoned(w *work, last uint32) {
	c.mu.Lock()
	c.leaving = true
	losses := c.collect(w, last)
	if len(c.halves) == 0 {
		c.end(w)
	}
	c.mu.Unlock()
	c.pool.leave(c)
	for _, l := range losses {
		l.loss.unprocessed = true
		l.to.lost(w, l.loss)
	}
	w.wake(c.pool)
}

// lossOf is a loss and whose it is.
type lossOf struct {
	to   *conn
	loss loss
}

// collect removes the halves above a stream. The caller holds mu.
func (c *conn) collect(w *work, above uint32) (out []lossOf) {
	for id, h := range c.halves {
		if id > above {
			out = append(out, lossOf{h.peer, loss{from: c, fromID: id, id: h.peerID, code: cancelled}})
			c.remove(w, h)
		}
	}
	return out
}
