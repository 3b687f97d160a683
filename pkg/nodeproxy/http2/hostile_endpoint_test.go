package http2_test

import (
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/weft-mesh/weft/pkg/nodeproxy/http2"
	"github.com/weft-mesh/weft/pkg/nodeproxy/limits"
	x "golang.org/x/net/http2"
)

// onRequest calls f for each request's head.
func onRequest(f func(*peer, event)) func(*peer, event) {
	return func(p *peer, e event) {
		if e.kind == x.FrameHeaders {
			f(p, e)
		}
	}
}

func TestB10B26B28MalformedAnswersAreTold(t *testing.T) {
	many := []string{":status", "200"}
	for i := range 200 {
		many = append(many, fmt.Sprint("n", i), "v")
	}
	for name, answer := range map[string]func(p *peer, stream uint32){
		"B10 no status":             func(p *peer, s uint32) { p.headers(s, true, "a", "b") },
		"B10 status 000":            func(p *peer, s uint32) { p.headers(s, true, ":status", "000") },
		"B10 status 099":            func(p *peer, s uint32) { p.headers(s, true, ":status", "099") },
		"B10 status of four digits": func(p *peer, s uint32) { p.headers(s, true, ":status", "2000") },
		"B10 two statuses":          func(p *peer, s uint32) { p.headers(s, true, ":status", "200", ":status", "200") },
		"B10 status 101":            func(p *peer, s uint32) { p.headers(s, true, ":status", "101") },
		"B10 length without body":   func(p *peer, s uint32) { p.headers(s, true, ":status", "200", "content-length", "5") },
		"B10 data before the head":  func(p *peer, s uint32) { p.data(s, false, "x") },
		"B10 chunked":               func(p *peer, s uint32) { p.headers(s, true, ":status", "200", "transfer-encoding", "chunked") },
		"B10 CR LF":                 func(p *peer, s uint32) { p.headers(s, true, ":status", "200", "a", "b\r\nc") },
		"B26 many fields":           func(p *peer, s uint32) { p.headers(s, true, many...) },
		"B28 1xx that ends":         func(p *peer, s uint32) { p.headers(s, true, ":status", "103") },
		"B28 1xx without end": func(p *peer, s uint32) {
			for range 1000 {
				p.headers(s, false, ":status", "102")
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			var reset atomic.Bool
			w := newWorld(t, http2.Config{}, endpoint(t, func(p *peer, e event) {
				onRequest(func(p *peer, e event) { answer(p, e.stream) })(p, e)
				if e.kind == x.FrameRSTStream {
					reset.Store(true)
				}
			}))
			c := w.hostile()
			c.ask(1, true)
			got := c.expect("a refusal", func(e event) bool { return e.kind == x.FrameHeaders && e.fields[":status"] >= "200" })
			if got.fields[":status"] != "502" || got.fields["weft-reason"] != "upstream-malformed" {
				t.Errorf("answered %v", got.fields)
			}
			eventually(t, "the endpoint's stream is reset", reset.Load)
			if hints := c.find(func(e event) bool { return strings.HasPrefix(e.fields[":status"], "1") }); len(hints) > 8 {
				t.Errorf("%d interim answers", len(hints))
			}
		})
	}
}

func TestB10AnswersThatBreakOffAreReset(t *testing.T) {
	for name, after := range map[string]func(p *peer, stream uint32){
		"longer than it said": func(p *peer, s uint32) { p.data(s, true, "123456") },
		"shorter":             func(p *peer, s uint32) { p.data(s, true, "1") },
		"a second head":       func(p *peer, s uint32) { p.headers(s, false, ":status", "200") },
		"reset":               func(p *peer, s uint32) { p.reset(s, x.ErrCodeNo) },
		"connection closed":   func(p *peer, _ uint32) { _ = p.conn.Close() },
		"malformed trailers":  func(p *peer, s uint32) { p.headers(s, true, ":path", "/") },
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, http2.Config{}, endpoint(t, onRequest(func(p *peer, e event) {
				p.headers(e.stream, false, ":status", "200", "content-length", "5")
				after(p, e.stream)
			})))
			c := w.hostile()
			c.ask(1, true)
			c.answered(1)
			if code := c.wasReset(1); code == x.ErrCodeNo {
				t.Errorf("reset with %v: the answer looks complete", code)
			}
		})
	}
}

