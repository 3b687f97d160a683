package http2_test

import (
	"fmt"
	"io"
	"net"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/weft-mesh/weft/pkg/nodeproxy/http2"
	"github.com/weft-mesh/weft/pkg/nodeproxy/limits"
	x "golang.org/x/net/http2"
)

func TestB13MalformedRequestsAreReset(t *testing.T) {
	var reached atomic.Int64
	w := newWorld(t, http2.Config{}, endpoint(t, func(p *peer, e event) {
		if e.kind == x.FrameHeaders {
			reached.Add(1)
		}
		hello(p, e)
	}))
	head := []string{":method", "POST", ":scheme", "http", ":path", "/", ":authority", "a"}
	for name, fields := range map[string][]string{
		"capital letter":         append(head, "Accept", "a"),
		"CR LF in a value":       append(head, "a", "b\r\nc: d"),
		"NUL in a value":         append(head, "a", "b\x00"),
		"space at the end":       append(head, "a", "b "),
		"space in a name":        append(head, "a b", "c"),
		"colon in a name":        append(head, "a:b", "c"),
		"transfer-encoding":      append(head, "transfer-encoding", "chunked"),
		"connection":             append(head, "connection", "close"),
		"upgrade":                append(head, "upgrade", "h2c"),
		"te":                     append(head, "te", "gzip"),
		"two lengths":            append(head, "content-length", "0", "content-length", "0"),
		"bad length":             append(head, "content-length", "+0"),
		"length without body":    append(head, "content-length", "5"),
		"host is another":        append(head, "host", "b"),
		"two hosts":              append(head, "host", "a", "host", "a"),
		"no method":              head[2:],
		"no path":                {":method", "GET", ":scheme", "http", ":authority", "a"},
		"empty path":             {":method", "GET", ":scheme", "http", ":path", "", ":authority", "a"},
		"path without a slash":   {":method", "GET", ":scheme", "http", ":path", "x", ":authority", "a"},
		"asterisk for GET":       {":method", "GET", ":scheme", "http", ":path", "*", ":authority", "a"},
		"space in the path":      {":method", "GET", ":scheme", "http", ":path", "/ HTTP/1.1", ":authority", "a"},
		"method is no token":     {":method", "GET /", ":scheme", "http", ":path", "/", ":authority", "a"},
		"two paths":              append(head[:8:8], ":path", "/b"),
		"pseudo after a field":   {":method", "GET", "a", "b", ":scheme", "http", ":path", "/"},
		"unknown pseudo":         append([]string{":protocol", "x"}, head...),
		"status in a request":    append([]string{":status", "200"}, head...),
		"pseudo-header trailing": nil,
	} {
		t.Run(name, func(t *testing.T) {
			c := w.hostile()
			if fields == nil {
				c.ask(1, false)
				c.headers(1, true, ":path", "/b")
				reached.Store(0)
			} else {
				c.headers(1, true, fields...)
			}
			if code := c.wasReset(1); code != x.ErrCodeProtocol {
				t.Errorf("reset with %v", code)
			}
			if fields != nil && reached.Load() != 0 {
				t.Error("the endpoint was asked")
			}
			reached.Store(0)
		})
	}
}

func TestB13BodiesAreAsLongAsTheySay(t *testing.T) {
	w := newWorld(t, http2.Config{}, endpoint(t, hello))
	for name, body := range map[string][]string{"too long": {"abc", "def"}, "too short": {"a", ""}} {
		t.Run(name, func(t *testing.T) {
			c := w.hostile()
			c.ask(1, false, "content-length", "4")
			c.data(1, false, body[0])
			c.data(1, true, body[1])
			if code := c.wasReset(1); code != x.ErrCodeProtocol {
				t.Errorf("reset with %v", code)
			}
		})
	}
}

