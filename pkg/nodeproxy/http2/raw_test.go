package http2_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"testing"
	"time"

	x "golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// peer speaks frames, as a client or as an endpoint. What it reads is noted by
// a goroutine; tests wait for what they expect.
type peer struct {
	*testing.T
	conn    net.Conn
	framer  *x.Framer
	encoder *hpack.Encoder
	block   bytes.Buffer
	writing sync.Mutex

	mu   sync.Mutex // guards what follows
	seen []event
	over bool // the other side ended the connection
}

// event is one frame that a peer read.
type event struct {
	kind     x.FrameType
	stream   uint32
	end      bool
	ack      bool
	code     x.ErrCode
	fields   map[string]string
	data     string
	settings map[x.SettingID]uint32
	n        uint32 // of WINDOW_UPDATE, or the last stream of GOAWAY
}

func newPeer(t *testing.T, conn net.Conn) *peer {
	p := &peer{T: t, conn: conn, framer: x.NewFramer(conn, conn)}
	p.encoder = hpack.NewEncoder(&p.block)
	p.framer.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	p.framer.MaxHeaderListSize = 1 << 20
	return p
}

// hostile connects as a client that says its preface and these settings.
func (w *world) hostile(settings ...x.Setting) *peer {
	w.Helper()
	conn, err := net.Dial("tcp", w.at)
	if err != nil {
		w.Fatal(err)
	}
	p := newPeer(w.T, conn)
	if _, err := io.WriteString(conn, x.ClientPreface); err != nil {
		w.Fatal(err)
	}
	p.must(p.framer.WriteSettings(settings...))
	p.listen(nil)
	return p
}

// endpoint serves each connection with a peer that has said its settings; on
// is called for each frame, by the goroutine that reads.
func endpoint(t *testing.T, on func(*peer, event), settings ...x.Setting) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var accepting sync.WaitGroup
	accepting.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			p := newPeer(t, conn)
			p.must(p.framer.WriteSettings(settings...))
			if _, err := io.ReadFull(conn, make([]byte, len(x.ClientPreface))); err == nil {
				p.listen(on)
			}
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		accepting.Wait()
	})
	return l.Addr().String()
}

// listen reads frames until the connection ends.
func (p *peer) listen(on func(*peer, event)) {
	var reading sync.WaitGroup
	reading.Go(func() {
		for {
			f, err := p.framer.ReadFrame()
			if err != nil && !errors.As(err, new(x.StreamError)) {
				break
			}
			if err != nil {
				continue
			}
			e := eventOf(f)
			p.mu.Lock()
			p.seen = append(p.seen, e)
			p.mu.Unlock()
			if e.kind == x.FrameSettings && !e.ack {
				p.write(func() error { return p.framer.WriteSettingsAck() })
			}
			if on != nil {
				on(p, e)
			}
		}
		p.mu.Lock()
		p.over = true
		p.mu.Unlock()
	})
	p.Cleanup(func() {
		_ = p.conn.Close()
		reading.Wait()
	})
}

func eventOf(f x.Frame) event {
	e := event{kind: f.Header().Type, stream: f.Header().StreamID}
	switch f := f.(type) {
	case *x.MetaHeadersFrame:
		e.end, e.fields = f.StreamEnded(), map[string]string{}
		for _, field := range f.Fields {
			e.fields[field.Name] = field.Value
		}
	case *x.DataFrame:
		e.end, e.data = f.StreamEnded(), string(f.Data())
	case *x.RSTStreamFrame:
		e.code = f.ErrCode
	case *x.GoAwayFrame:
		e.code, e.n = f.ErrCode, f.LastStreamID
	case *x.WindowUpdateFrame:
		e.n = f.Increment
	case *x.SettingsFrame:
		e.ack, e.settings = f.IsAck(), map[x.SettingID]uint32{}
		_ = f.ForeachSetting(func(s x.Setting) error { e.settings[s.ID] = s.Val; return nil })
	case *x.PingFrame:
		e.ack, e.data = f.IsAck(), string(f.Data[:])
	}
	return e
}

