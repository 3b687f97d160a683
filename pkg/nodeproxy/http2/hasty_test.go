package http2_test

import (
	"net"
	"strings"
	"testing"

	"github.com/weft-mesh/weft/pkg/nodeproxy/http2"
	x "golang.org/x/net/http2"
)

// An endpoint may answer in the middle of a body and reset its connection. The
// answer arrives, though the reset may be told to who sends the body before
// anybody hears of the answer.
func TestAnAnswerBeforeAResetArrives(t *testing.T) {
	hasty := func(p *peer, e event) {
		if e.kind == x.FrameData && e.stream == 1 && len(e.data) > 0 {
			p.headers(1, true, ":status", "413")
			_ = p.conn.(*net.TCPConn).SetLinger(0)
			_ = p.conn.Close()
		}
	}
	w := newWorld(t, http2.Config{})
	piece := strings.Repeat("x", 100)
	for n := range 300 {
		w.serve(endpoint(t, hasty)) // the connection that was reset last is not met again
		p := w.hostile()
		p.ask(1, false)
		stop, stopped := make(chan struct{}), make(chan struct{})
		go func() {
			defer close(stopped)
			for range 600 {
				select {
				case <-stop:
					return
				default:
					p.data(1, false, piece)
				}
			}
		}()
		status := p.answered(1).fields[":status"]
		close(stop)
		<-stopped
		_ = p.conn.Close()
		if status != "413" {
			t.Fatalf("request %d: got %s", n, status)
		}
	}
}
