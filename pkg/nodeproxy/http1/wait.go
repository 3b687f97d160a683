package http1

import (
	"time"

	"github.com/weft-mesh/weft/pkg/nodeproxy/upstream"
)

// deadline returns until when the conn waits in its state, 0 for ever. It is
// negative for a conn that is idle. What a state waits for is written here; what
// it does when that time has come, in expire.
func (c *conn) deadline() (until time.Duration) {
	most, x := &c.engine.config.Limits, c.x
	switch c.state {
	case reading:
		switch {
		case x == nil:
			return -(c.since + most.IdleTimeout)
		case x.headed:
			return earlier(x.overAt, x.up.since+most.BodyTimeout)
		}
		return x.started + most.HeadTimeout
	case waiting, dialing, exchanging:
		until = x.wake(c.state)
		if x.left != 0 {
			until = earlier(until, x.left+grace)
		}
		if c.state == exchanging && c.uploads(x) {
			until = earlier(until, x.up.since+most.BodyTimeout)
		}
		if x.down.waits() {
			until = earlier(until, x.down.since+most.BodyTimeout)
		}
	case answered:
		return earlier(x.overAt, x.down.since+most.BodyTimeout)
	case lingering:
		return c.since + patienceToLinger
	}
	return until
}

// earlier returns the earlier of two deadlines, of which the first may be none.
func earlier(one, other time.Duration) time.Duration {
	if one == 0 {
		return other
	}
	return min(one, other)
}

// arm sees to it that the conn is told when its deadline has come: by the watch,
// or by a timer where that would be too coarse. A deadline that was told before
// and does not hold any more is found out when it comes: most waits have none,
// and telling so would cost each request.
func (c *conn) arm() {
	until := c.deadline()
	if until == 0 && !c.late || int64(until) == c.due.Load() {
		c.late = false
		return
	}
	c.late = false
	c.due.Store(int64(until))
	if soon := until - c.now; 0 < soon && soon < 2*watchEvery {
		c.engine.running.Add(1)
		time.AfterFunc(soon, func() {
			defer c.engine.running.Done()
			c.post(timeUp, nil)
		})
	}
}

// expired tells whether what the conn waits for has not come in time.
func (c *conn) expired() bool {
	return overdue(c.engine, int64(c.deadline()), c.now)
}

// overdue tells whether a deadline is over, for an idle conn also whether it
// has been idle for long enough to be closed quietly.
func overdue(e *Engine, until int64, now time.Duration) bool {
	if until < 0 {
		at := time.Duration(-until)
		return now >= at || e.quiet.Load() && now-(at-e.config.Limits.IdleTimeout) > idleLongEnough
	}
	return until > 0 && now >= time.Duration(until)
}

// expire does what is due when the time of a state is over.
func (c *conn) expire() {
	c.late = false
	switch c.state {
	case waiting, dialing, exchanging:
		x := c.x
		if x.policy.Active() && c.policyDue(x) {
			return
		}
		if c.refusesBody(x) {
			c.overdue(x, upstream.UpstreamTimeout, "the endpoint took nothing of the request for too long")
			return
		}
		if x.left == 0 || c.now < x.left+grace {
			c.gone(x)
			return
		}
		// The answer may have come, unheard as yet. A look that is late itself
		// does not count: the process, not the client, was slow.
		if c.now < x.left+grace+grace/2 {
			x.looks++
		}
		x.left = c.now
		if c.link != nil {
			c.link.CanRead = true
		}
	case answered:
		c.gone(c.x)
	default:
		if x := c.x; x != nil && x.overAt != 0 && c.now >= x.overAt {
			c.refuse(x, refusal{reason: upstream.Timeout, what: tookTooLong})
			return
		}
		c.end()
	}
}

// refusesBody tells whether it is the endpoint that takes no byte of the request
// for too long.
func (c *conn) refusesBody(x *exchange) bool {
	turn := c.state == exchanging && c.uploads(x) && (x.sent < len(x.out) || x.up.stuck)
	return turn && c.now >= x.up.since+c.engine.config.Limits.BodyTimeout
}

// gone ends a connection whose client has left, or takes part no more.
func (c *conn) gone(x *exchange) {
	if c.state != answered {
		c.count(x, upstream.StatusClientGone, upstream.ClientGone)
	}
	if x.told {
		c.Abort() // an answer that is cut must not look whole
	}
	c.end()
}

// hasLeft tells whether the client has gone while its request is worked on. A
// client that ended its stream with its request waits for the answer; one that
// does so later has a short time to show that it reads.
func (c *conn) hasLeft(x *exchange) bool {
	switch {
	case c.Broken:
		return true
	case !c.Ended || c.half || x.ended || !x.whole:
		return false
	case x.left == 0:
		x.left = c.now
	}
	return x.looks == mostLooks
}
