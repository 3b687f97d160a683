package http2

import (
	"errors"
	"net"
	"sync"
	"syscall"
	"time"
)

// readBytes is how much is read at once.
const readBytes = 64 << 10

// driver moves the bytes of one connection by plain system calls. One goroutine
// reads, at most one writes.
type driver struct {
	tcp *net.TCPConn
	raw syscall.RawConn

	// Of the one call of write that runs.
	out  []byte
	wait bool
	n    int
	err  error
	call func(fd uintptr) bool
}

func newDriver(tcp *net.TCPConn) (*driver, error) {
	raw, err := tcp.SyscallConn()
	if err != nil {
		return nil, err
	}
	d := &driver{tcp: tcp, raw: raw}
	d.call = d.send
	return d, nil
}

// write implements wire.
func (d *driver) write(b []byte, wait bool) (int, error) {
	d.out, d.wait, d.n, d.err = b, wait, 0, nil
	if err := d.raw.Write(d.call); err != nil {
		return d.n, err
	}
	return d.n, d.err
}

// send writes what the socket takes; false waits for room.
func (d *driver) send(fd uintptr) bool {
	for d.n < len(d.out) {
		n, err := send(int(fd), d.out[d.n:])
		if err == syscall.EINTR {
			continue
		}
		if err == syscall.EAGAIN {
			return !d.wait || d.n > 0
		}
		if d.n += n; err != nil {
			d.err = err
			return true
		}
	}
	return true
}

// closeWrite implements wire.
func (d *driver) closeWrite() { _ = d.tcp.CloseWrite() }

// cut implements wire. Closing would wait for whoever uses the connection.
func (d *driver) cut() {
	_ = d.tcp.CloseRead()
	_ = d.tcp.CloseWrite()
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

// run serves a connection to its end, beginning with what was read before.
func (d *driver) run(c *conn, w *work, first []byte) {
	defer d.close(c, w)
	defer c.engine.guard("a connection failed by a fault of the proxy")
	w.finish()
	in := input{memory: c.engine.readers.get()}
	in.have = copy(*in.memory, first)
	over := in.have > 0 && !in.digest(c, w)
	_ = d.raw.Read(func(fd uintptr) bool {
		for !c.killed.Load() {
			if in.memory == nil {
				in.memory = c.engine.readers.get()
			}
			n, err := receive(int(fd), (*in.memory)[in.have:])
			if errors.Is(err, syscall.EINTR) {
				continue
			}
			if errors.Is(err, syscall.EAGAIN) {
				in.lay(c)
				return false
			}
			if err != nil || n == 0 {
				return true
			}
			if !over {
				in.have += n
				over = !in.digest(c, w)
			}
			if over {
				in.have = 0
			}
		}
		return true
	})
	in.have = 0
	in.lay(c)
}

// digest feeds what was read to the engine and does what comes of it. False
// means that the connection is over but for what is still to be written.
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
	w.finish()
	c.noteProgress(w.now, used > 0, in.have > 0)
	c.awaitRoom()
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

// close ends a connection, whatever state it is in.
func (d *driver) close(c *conn, w *work) {
	c.mu.Lock()
	c.kill()
	c.mu.Unlock()
	_ = d.tcp.Close()
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
	w.finish()
}