func TestRefusalsExplainThemselves(t *testing.T) {
	w := newWorld(t, http2.Config{})
	long, many := strings.Repeat("p", 65<<10), []string{}
	for i := range 200 {
		many = append(many, fmt.Sprint("n", i), "v")
	}
	for _, test := range []struct{ name, fields, status, reason string }{
		{"B14 CONNECT", ":method CONNECT :authority a", "405", "method-refused"},
		{"B38 TRACE", ":method TRACE :scheme http :path / :authority a", "405", "method-refused"},
		{"B34 fragment", ":method GET :scheme http :path /a#b :authority a", "400", "bad-request"},
		{"B35 scheme", ":method GET :scheme file :path /etc/passwd :authority a", "400", "bad-request"},
		{"B35 user in the authority", ":method GET :scheme http :path / :authority u@a", "400", "bad-request"},
		{"B35 slash in the authority", ":method GET :scheme http :path / :authority a/b", "400", "bad-request"},
		{"B11 expectation", ":method GET :scheme http :path / :authority a expect y", "400", "bad-request"},
		{"B26 many fields", ":method GET :scheme http :path / :authority a " + strings.Join(many, " "), "431", "bad-request"},
		{"B26 long fields", ":method GET :scheme http :path / :authority a n " + long, "431", "bad-request"},
		{"B26 long target", ":method GET :scheme http :authority a :path /" + long, "414", "bad-request"},
		{"no endpoint", ":method GET :scheme http :path / :authority a", "503", "no-endpoints"},
		{"no endpoint for gRPC", ":method POST :scheme http :path / :authority a content-type application/grpc+proto", "200", "no-endpoints"},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := w.hostile()
			c.split(1, strings.Fields(test.fields))
			got := c.answered(1)
			if got.fields[":status"] != test.status || got.fields["weft-reason"] != test.reason {
				t.Errorf("answered %v", got.fields)
			}
			if test.status == "200" && (got.fields["grpc-status"] != "14" || !strings.Contains(got.fields["grpc-message"], "orders.shop") || !got.end) {
				t.Errorf("answered %v", got.fields)
			}
		})
	}
}

// split sends a block of any size in as many frames as it needs.
func (p *peer) split(stream uint32, pairs []string) {
	p.write(func() error {
		p.block.Reset()
		for i := 0; i < len(pairs); i += 2 {
			p.must(p.encoder.WriteField(field(pairs[i], pairs[i+1])))
		}
		b := p.block.Bytes()
		n := min(len(b), 16000)
		p.must(p.framer.WriteHeaders(x.HeadersFrameParam{StreamID: stream, BlockFragment: b[:n], EndStream: true, EndHeaders: n == len(b)}))
		for b = b[n:]; len(b) > 0; b = b[n:] {
			n = min(len(b), 16000)
			p.must(p.framer.WriteContinuation(stream, n == len(b), b[:n]))
		}
		return nil
	})
}

func TestB35AnEmptyAuthorityIsRefused(t *testing.T) {
	w := newWorld(t, http2.Config{}, endpoint(t, hello))
	c := w.hostile()
	c.headers(1, true, ":method", "GET", ":scheme", "http", ":path", "/", ":authority", "")
	if got := c.answered(1); got.fields[":status"] != "400" {
		t.Errorf("answered %v", got.fields)
	}
}

func TestB20B21B22B25B29EditsOfARequest(t *testing.T) {
	var got atomic.Pointer[event]
	w := newWorld(t, http2.Config{}, endpoint(t, func(p *peer, e event) {
		if e.kind == x.FrameHeaders {
			got.Store(&e)
		}
		hello(p, e)
	}))
	c := w.hostile()
	c.ask(1, true, "x-forwarded-for", "1.2.3.4", "x-forwarded-for", "5.6.7.8", "x_forwarded_for", "9.9.9.9", "weft-identity", "root",
		"weft_identity", "root", "proxy", "http://evil", "te", "trailers", "x-own", "kept", "cookie", "a=b", "accept", "*/*")
	c.answered(1)
	want := map[string]string{
		":method": "POST", ":scheme": "http", ":path": "/", ":authority": "orders.shop.mesh", "te": "trailers", "x-own": "kept",
		"cookie": "a=b", "accept": "*/*", "x-forwarded-for": "1.2.3.4, 5.6.7.8, 127.0.0.1",
	}
	if diff := compare(got.Load().fields, want); diff != "" {
		t.Error(diff)
	}
}

func TestB27TrailersKeepOnlyWhatMayTrail(t *testing.T) {
	var got atomic.Pointer[event]
	w := newWorld(t, http2.Config{}, endpoint(t, func(p *peer, e event) {
		if e.kind == x.FrameHeaders && e.end {
			got.Store(&e)
			p.headers(e.stream, false, ":status", "200")
			p.headers(e.stream, true, "grpc-status", "0", "content-length", "7", "set-cookie", "a=b", "sum", "1")
		}
	}))
	c := w.hostile()
	c.ask(1, false)
	c.headers(1, true, "sum", "2", "content-length", "0", "authorization", "me", "cookie", "a", "x-forwarded-for", "1.1.1.1", "weft-a", "b")
	trailer := c.expect("trailers", func(e event) bool { return e.kind == x.FrameHeaders && e.end })
	if diff := compare(trailer.fields, map[string]string{"grpc-status": "0", "sum": "1"}); diff != "" {
		t.Error(diff)
	}
	if diff := compare(got.Load().fields, map[string]string{"sum": "2"}); diff != "" {
		t.Error(diff)
	}
}

