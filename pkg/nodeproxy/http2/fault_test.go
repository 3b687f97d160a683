package http2_test

import (
	"testing"

	"github.com/weft-mesh/weft/pkg/nodeproxy/http2"
	x "golang.org/x/net/http2"
)

// A fault ends the connection that it happened on, with what it had begun; the
// endpoint's connection, and all others, go on.
func TestB54AFaultEndsOneConnection(t *testing.T) {
	begun, reset := make(chan event, 3), make(chan event, 1)
	w := newWorld(t, http2.Config{}, endpoint(t, func(p *peer, e event) {
		hello(p, e)
		if e.kind == x.FrameHeaders {
			begun <- e
		}
		if e.kind == x.FrameRSTStream {
			reset <- e
		}
	}))
	c, other := w.hostile(), w.hostile()
	c.ask(1, true)
	c.answered(1)
	c.ask(3, false)
	other.ask(1, false)
	for range 3 {
		<-begun
	}
	snapshot := w.snapshot.Swap(nil) // who asks it for a route now fails
	c.ask(5, true)
	eventually(t, "the connection ends", c.ended)
	w.snapshot.Store(snapshot)
	if e := <-reset; e.code != x.ErrCodeCancel {
		t.Errorf("the endpoint was told %v", e.code)
	}
	other.data(1, true, "")
	other.answered(1)
}
