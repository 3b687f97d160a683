package http2

import (
	"time"

	"github.com/weft-mesh/weft/pkg/nodeproxy/http2/hpack"
	"github.com/weft-mesh/weft/pkg/nodeproxy/upstream"
	"github.com/weft-mesh/weft/pkg/policy"
)

// origin names the half of an endpoint's connection that something came from.
type origin struct {
	conn *conn
	id   uint32
}

// answering returns the half that an endpoint's stream answers, nil where it is
// gone or is answered by another stream meanwhile. The caller holds mu.
func (c *conn) answering(id uint32, by origin) *half {
	h := c.halves[id]
	if h == nil || h.peer != by.conn || h.peerID != by.id {
		return nil
	}
	return h
}

// answerHead passes the head of an answer on, or a 1xx before it.
func (c *conn) answerHead(w *work, id uint32, by origin, end bool) {
	m := &by.conn.message
	c.mu.Lock()
	defer c.mu.Unlock()
	h := c.answering(id, by)
	if h == nil {
		return
	}
	if m.status >= 200 {
		h.call.try.Answered(w.now)
		if c.retry(w, h, policy.Outcome{Kind: policy.Answered, Status: m.status, GRPC: m.grpcStatus}) {
			return
		}
		h.call.status, h.call.tryUntil = m.status, time.Time{}
		h.call.grpc = h.call.grpc || m.grpc
		h.call.grpcStatus = m.grpcStatus
	}
	h.call.forget()
	if cookie := h.call.policy.Cookie(&h.call.try); cookie != "" && m.status >= 200 {
		m.block = hpack.AppendField(m.block, []byte("set-cookie"), []byte(cookie))
	}
	c.head(w, h, m.block, end)
}

// answerBody passes a piece of an answer on.
func (c *conn) answerBody(w *work, id uint32, by origin, f frame) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if h := c.answering(id, by); h != nil {
		c.send(w, h, f.payload, f.has(flagEndStream))
	}
}

// answerTail passes an answer's trailers on.
func (c *conn) answerTail(w *work, id uint32, by origin) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if h := c.answering(id, by); h != nil {
		h.call.grpcStatus = by.conn.message.grpcStatus
		c.tail(w, h, by.conn.message.block)
	}
}

// loss is the end of an endpoint's stream that was not its regular one.
type loss struct {
	from        *conn
	fromID      uint32
	id          uint32 // of the client's half
	code        errorCode
	unprocessed bool            // the endpoint did not begin with it
	goodbye     bool            // for it takes nothing more on that connection
	reason      upstream.Reason // empty means UpstreamReset
}

// what says it to a client that has got no answer.
func (l *loss) what() string {
	if l.reason == upstream.UpstreamTimeout {
		return "the endpoint took nothing of the request for too long"
	}
	return "the endpoint broke off before its answer"
}

// outcome is what the loss says of a try.
func (l *loss) outcome() policy.Outcome {
	if l.unprocessed {
		return policy.Outcome{Kind: policy.Refused}
	}
	return policy.Outcome{Kind: policy.Reset}
}

// lost takes the loss of the endpoint's side. What was not processed is sent
// once more where it can be. A request without an answer gets one; an answer
// that has begun is broken off. An endpoint may also stop an upload once its
// answer is complete (RFC 9113 §8.1).
func (c *conn) lost(w *work, l loss) {
	c.mu.Lock()
	defer c.mu.Unlock()
	h := c.answering(l.id, origin{l.from, l.fromID})
	if h == nil {
		return
	}
	x := &h.call
	h.peer = nil
	switch {
	case x.status != 0 && l.code == noError && (h.end || h.localEnd):
		c.stopUpload(w, h)
	case x.status != 0:
		x.reason = reasonOr(l.reason)
		c.drop(w, h, brokenBy(l.code))
	case l.unprocessed && x.keep && (x.tries < mostTries || l.goodbye && x.tries < mostGoodbyes):
		c.again(w, h)
	case l.code == cancelled && x.timeout > 0 && w.now.Sub(x.started) >= x.timeout:
		// gRPC servers reset a call whose deadline is over, which the caller may
		// not have noticed yet.
		c.refuse(w, h, refusal{reason: upstream.Timeout, what: "the caller's deadline is over"})
	case c.retry(w, h, l.outcome()):
	default:
		c.refuse(w, h, refusal{reason: reasonOr(l.reason), what: l.what()})
	}
}

// reasonOr is the reason, UpstreamReset for none.
func reasonOr(r upstream.Reason) upstream.Reason {
	if r == "" {
		return upstream.UpstreamReset
	}
	return r
}

// brokenBy is what a client is told of a code that ended the endpoint's stream:
// an answer that is not complete was not ended by NO_ERROR.
func brokenBy(code errorCode) errorCode {
	if code == noError {
		return internalError
	}
	return code
}

// again sends a request to another endpoint, or to the same where there is no
// other. Whoever was tried may be tried again once all were: the last of them may
// be the one that never takes it. The caller holds mu.
func (c *conn) again(w *work, h *half) {
	x := &h.call
	x.endpoint.Release()
	x.endpoint, x.waiting = x.try.Again(), true
	c.dispatchAgain(w, h)
}

// stopUpload tells the client, after the whole answer, that the rest of its
// request is not wanted. The caller holds mu.
func (c *conn) stopUpload(w *work, h *half) {
	h.thenReset = true
	if h.localEnd && !h.remoteEnd {
		c.drop(w, h, noError)
	}
}
