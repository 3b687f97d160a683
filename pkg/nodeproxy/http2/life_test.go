package http2_test

import (
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/weft-mesh/weft/pkg/nodeproxy/http2"
	"github.com/weft-mesh/weft/pkg/nodeproxy/limits"
	x "golang.org/x/net/http2"
)

func TestB68DrainTellsClientsAndFinishesTheirStreams(t *testing.T) {
	held := make(chan func(), 2)
	w := newWorld(t, http2.Config{}, endpoint(t, onRequest(func(p *peer, e event) {
		held <- func() { p.headers(e.stream, true, ":status", "204") }
	})))
	c := w.hostile()
	c.ask(1, true)
	first := <-held
	w.engine.Drain()
	c.expect("a first GOAWAY", func(e event) bool { return e.kind == x.FrameGoAway && e.n == 1<<31-1 && e.code == 0 })
	c.ask(3, true) // it may not have read that yet
	second := <-held
	w.engine.Quiesce()
	ping := c.expect("a PING", func(e event) bool { return e.kind == x.FramePing && !e.ack })
	c.write(func() error { return c.framer.WritePing(true, [8]byte([]byte(ping.data))) })
	c.expect("a last GOAWAY", func(e event) bool { return e.kind == x.FrameGoAway && e.n == 3 && e.code == 0 })
	c.ask(5, true) // not processed, as it was told
	first()
	second()
	c.answered(1)
	c.answered(3)
	eventually(t, "the connection ends", c.ended)
	if got := c.find(func(e event) bool { return e.stream == 5 }); len(got) != 0 {
		t.Errorf("stream 5: %v", got)
	}
}

func TestB68AConnectionThatComesWhileDrainingIsServedAndTold(t *testing.T) {
	w := newWorld(t, http2.Config{}, endpoint(t, hello))
	w.engine.Drain()
	c := w.hostile()
	c.ask(1, true)
	if got := c.answered(1); got.fields[":status"] != "200" {
		t.Errorf("answered %v", got.fields)
	}
	c.expect("GOAWAY", func(e event) bool { return e.kind == x.FrameGoAway && e.code == 0 })
}

func TestB51AClientThatLeavesCancelsItsCalls(t *testing.T) {
	var open atomic.Int64
	w := newWorld(t, http2.Config{}, endpoint(t, func(_ *peer, e event) {
		switch e.kind {
		case x.FrameHeaders:
			open.Add(1)
		case x.FrameRSTStream:
			open.Add(-1)
		}
	}))
	for range 20 {
		c := w.hostile()
		for i := range uint32(5) {
			c.ask(2*i+1, false)
		}
		c.expect("settings", func(e event) bool { return e.kind == x.FrameSettings })
		c.write(func() error { return c.framer.WritePing(false, [8]byte{}) })
		c.expect("PING", func(e event) bool { return e.kind == x.FramePing })
		_ = c.conn.Close()
	}
	eventually(t, "all is cancelled", func() bool { return open.Load() == 0 })
}

func TestIdleConnectionsEnd(t *testing.T) {
	var asked atomic.Pointer[peer]
	at := endpoint(t, func(p *peer, e event) {
		asked.Store(p)
		hello(p, e)
	})
	w := newWorld(t, http2.Config{Limits: limits.Limits{IdleTimeout: 1}, KeepTimeout: 1}, at)
	c := w.hostile()
	c.ask(1, true)
	c.answered(1)
	c.expect("GOAWAY", func(e event) bool { return e.kind == x.FrameGoAway && e.n == 1 })
	eventually(t, "the client's connection ends", c.ended)
	eventually(t, "the endpoint's connection ends", asked.Load().ended)
}

func TestTheConnectionsOfAnEndpointThatLeftEndWithTheirStreams(t *testing.T) {
	held := make(chan *peer, 1)
	w := newWorld(t, http2.Config{}, endpoint(t, onRequest(func(p *peer, _ event) { held <- p })))
	c := w.hostile()
	c.ask(1, true)
	p := <-held
	w.serve()
	c.ask(3, true)
	if got := c.answered(3); got.fields["weft-reason"] != "no-endpoints" {
		t.Errorf("answered %v", got.fields)
	}
	p.headers(1, true, ":status", "204")
	c.answered(1)
	eventually(t, "the endpoint's connection ends", p.ended)
}

func TestStandardClientAndServer(t *testing.T) {
	w := newWorld(t, http2.Config{}, backend(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Got", r.Method+" "+r.URL.RawQuery+" "+r.Header.Get("X-Forwarded-For"))
	}))
	c := client(t)
	for _, method := range []string{"GET", "HEAD", "DELETE", "PATCH"} {
		request, err := http.NewRequest(method, "http://"+w.at+"/?a=1;b=2&c=%zz", strings.NewReader(""))
		if err != nil {
			t.Fatal(err)
		}
		response, err := c.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		body(t, response)
		if got, want := response.Header.Get("Got"), method+" a=1;b=2&c=%zz 127.0.0.1"; got != want {
			t.Errorf("the endpoint got %q; want %q", got, want)
		}
	}
}
