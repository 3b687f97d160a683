package http2_test

import (
	"bytes"
	"net/http"
	"testing"

	"github.com/weft-mesh/weft/pkg/nodeproxy/http2"
	x "golang.org/x/net/http2"
)

// Endpoints with large windows give nothing back before half of one was used
// (nghttp2, Netty and hyper do so).
func TestAnEndpointMayGiveCreditLate(t *testing.T) {
	const window, size = 1 << 20, 4 << 20
	stream, all := 0, 0
	w := newWorld(t, http2.Config{}, endpoint(t, func(p *peer, e event) {
		switch {
		case e.kind == x.FrameSettings && !e.ack:
			p.write(func() error { return p.framer.WriteWindowUpdate(0, window-65535) })
		case e.kind == x.FrameData:
			stream, all = stream+len(e.data), all+len(e.data)
			if stream >= window/2 {
				n := uint32(stream)
				stream = 0
				p.write(func() error { return p.framer.WriteWindowUpdate(0, n) })
				p.write(func() error { return p.framer.WriteWindowUpdate(e.stream, n) })
			}
			hello(p, e)
		}
	}, x.Setting{ID: x.SettingInitialWindowSize, Val: window}))
	answer, err := client(t).Post("http://"+w.at+"/", "text/plain", bytes.NewReader(make([]byte, size)))
	if err != nil {
		t.Fatal(err)
	}
	if body(t, answer) != "hello" || answer.StatusCode != http.StatusOK || all != size {
		t.Errorf("got %d after %d bytes", answer.StatusCode, all)
	}
}
