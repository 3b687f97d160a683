package http1

import (
	"errors"

	"github.com/weft-mesh/weft/pkg/mesh"
	"github.com/weft-mesh/weft/pkg/nodeproxy/http1/wire"
	"github.com/weft-mesh/weft/pkg/nodeproxy/upstream"
	"github.com/weft-mesh/weft/pkg/telemetry"
)

// take takes what was read of a request. It returns true where that is enough
// to go on with: the state has changed.
func (c *conn) take(x *exchange) bool {
	f := &x.up
	if !x.headed {
		if f.r == f.w {
			f.r, f.w = 0, 0
			return false
		}
		if ok, done := c.readHead(x); !ok {
			return done
		}
	}
	done, err := x.hold()
	switch {
	case err != nil:
		c.malformed(x, err)
		return true
	case x.policy.Active() && c.tooMuch(x):
		return true
	case !done && x.fits():
		c.engine.room(x)
		return false
	case !done && x.replays():
		f.since = c.now // what has come is sent, and kept as well
	case !done:
		x.streamed = true
		// Large bodies move in large pieces.
		c.engine.lend(f)
		f.since = c.now
	default:
		c.taken(x)
	}
	c.serve(x)
	return true
}

// taken notes that the request was read to its end.
func (c *conn) taken(x *exchange) { x.whole, x.ended = true, c.Ended }

// readHead reads a request's head. ok is false where it is not complete, or
// where done tells that it was answered.
func (c *conn) readHead(x *exchange) (ok, done bool) {
	f := &x.up
	if !x.request.Begun() {
		x.started = c.now
	}
	n, err := x.request.Parse(f.buf[f.r:f.w])
	if err != nil {
		c.locate(x) // for whom it was
		c.malformed(x, err)
		return false, true
	}
	if n == 0 {
		c.engine.room(x)
		return false, false
	}
	x.headed = true
	f.r += n
	return c.begin(x)
}

// begin decides a request by the Table of this moment and writes its head down
// as the endpoint gets it.
func (c *conn) begin(x *exchange) (ok, done bool) {
	x.again()
	if !c.locate(x) {
		c.refuse(x, refusal{reason: upstream.NoRoute, what: "this port leads to no Service any more", close: true})
		return false, true
	}
	x.decision = c.caller.Decide(x.snapshot, x.route, &x.request)
	if x.decision.Cluster == nil {
		x.refusal = refusal{reason: x.decision.Reason, what: x.decision.What}
	} else {
		x.try = x.decision.Cluster.Try(c.client)
		if x.route.Policies != nil {
			c.admit(x)
		}
	}
	if x.refusal.reason != "" && !x.request.Bodiless() {
		// The body is not waited for.
		c.refuse(x, x.refusal)
		return false, true
	}
	x.body = x.request.Body()
	x.up.since, x.up.owed = c.now, x.due(c.engine)
	if x.request.Expects() {
		x.down.out = append(x.down.out, "HTTP/1.1 100 Continue\r\n\r\n"...)
		if _, err := x.down.flush(&c.Socket, nil, c.now); err != nil {
			c.gone(x)
			return false, true
		}
	}
	x.forward.Client = c.address
	if service := x.route.Port.Service; x.request.Old() {
		x.forward.Host = service.Name + "." + service.Namespace
	}
	if x.policy.Active() {
		x.edit()
	}
	x.out = x.request.Append(x.out[:0], &x.forward)
	return true, false
}

// locate finds where a request goes by the Table of this moment, and notes what
// was read of it where somebody wants that. It returns false where the port
// leads nowhere, or not by this engine any more.
func (c *conn) locate(x *exchange) bool {
	x.snapshot = c.engine.config.Current()
	x.route = x.snapshot.Route(c.at)
	if x.route == nil {
		return false
	}
	if c.engine.config.Events.Want(x.route.AccessLog()) {
		x.note = telemetry.NewNote(&x.request)
	}
	return x.route.Port.Protocol != mesh.HTTP2 && x.route.Port.Protocol != mesh.Opaque
}

// malformed refuses what the client sent.
func (c *conn) malformed(x *exchange, err error) {
	reason, status := upstream.BadRequest, 400
	var what *wire.Error
	if errors.As(err, &what) {
		status = what.Status
	}
	if status == 405 {
		reason = upstream.MethodRefused
	}
	c.refuse(x, refusal{reason: reason, status: status, what: err.Error(), close: true})
}