func (p *peer) must(err error) {
	if err != nil {
		p.Helper()
		p.Error(err)
	}
}

// write writes under the lock; that the other side is gone is no matter.
func (p *peer) write(f func() error) {
	p.writing.Lock()
	defer p.writing.Unlock()
	_ = f()
}

// headers sends a block of names and values.
func (p *peer) headers(stream uint32, end bool, pairs ...string) {
	p.write(func() error {
		p.block.Reset()
		for i := 0; i < len(pairs); i += 2 {
			p.must(p.encoder.WriteField(hpack.HeaderField{Name: pairs[i], Value: pairs[i+1]}))
		}
		return p.framer.WriteHeaders(x.HeadersFrameParam{StreamID: stream, BlockFragment: p.block.Bytes(), EndStream: end, EndHeaders: true})
	})
}

// ask sends a request's head with some more fields.
func (p *peer) ask(stream uint32, end bool, more ...string) {
	p.headers(stream, end, append([]string{":method", "POST", ":scheme", "http", ":path", "/", ":authority", "orders.shop.mesh"}, more...)...)
}

func (p *peer) data(stream uint32, end bool, data string) {
	p.write(func() error { return p.framer.WriteData(stream, end, []byte(data)) })
}

func (p *peer) reset(stream uint32, code x.ErrCode) {
	p.write(func() error { return p.framer.WriteRSTStream(stream, code) })
}

// find returns what was read and fits.
func (p *peer) find(fits func(event) bool) (out []event) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, e := range p.seen {
		if fits(e) {
			out = append(out, e)
		}
	}
	return out
}

// expect waits for a frame and returns it.
func (p *peer) expect(what string, fits func(event) bool) event {
	p.Helper()
	var found []event
	deadline := time.NewTimer(10 * time.Second)
	defer deadline.Stop()
	ticker := time.NewTicker(2 * time.Millisecond)
	defer ticker.Stop()
	for {
		if found = p.find(fits); len(found) > 0 {
			return found[0]
		}
		select {
		case <-ticker.C:
		case <-deadline.C:
			p.Fatalf("never came: %s; but %s", what, fmt.Sprint(p.find(func(event) bool { return true })))
		}
	}
}

// answered waits for the head of an answer.
func (p *peer) answered(stream uint32) event {
	p.Helper()
	return p.expect(fmt.Sprint("an answer on stream ", stream), func(e event) bool {
		return e.kind == x.FrameHeaders && e.stream == stream && e.fields[":status"] != ""
	})
}

// wasReset waits for RST_STREAM.
func (p *peer) wasReset(stream uint32) x.ErrCode {
	p.Helper()
	return p.expect(fmt.Sprint("RST_STREAM of ", stream), func(e event) bool { return e.kind == x.FrameRSTStream && e.stream == stream }).code
}

// toldToGo waits for GOAWAY with an error and for the end of the connection.
func (p *peer) toldToGo() x.ErrCode {
	p.Helper()
	code := p.expect("GOAWAY", func(e event) bool { return e.kind == x.FrameGoAway && e.code != 0 }).code
	eventually(p.T, "the connection ends", p.ended)
	return code
}

func (p *peer) ended() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.over
}

// received is all the data of a stream so far.
func (p *peer) received(stream uint32) (all string, end bool) {
	for _, e := range p.find(func(e event) bool { return e.kind == x.FrameData && e.stream == stream }) {
		all += e.data
		end = end || e.end
	}
	return all, end
}

// hello is an endpoint that answers each request, once it is whole, with its
// fields as a line.
func hello(p *peer, e event) {
	if e.end && (e.kind == x.FrameHeaders || e.kind == x.FrameData) {
		p.headers(e.stream, false, ":status", "200")
		p.data(e.stream, true, "hello")
	}
}

func literal(name, value string) hpack.HeaderField {
	return hpack.HeaderField{Name: name, Value: value}
}

// forget drops what was read so far.
func (p *peer) forget() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.seen = nil
}