func TestB29AnAnswerIsPassedOnAsItIs(t *testing.T) {
	want := map[string]string{":status": "207", "server": "own", "x-a": "1", "set-cookie": "a=b", "content-length": "0"}
	w := newWorld(t, http2.Config{}, endpoint(t, onRequest(func(p *peer, e event) {
		p.headers(e.stream, true, ":status", "207", "server", "own", "x-a", "1", "set-cookie", "a=b", "content-length", "0")
	})))
	c := w.hostile()
	c.ask(1, true)
	if diff := compare(c.answered(1).fields, want); diff != "" {
		t.Error(diff)
	}
}

func TestB28InterimAnswersArePassedOn(t *testing.T) {
	w := newWorld(t, http2.Config{}, endpoint(t, onRequest(func(p *peer, e event) {
		p.headers(e.stream, false, ":status", "103", "link", "</a>")
		p.headers(e.stream, true, ":status", "204")
	})))
	c := w.hostile()
	c.ask(1, true)
	c.expect("103", func(e event) bool { return e.fields[":status"] == "103" && e.fields["link"] == "</a>" })
	c.expect("204", func(e event) bool { return e.fields[":status"] == "204" && e.end })
}

func TestB47HostileSettingsEndTheEndpointsConnection(t *testing.T) {
	for name, setting := range map[string]x.Setting{
		"max frame size 0": {ID: x.SettingMaxFrameSize, Val: 0},
		"window too large": {ID: x.SettingInitialWindowSize, Val: 1 << 31},
		"push":             {ID: x.SettingEnablePush, Val: 1},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, http2.Config{}, endpoint(t, hello, setting))
			c := w.hostile()
			c.ask(1, true)
			got := c.answered(1)
			if got.fields[":status"] != "502" {
				t.Errorf("answered %v", got.fields)
			}
		})
	}
}

func TestB47HostileFramesEndTheEndpointsConnection(t *testing.T) {
	for name, raw := range map[string]func(p *peer) error{
		"PUSH_PROMISE":     func(p *peer) error { return p.framer.WriteRawFrame(x.FramePushPromise, 4, 1, []byte{0, 0, 0, 2, 0x82}) },
		"a stream of ours": func(p *peer) error { return p.framer.WriteData(99, true, []byte("x")) },
		"an even stream":   func(p *peer) error { return p.framer.WriteRawFrame(x.FrameHeaders, 5, 2, []byte{0x88}) },
		"bad HPACK":        func(p *peer) error { return p.framer.WriteRawFrame(x.FrameHeaders, 5, 1, []byte{0xff, 0xff}) },
		"a large frame":    func(p *peer) error { return p.framer.WriteRawFrame(x.FrameData, 0, 1, make([]byte, 16<<10+1)) },
		"a short PING":     func(p *peer) error { return p.framer.WriteRawFrame(x.FramePing, 0, 0, []byte{1}) },
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, http2.Config{}, endpoint(t, onRequest(func(p *peer, _ event) { p.write(func() error { return raw(p) }) })))
			c := w.hostile()
			c.ask(1, true)
			if got := c.answered(1); got.fields[":status"] != "502" {
				t.Errorf("answered %v", got.fields)
			}
		})
	}
}

func TestB47UnknownFramesAreIgnored(t *testing.T) {
	w := newWorld(t, http2.Config{}, endpoint(t, onRequest(func(p *peer, e event) {
		for kind := x.FrameType(0x0a); kind <= 0x0f; kind++ {
			p.write(func() error { return p.framer.WriteRawFrame(kind, 0xff, e.stream, []byte("x")) })
		}
		hello(p, event{kind: x.FrameHeaders, stream: e.stream, end: true})
	})))
	c := w.hostile()
	c.ask(1, true)
	if got := c.answered(1); got.fields[":status"] != "200" {
		t.Errorf("answered %v", got.fields)
	}
}

func TestB47SilentEndpointsAreGivenUp(t *testing.T) {
	at := endpoint(t, func(*peer, event) {})
	w := newWorld(t, http2.Config{Limits: limits.Limits{HeadTimeout: 1}}, silent(t, at))
	c := w.hostile()
	c.ask(1, true)
	if got := c.answered(1); got.fields[":status"] != "502" {
		t.Errorf("answered %v", got.fields)
	}
}

