package http1

import (
	"io"
	"time"

	"github.com/weft-mesh/weft/pkg/nodeproxy/http1/wire"
	"github.com/weft-mesh/weft/pkg/nodeproxy/poll"
)

// flow is bytes on their way from one connection to another. What the sink does
// not take stays here, and the source is not read meanwhile.
type flow struct {
	out  []byte  // goes first: heads, and small pieces that were gathered
	sent int     // of out
	pass []byte  // goes then: a part of buf
	put  []byte  // and then this
	buf  []byte  // buf[r:w] was read and is not used yet
	r, w int     // in buf
	lent *[]byte // the engine's, where buf is one
	over bool    // the source has ended
	shut bool    // and the sink was told
	// since is when enough bytes had moved last, or the turn of the side began
	// that must move; owed is how many are enough the next time.
	since time.Duration
	owed  int
	least int  // is enough for the sink
	stuck bool // it is the sink's turn
}

// count takes it that bytes have moved of the side whose turn it is. least is
// how many are enough from then on.
func (f *flow) count(n, least int, now time.Duration) {
	if f.owed -= n; f.owed <= 0 {
		f.since, f.owed = now, least
	}
}

// turn begins the turn of one side.
func (f *flow) turn(stuck bool, now time.Duration) {
	if f.stuck != stuck {
		f.stuck, f.since, f.owed = stuck, now, f.least
	}
}

// waits tells that the sink has not taken everything.
func (f *flow) waits() bool { return len(f.out) > 0 || len(f.pass) > 0 }

// flush sends what is on its way. done is false where the sink takes no more now,
// or the batch was asked.
func (f *flow) flush(to *poll.Socket, batch *poll.Batch, now time.Duration) (done bool, err error) {
	for f.waits() {
		n, err := batch.Send(to, f.out[f.sent:], f.pass)
		if err == poll.ErrAsked {
			return false, nil
		}
		if err == poll.ErrWouldBlock {
			f.turn(true, now)
			return false, nil
		}
		if err != nil {
			return false, err
		}
		if f.stuck {
			f.count(n, f.least, now)
		}
		of := min(n, len(f.out)-f.sent)
		f.sent += of
		f.pass = f.pass[n-of:]
		if f.sent == len(f.out) {
			f.out, f.sent = f.out[:0], 0
			if len(f.pass) == 0 {
				f.out, f.pass, f.put = append(f.out, f.put...), nil, nil
			}
		}
	}
	f.turn(false, now)
	return true, nil
}

// scan takes what is there of a body: small pieces are gathered, so that they
// are sent with one system call, a large one is sent from where it stands. It
// stops before what is incomplete, and after the body.
func (f *flow) scan(body *wire.Body) error {
	for f.r < f.w && !body.Done() && len(f.pass)+len(f.put) == 0 {
		step, err := body.Scan(f.buf[f.r:f.w])
		if err != nil {
			return err
		}
		if step.Pass+step.Drop == 0 {
			return nil
		}
		pass := f.buf[f.r : f.r+step.Pass]
		f.r += step.Pass + step.Drop
		if len(f.out)+len(pass)+len(step.Put) <= gathered {
			f.out = append(append(f.out, pass...), step.Put...)
		} else {
			f.pass, f.put = pass, step.Put
		}
	}
	return nil
}

// compact makes room behind buf[r:w].
func (f *flow) compact() {
	if f.r > 0 {
		f.w = copy(f.buf, f.buf[f.r:f.w])
		f.r = 0
	}
}

// lend gives the flow memory of the engine.
func (e *Engine) lend(f *flow) {
	if f.lent == nil {
		f.lent = e.buffer()
		f.w = copy(*f.lent, f.buf[f.r:f.w])
		f.buf, f.r = *f.lent, 0
	}
}

// lay gives it back.
func (e *Engine) lay(f *flow) {
	if f.lent != nil {
		e.give(f.lent)
	}
	f.lent, f.buf, f.r, f.w = nil, nil, 0, 0
}

// carry moves plain bytes until the source has nothing or the sink takes no
// more. It holds memory only while there is something to carry. An end is
// passed on as such.
func (c *conn) carry(f *flow, from, to *poll.Socket) error {
	for !f.shut {
		done, err := f.flush(to, nil, c.now)
		if !done {
			return err
		}
		if f.over {
			f.shut = true
			to.CloseWrite()
			break
		}
		if !from.CanRead || !c.mayGoOn() {
			break
		}
		c.engine.lend(f)
		n, err := from.Receive(f.buf)
		switch {
		case err == io.EOF:
			f.over = true
		case err != nil && err != poll.ErrWouldBlock:
			return err
		}
		f.pass = f.buf[:n]
	}
	c.engine.lay(f)
	return nil
}
