package http2

import (
	"errors"
	"sync"
	"time"

	"github.com/weft-mesh/weft/pkg/nodeproxy/poll"
	"github.com/weft-mesh/weft/pkg/nodeproxy/tlsrelay"
)

const (
	// readBytes is how much is read at once.
	readBytes = 64 << 10
	// mostReads is how often a connection is read before others have their turn.
	mostReads = 32
)

// What a driver is told beside the events of its socket.
const news = 1 << poll.EventBits // it may go on for another reason

// driver moves the bytes of one connection. Whoever tells it something while
// nobody reads has the turn, and reads until nothing more was told. What is to be
// written is written by whoever has added to it, and by the poller once a full
// socket takes bytes again.
type driver struct {
	poll.Socket
	turn  poll.Turn
	conn  *conn
	read  func(*work) progress
	shelf int             // the number of its poller
	relay *tlsrelay.Relay // behind the socket where TLS is spoken, else nil

	// Of whoever reads.
	reader *work // that has asked its batch, and the result is not taken yet; else nil
	reads  int   // left until others have their turn
	in     input
	over   bool // the peer broke the rules: what it still sends is dropped
}

// progress is what came of reading.
type progress uint8

const (
	waits    progress = iota // for what is posted next
	asks                     // the batch
	goesOn                   // after others have had their turn
	finished                 // the connection is over
)

// newDriver takes a connection over.
func (e *Engine) newDriver(conn poll.Connection, shelf int) (*driver, error) {
	d := &driver{shelf: shelf % len(e.pollers)}
	d.turn.Begin() // whoever starts it: it may be written to before
	d.read = d.readFrames
	return d, d.Take(conn)
}

// start begins to serve the connection, with what was read before.
func (d *driver) start(w *work, first []byte) {
	e := d.conn.engine
	d.in.memory = e.readers.get()
	d.in.have = copy(*d.in.memory, first)
	if err := e.pollers[d.shelf].Add(&d.Socket, d); err != nil {
		e.config.Log.Error().Err(err).Msg("a connection of HTTP/2 cannot be watched")
		d.close(w)
	} else {
		d.run(w, news)
	}
	w.finish()
}

// Happened is told by the poller.
func (d *driver) Happened(e poll.Events, batch *poll.Batch) {
	w := &d.conn.engine.works[d.shelf]
	w.batch = batch
	if e&(poll.Writable|poll.Broken) != 0 {
		d.conn.resume(w)
	}
	if e &^= poll.Writable; e != 0 {
		d.post(w, uint32(e))
	}
}

// post tells the driver something. Unless somebody reads, the caller does.
func (d *driver) post(w *work, bits uint32) {
	if bits, mine := d.turn.Claim(bits); mine {
		d.run(w, bits)
	}
}

// run reads until there is nothing to do. The caller has the turn, which does not
// end when the connection is over: nobody comes after. A fault costs this
// connection only.
func (d *driver) run(w *work, bits uint32) {
	d.NoteInput(poll.Events(bits))
	d.reads = mostReads
	d.goOn(w)
}

// Resume goes on with what the batch has read.
func (d *driver) Resume() { d.goOn(d.reader) }

// goOn reads on; after the batch, which was asked with the turn held, with its
// result first.
func (d *driver) goOn(w *work) {
	over := true
	defer func() {
		if over {
			d.close(w)
		}
	}()
	defer d.conn.engine.guard("a connection failed by a fault of the proxy")
	for {
		switch d.read(w) {
		case finished:
			return
		case asks:
			over = false
			w.batch.Hold(d)
			return
		case goesOn:
			over = false
			d.conn.engine.running.Go(func() {
				w := &work{engine: d.conn.engine, now: time.Now()}
				defer w.finish()
				d.run(w, d.turn.Told())
			})
			return
		}
		bits, ended := d.turn.End()
		if ended {
			over = false
			return
		}
		d.NoteInput(poll.Events(bits))
	}
}