func TestB56OnlyWhatWasNotProcessedIsSentAgain(t *testing.T) {
	for name, refuse := range map[string]struct {
		how   func(p *peer, e event)
		again bool
	}{
		"REFUSED_STREAM":     {func(p *peer, e event) { p.reset(e.stream, x.ErrCodeRefusedStream) }, true},
		"GOAWAY before it":   {func(p *peer, _ event) { p.write(func() error { return p.framer.WriteGoAway(0, x.ErrCodeNo, nil) }) }, true},
		"reset":              {func(p *peer, e event) { p.reset(e.stream, x.ErrCodeInternal) }, false},
		"closed":             {func(p *peer, _ event) { _ = p.conn.Close() }, false},
		"GOAWAY and closing": {func(p *peer, e event) { _ = p.framer.WriteGoAway(e.stream, x.ErrCodeNo, nil); _ = p.conn.Close() }, false},
	} {
		t.Run(name, func(t *testing.T) {
			var asked atomic.Int64
			w := newWorld(t, http2.Config{}, endpoint(t, func(p *peer, e event) {
				if e.kind == x.FrameHeaders && asked.Add(1) == 1 {
					refuse.how(p, e)
					return
				}
				if asked.Load() > 1 {
					hello(p, e)
				}
			}))
			c := w.hostile()
			c.ask(1, false)
			c.data(1, true, "body")
			want := map[bool]string{true: "200", false: "502"}[refuse.again]
			if got := c.answered(1); got.fields[":status"] != want {
				t.Errorf("answered %v", got.fields)
			}
			if n := asked.Load(); n != map[bool]int64{true: 2, false: 1}[refuse.again] {
				t.Errorf("asked %d times", n)
			}
		})
	}
}

// A gRPC server resets a call when the caller's deadline is over, which may reach
// the caller before its own clock says so: it is told what has happened.
func TestAResetBehindTheDeadlineIsTheDeadline(t *testing.T) {
	for timeout, want := range map[string]string{"1m": "4", "1H": "14"} { // a millisecond, an hour
		w := newWorld(t, http2.Config{}, endpoint(t, onRequest(func(p *peer, e event) {
			<-time.After(10 * time.Millisecond)
			p.reset(e.stream, x.ErrCodeCancel)
		})))
		c := w.hostile()
		c.ask(1, true, "content-type", "application/grpc", "te", "trailers", "grpc-timeout", timeout)
		if got := c.answered(1); got.fields["grpc-status"] != want {
			t.Errorf("grpc-timeout %s: answered %v; want grpc-status %s", timeout, got.fields, want)
		}
	}
}

// What several goodbyes say was not processed is sent until somebody stays, but
// not for ever.
func TestB56GoodbyesInARow(t *testing.T) {
	for goodbyes, want := range map[int64]string{20: "200", 1000: "502"} {
		var asked atomic.Int64
		w := newWorld(t, http2.Config{}, endpoint(t, func(p *peer, e event) {
			if e.kind == x.FrameHeaders && asked.Add(1) <= goodbyes {
				p.write(func() error { return p.framer.WriteGoAway(0, x.ErrCodeNo, nil) })
				return
			}
			if asked.Load() > goodbyes {
				hello(p, e)
			}
		}))
		c := w.hostile()
		c.ask(1, false)
		c.data(1, true, "body")
		if got := c.answered(1); got.fields[":status"] != want {
			t.Errorf("after %d goodbyes: answered %v", goodbyes, got.fields)
		}
		if n := asked.Load(); n != min(goodbyes+1, 32) {
			t.Errorf("after %d goodbyes: asked %d times", goodbyes, n)
		}
	}
}

// Where every endpoint has said goodbye to a request, it does not stay with the
// last one, which may never take it.
func TestB56GoodbyesOfAll(t *testing.T) {
	bye := func(p *peer) { p.write(func() error { return p.framer.WriteGoAway(0, x.ErrCodeNo, nil) }) }
	never := endpoint(t, onRequest(func(p *peer, _ event) { bye(p) }))
	for range 10 {
		var asked atomic.Int64
		later := endpoint(t, onRequest(func(p *peer, e event) {
			if asked.Add(1) == 1 {
				bye(p)
				return
			}
			p.headers(e.stream, true, ":status", "200")
		}))
		w := newWorld(t, http2.Config{}, never, later)
		c := w.hostile()
		c.ask(1, true)
		if got := c.answered(1); got.fields[":status"] != "200" {
			t.Fatalf("answered %v", got.fields)
		}
	}
}

func TestB67AnEndpointThatRefusesConnectionsIsPassedOver(t *testing.T) {
	w := newWorld(t, http2.Config{}, nobody(t), nobody(t), endpoint(t, hello))
	for i := range uint32(20) {
		c := w.hostile()
		c.ask(2*i+1, true)
		if got := c.answered(2*i + 1); got.fields[":status"] != "200" {
			t.Fatalf("answered %v", got.fields)
		}
	}
	w.serve(nobody(t))
	c := w.hostile()
	c.ask(1, true)
	if got := c.answered(1); got.fields[":status"] != "503" || got.fields["weft-reason"] != "connect-failed" {
		t.Errorf("answered %v", got.fields)
	}
}
