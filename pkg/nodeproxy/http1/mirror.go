package http1

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"net/netip"
	"time"

	"github.com/weft-mesh/weft/pkg/nodeproxy/upstream"
	"github.com/weft-mesh/weft/pkg/route"
	"github.com/weft-mesh/weft/pkg/telemetry"
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
	if x.copy.Cluster == nil {
		return
	}
	e := c.engine
	if x.streamed || !e.admitsCopy() {
		x.route.Policies.Count(telemetry.MirrorDropped)
		return
	}
	x.route.Policies.Count(telemetry.Mirrored)
	to := x.copy
	x.copy = upstream.Decision{}
	d := &delivery{
		engine: e, at: c.at, client: c.client, by: to.By, try: to.Cluster.Try(c.client),
		message: append([]byte(nil), x.out...), head: x.request.Head(),
	}
	e.running.Go(func() {
		defer e.copies.Add(-1)
		d.run()
	})
}

// admitsCopy counts one copy more, unless too many are under way.
func (e *Engine) admitsCopy() bool {
	if e.copies.Add(1) <= mostCopies {
		return true
	}
	e.copies.Add(-1)
	return false
}

// delivery is a copy on its way.
type delivery struct {
	engine  *Engine
	at      upstream.Key
	client  netip.Addr
	by      *route.Matcher // what allows it
	try     upstream.Try
	message []byte
	head    bool // it is HEAD
}

// run sends the copy over a connection of its own and reads the answer.
func (d *delivery) run() {
	e, endpoint := d.engine, d.try.Next()
	if endpoint == nil {
		return
	}
	defer endpoint.Release()
	conn, err := e.config.Dialer.Open(e.life, endpoint, upstream.ProtocolHTTP1, &e.running)
	if err != nil {
		return
	}
	defer endpoint.Disconnected()
	defer conn.Close()
	if tcp, ok := conn.Socket.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0) // nothing is lost: it is closed after the answer
	}
	_ = conn.SetDeadline(time.Now().Add(copyTimeout))
	done := make(chan struct{})
	defer close(done)
	e.running.Go(func() { d.cut(done, conn, endpoint) })
	if _, err := conn.Write(d.message); err != nil {
		return
	}
	asked := &http.Request{Method: http.MethodGet}
	if d.head {
		asked.Method = http.MethodHead
	}
	answer, err := http.ReadResponse(bufio.NewReader(conn), asked)
	if err != nil {
		return
	}
	d.try.Answered(time.Now())
	_, _ = io.Copy(io.Discard, answer.Body)
}

// cut stops a copy when the engine ends, or when access is revoked.
func (d *delivery) cut(done <-chan struct{}, conn net.Conn, endpoint *upstream.Endpoint) {
	look := time.NewTicker(copyTimeout / 20)
	defer look.Stop()
	for {
		select {
		case <-d.engine.life.Done():
		case <-done:
			return
		case <-look.C:
			if d.engine.config.Current().Holds(d.at, d.client, endpoint, upstream.Proof{Request: true, By: d.by}) {
				continue
			}
		}
		_ = conn.SetDeadline(time.Unix(1, 0))
		return
	}
}