// readFrames reads what there is and has it digested.
func (d *driver) readFrames(w *work) progress {
	c := d.conn
	if d.in.memory != nil && d.in.have > 0 && !d.over {
		d.over = !d.in.digest(c, w)
	}
	for ; d.reads > 0; d.reads-- {
		if c.killed.Load() {
			return finished
		}
		if d.reader == nil && c.full() {
			d.in.lay(c)
			return waits
		}
		if d.in.memory == nil {
			d.in.memory = c.engine.readers.get()
		}
		n, err := w.batch.Receive(&d.Socket, (*d.in.memory)[d.in.have:])
		if err == poll.ErrAsked {
			d.reader = w
			return asks
		}
		d.reader = nil
		if err == poll.ErrWouldBlock {
			d.in.lay(c)
			return waits
		}
		if err != nil {
			return finished
		}
		if d.in.have += n; !d.over {
			d.over = !d.in.digest(c, w)
		}
		if d.over {
			d.in.have = 0
		}
	}
	return goesOn
}

// write implements wire.
func (d *driver) write(w *work, b []byte) (n int, err error) {
	for n < len(b) {
		d.CanWrite = true // nobody else keeps that
		m, err := w.batch.Send(&d.Socket, b[n:], nil)
		if err == poll.ErrWouldBlock {
			break
		}
		if n += m; err != nil {
			return n, err
		}
	}
	return n, nil
}

// Close closes the socket.
func (d *driver) Close() {
	d.Socket.Close()
	if d.relay != nil {
		d.relay.Close()
	}
}

// closeWrite implements wire.
func (d *driver) closeWrite() { d.CloseWrite() }

// cut implements wire.
func (d *driver) cut() {
	d.CloseRead()
	d.CloseWrite()
}

// close ends a connection, whatever state it is in.
func (d *driver) close(w *work) {
	c := d.conn
	d.in.have = 0
	d.in.lay(c)
	c.mu.Lock()
	c.kill()
	if c.gone = true; !c.writing {
		d.Close()
	}
	c.mu.Unlock()
	if !c.down() {
		c.pool.endpoint.Disconnected()
	}
	w.now = time.Now()
	defer func() {
		c.engine.unregister(c)
		if c.down() {
			c.client.ended()
		}
	}()
	defer c.engine.guard("a connection could not be taken down by a fault of the proxy")
	c.lose(w)
}

// input is what was read of a connection and not yet used. Its memory is lent
// while there is something in it only.
type input struct {
	memory *[]byte
	have   int
}

// readers lends memory for reading.
type readers struct{ pool sync.Pool }

func (r *readers) get() *[]byte {
	if b, ok := r.pool.Get().(*[]byte); ok {
		return b
	}
	b := make([]byte, readBytes)
	return &b
}

// digest feeds what was read to the engine, which writes down what comes of it.
// False means that the connection is over but for what is still to be written.
func (in *input) digest(c *conn, w *work) bool {
	w.now = time.Now()
	memory := *in.memory
	used, err := c.feed(w, memory[:in.have])
	in.have = copy(memory, memory[used:in.have])
	if err != nil {
		code := internalError
		errors.As(err, &code)
		c.engine.config.Log.Debug().Err(err).Bool("client", c.down()).Msg("a connection broke the rules of HTTP/2")
		c.fail(w, code)
	}
	c.noteProgress(w.now, used > 0, in.have > 0)
	return err == nil
}

// lay gives the memory back while there is nothing in it.
func (in *input) lay(c *conn) {
	if in.have == 0 && in.memory != nil {
		c.engine.readers.pool.Put(in.memory)
		in.memory = nil
	}
}

// noteProgress remembers since when something is not whole: the preface with
// the first SETTINGS, a frame or a header block.
func (c *conn) noteProgress(now time.Time, used, rest bool) {
	switch partial := c.partial.Load(); {
	case c.settled && c.blockOf.stream == 0 && !rest:
		if partial != 0 {
			c.partial.Store(0)
		}
	case partial == 0 || used && c.settled && c.blockOf.stream == 0:
		c.partial.Store(now.UnixNano())
	}
}