func TestB43RapidResetEndsTheConnection(t *testing.T) {
	w := newWorld(t, http2.Config{}, endpoint(t, func(*peer, event) {}))
	good, bad := w.hostile(), w.hostile()
	for i := range uint32(3000) {
		bad.ask(2*i+1, true)
		bad.reset(2*i+1, x.ErrCodeCancel)
	}
	if code := bad.toldToGo(); code != x.ErrCodeEnhanceYourCalm {
		t.Errorf("told to go with %v", code)
	}
	good.write(func() error { return good.framer.WritePing(false, [8]byte{1}) })
	good.expect("the answer to a PING", func(e event) bool { return e.kind == x.FramePing && e.ack })
}

func TestB44MadeYouResetEndsTheConnection(t *testing.T) {
	for name, provoke := range map[string]func(c *peer, stream uint32){
		"window of nothing": func(c *peer, s uint32) {
			c.write(func() error { return c.framer.WriteRawFrame(x.FrameWindowUpdate, 0, s, make([]byte, 4)) })
		},
		"window too large": func(c *peer, s uint32) { c.write(func() error { return c.framer.WriteWindowUpdate(s, 1<<31-1) }) },
		"own parent": func(c *peer, s uint32) {
			c.write(func() error { return c.framer.WritePriority(s, x.PriorityParam{StreamDep: s}) })
		},
		"short PRIORITY": func(c *peer, s uint32) {
			c.write(func() error { return c.framer.WriteRawFrame(x.FramePriority, 0, s, make([]byte, 4)) })
		},
		"DATA after the end":  func(c *peer, s uint32) { c.data(s, false, "x") },
		"malformed from here": func(c *peer, s uint32) { c.headers(s, true, "a", "b") },
	} {
		t.Run(name, func(t *testing.T) {
			var open atomic.Int64
			w := newWorld(t, http2.Config{}, endpoint(t, func(_ *peer, e event) {
				switch e.kind {
				case x.FrameHeaders:
					open.Add(1)
				case x.FrameRSTStream:
					open.Add(-1)
				}
			}))
			c := w.hostile()
			for i := range uint32(1000) {
				c.ask(2*i+1, true)
				provoke(c, 2*i+1)
			}
			if code := c.toldToGo(); code != x.ErrCodeEnhanceYourCalm {
				t.Errorf("told to go with %v", code)
			}
			eventually(t, "every stream of the endpoint is cancelled", func() bool { return open.Load() == 0 })
		})
	}
}

func TestB45ContinuationFloodEndsTheConnection(t *testing.T) {
	w := newWorld(t, http2.Config{}, endpoint(t, hello))
	for name, piece := range map[string][]byte{"empty": nil, "large": make([]byte, 16<<10)} {
		t.Run(name, func(t *testing.T) {
			c := w.hostile()
			c.write(func() error {
				p := x.HeadersFrameParam{StreamID: 1, BlockFragment: []byte{0x82}}
				if err := c.framer.WriteHeaders(p); err != nil {
					return err
				}
				for range 1000 {
					if err := c.framer.WriteContinuation(1, false, piece); err != nil {
						return err
					}
				}
				return nil
			})
			if code := c.toldToGo(); code != x.ErrCodeEnhanceYourCalm {
				t.Errorf("told to go with %v", code)
			}
		})
	}
}

func TestB47SilentClientsAreClosed(t *testing.T) {
	w := newWorld(t, http2.Config{Limits: limits.Limits{HeadTimeout: 1}})
	for name, said := range map[string]string{
		"nothing": "", "half a preface": x.ClientPreface[:9], "no settings": x.ClientPreface,
		"half a frame": x.ClientPreface + "\x00\x00\x00\x04\x00\x00\x00\x00\x00" + "\x00\x00\x09\x06",
		"half a block": x.ClientPreface + "\x00\x00\x00\x04\x00\x00\x00\x00\x00" + "\x00\x00\x01\x01\x00\x00\x00\x00\x01\x82",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c, err := net.Dial("tcp", w.at)
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			if _, err := io.WriteString(c, said); err != nil {
				t.Fatal(err)
			}
			_, _ = io.Copy(io.Discard, c) // ends when the engine closes
		})
	}
}
