package http1

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"time"

	"github.com/weft-mesh/weft/pkg/nodeproxy/upstream"
)

const (
	// mostCopies is how many copies of requests are under way at once.
	mostCopies = 256
	// copyTimeout ends a copy that is not answered.
	copyTimeout = 10 * time.Second
)

// sendCopy sends a copy of a request that is held whole to where a policy wants
// one, unless too many are under way. A goroutine of its own sees to it.
func (c *conn) sendCopy(x *exchange) {
	if x.copy == nil || x.streamed {
		return
	}
	e := c.engine
	if e.copies.Add(1) > mostCopies {
		e.copies.Add(-1)
		return
	}
	try := x.copy.Try(c.client)
	message, head := append([]byte(nil), x.out...), x.request.Head()
	e.running.Go(func() {
		defer e.copies.Add(-1)
		e.deliver(&try, message, head)
	})
}

// deliver sends a copy over a connection of its own and reads the answer.
func (e *Engine) deliver(try *upstream.Try, message []byte, head bool) {
	endpoint := try.Next()
	if endpoint == nil {
		return
	}
	defer endpoint.Release()
	conn, err := e.config.Dialer.Dial(e.life, endpoint)
	if err != nil {
		return
	}
	defer endpoint.Disconnected()
	defer conn.Close()
	_ = conn.SetLinger(0) // nothing is lost: it is closed after the answer
	_ = conn.SetDeadline(time.Now().Add(copyTimeout))
	done := make(chan struct{})
	defer close(done)
	e.running.Go(func() { cutAtEnd(e.life.Done(), done, conn) })
	if _, err := conn.Write(message); err != nil {
		return
	}
	asked := &http.Request{Method: http.MethodGet}
	if head {
		asked.Method = http.MethodHead
	}
	answer, err := http.ReadResponse(bufio.NewReader(conn), asked)
	if err != nil {
		return
	}
	try.Answered()
	_, _ = io.Copy(io.Discard, answer.Body)
}

// cutAtEnd stops a copy when the engine ends.
func cutAtEnd(life, done <-chan struct{}, conn *net.TCPConn) {
	select {
	case <-life:
		_ = conn.SetDeadline(time.Unix(1, 0))
	case <-done:
	}
}
