package http2_test

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/weft-mesh/weft/pkg/nodeproxy/http2"
	x "golang.org/x/net/http2"
)

// The clients of tests named TestBridge speak HTTP/1, as raw bytes; endpoints
// speak frames.

func (w *world) dial() *net.TCPConn {
	w.Helper()
	c, err := net.Dial("tcp", w.at)
	if err != nil {
		w.Fatal(err)
	}
	w.Cleanup(func() { _ = c.Close() })
	_ = c.SetDeadline(time.Now().Add(20 * time.Second))
	return c.(*net.TCPConn)
}

// say sends bytes and returns all that comes until the connection ends.
func (w *world) say(raw string) (string, error) {
	w.Helper()
	c := w.dial()
	defer c.Close()
	if _, err := io.WriteString(c, raw); err != nil {
		w.Error(err)
	}
	all, err := io.ReadAll(c)
	return string(all), err
}

// mirror is an endpoint that answers a request, once it is whole, with what it
// got of it: its fields, its body and its trailers.
func mirror(t *testing.T) string {
	return endpoint(t, func(p *peer, e event) {
		if !e.end || e.kind != x.FrameHeaders && e.kind != x.FrameData {
			return
		}
		data, _ := p.received(e.stream)
		var out strings.Builder
		for _, h := range p.find(func(h event) bool { return h.kind == x.FrameHeaders && h.stream == e.stream }) {
			for name, value := range h.fields {
				fmt.Fprintf(&out, "<%s=%s>", name, value)
			}
		}
		fmt.Fprintf(&out, "[%s]", data)
		p.headers(e.stream, false, ":status", "200", "content-length", fmt.Sprint(out.Len()))
		p.data(e.stream, true, out.String())
	})
}

func TestBridgePassesRequestsOn(t *testing.T) {
	w := newWorld(t, http2.Config{}, mirror(t))
	for _, test := range []struct{ name, raw, has, lacks string }{
		{"origin form", "GET /a%2Fb/?x=;%zz HTTP/1.1\r\nHost: Orders.shop:80\r\nX-Odd:  Two words \r\n\r\n",
			"<:method=GET> | <:scheme=http> | <:path=/a%2Fb/?x=;%zz> | <:authority=Orders.shop:80> | <x-odd=Two words> | <x-forwarded-for=127.0.0.1> | []", "<host="},
		{"absolute form", "GET http://b:1?q HTTP/1.1\r\nHost: a\r\n\r\n", "<:authority=b:1> | <:path=/?q>", "=a>"},
		{"OPTIONS *", "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", "<:path=*>", ""},
		{"HTTP/1.0 without a Host", "GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", "<:authority=orders.shop>", ""},
		{"B11 an expectation", "POST / HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 03\r\n\r\nabc", "[abc] | <content-length=3>", "expect"},
		{"B15 upgrades", "GET / HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n", "<:method=GET>", "pgrade"},
		{"B20 hop by hop", "GET / HTTP/1.1\r\nHost: h\r\nConnection: X-A\r\nX-A: 1\r\nKeep-Alive: 1\r\nTE: gzip\r\nProxy-Connection: a\r\nProxy-Authorization: a\r\nHTTP2-Settings: a\r\n\r\n",
			"<:method=GET>", "x-a keep-alive <te= proxy http2-settings <connection="},
		{"B20 trailers are wanted", "GET / HTTP/1.1\r\nHost: h\r\nTE: gzip, trailers\r\n\r\n", "<te=trailers>", "gzip"},
		{"B21 spoofed identities", "GET / HTTP/1.1\r\nHost: h\r\nweft-source: a\r\nX-Real-IP: 1\r\nX-Forwarded-Client-Cert: x\r\nL5d-Client-Id: x\r\nx-envoy-peer: x\r\nProxy: x\r\n\r\n",
			"<:method=GET>", "weft x-real-ip client-cert l5d envoy <proxy"},
		{"B21 X-Forwarded-For", "GET / HTTP/1.1\r\nHost: h\r\nX-Forwarded-For: 1.1.1.1\r\nx-forwarded-for: 2.2.2.2\r\nConnection: x-forwarded-for\r\n\r\n", "<x-forwarded-for=1.1.1.1, 2.2.2.2, 127.0.0.1>", ""},
		{"B22 underscores", "GET / HTTP/1.1\r\nHost: h\r\nX_Forwarded_For: 1\r\nContent_Length: 7\r\nmy_header: kept\r\n\r\n", "<my_header=kept>", "x_for content_length"},
		{"B27 chunks and trailers", "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n5;e=1\r\nabcde\r\n3\r\nfgh\r\n0\r\nX-Sum: 8\r\nHost: x\r\nContent-Length: 3\r\n\r\n",
			"[abcdefgh] | <x-sum=8> | <trailer=X-Sum>", "transfer-encoding content-length <host"},
		{"an empty body", "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n", "[] | <content-length=0>", ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			got, err := w.say(test.raw + "GET /last HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
			answers := strings.Split(got, "\r\n\r\n")
			if len(answers) < 3 || !strings.Contains(answers[len(answers)-1], "<:path=/last>") || err != nil {
				t.Fatalf("the next request was not served: %v %q", err, got)
			}
			first, _, _ := strings.Cut(answers[len(answers)-2], "HTTP/1.1 ")
			for _, want := range strings.Split(test.has, " | ") {
				if !strings.Contains(first, want) {
					t.Errorf("%q lacks %q", first, want)
				}
			}
			for _, bad := range strings.Fields(test.lacks) {
				if strings.Contains(first, bad) {
					t.Errorf("%q has %q", first, bad)
				}
			}
		})
	}
}

func TestBridgePassesAnswersOn(t *testing.T) {
	for _, test := range []struct {
		name, ask, want string
		answer          func(p *peer, stream uint32)
	}{
		{"chunked", "GET / HTTP/1.1", "HTTP/1.1 200 OK\r\nx-a: 1\r\nx-a: 2\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n", func(p *peer, s uint32) {
			p.headers(s, false, ":status", "200", "x-a", "1", "x-a", "2")
			p.data(s, false, "abc")
			p.data(s, false, "de")
			p.data(s, true, "")
		}},
		{"sized", "GET / HTTP/1.1", "HTTP/1.1 404 Not Found\r\ncontent-length: 3\r\n\r\nabc", func(p *peer, s uint32) {
			p.headers(s, false, ":status", "404", "content-length", "3")
			p.data(s, true, "abc")
		}},
		{"no body", "GET / HTTP/1.1", "HTTP/1.1 299 \r\ncontent-length: 0\r\n\r\n", func(p *peer, s uint32) { p.headers(s, true, ":status", "299") }},
		{"trailers", "GET / HTTP/1.1", "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\na\r\n0\r\ngrpc-status: 0\r\n\r\n", func(p *peer, s uint32) {
			p.headers(s, false, ":status", "200")
			p.data(s, false, "a")
			p.headers(s, true, "grpc-status", "0", "content-length", "7")
		}},
		{"HEAD", "HEAD / HTTP/1.1", "HTTP/1.1 200 OK\r\ncontent-length: 7\r\n\r\n", func(p *peer, s uint32) { p.headers(s, true, ":status", "200", "content-length", "7") }},
		{"204", "GET / HTTP/1.1", "HTTP/1.1 204 No Content\r\n\r\n", func(p *peer, s uint32) { p.headers(s, true, ":status", "204", "content-length", "0") }},
		{"205", "GET / HTTP/1.1", "HTTP/1.1 205 Reset Content\r\ncontent-length: 0\r\n\r\n", func(p *peer, s uint32) {
			p.headers(s, false, ":status", "205")
			p.data(s, true, "abc")
		}},
		{"304", "GET / HTTP/1.1", "HTTP/1.1 304 Not Modified\r\ncontent-length: 9\r\n\r\n", func(p *peer, s uint32) { p.headers(s, true, ":status", "304", "content-length", "9") }},
		{"B28 interim", "GET / HTTP/1.1", "HTTP/1.1 103 Early Hints\r\nlink: a\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n", func(p *peer, s uint32) {
			p.headers(s, false, ":status", "100")
			p.headers(s, false, ":status", "103", "link", "a")
			p.headers(s, true, ":status", "200")
		}},
		{"B28 no interim for HTTP/1.0", "GET / HTTP/1.0\r\nConnection: keep-alive", "HTTP/1.1 200 OK\r\ncontent-length: 1\r\nconnection: keep-alive\r\n\r\na", func(p *peer, s uint32) {
			p.headers(s, false, ":status", "103", "link", "a")
			p.headers(s, false, ":status", "200", "content-length", "1")
			p.data(s, true, "a")
		}},
		{"a large head", "GET / HTTP/1.1", "HTTP/1.1 200 OK\r\nx-a: " + strings.Repeat("a", 40<<10) + "\r\ncontent-length: 0\r\n\r\n", func(p *peer, s uint32) {
			p.large(s, ":status", "200", "x-a", strings.Repeat("a", 40<<10))
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			w := newWorld(t, http2.Config{}, endpoint(t, func(p *peer, e event) {
				switch {
				case e.kind != x.FrameHeaders:
				case e.fields[":path"] == "/last":
					p.headers(e.stream, true, ":status", "200")
				default:
					test.answer(p, e.stream)
				}
			}))
			got, err := w.say(test.ask + "\r\nHost: h\r\n\r\nGET /last HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
			if want := test.want + "HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"; got != want || err != nil {
				t.Errorf("got %v\n%.300q; want\n%.300q", err, got, want)
			}
		})
	}
}

// large sends a head in several frames.
func (p *peer) large(stream uint32, pairs ...string) {
	p.write(func() error {
		p.block.Reset()
		for i := 0; i < len(pairs); i += 2 {
			p.must(p.encoder.WriteField(literal(pairs[i], pairs[i+1])))
		}
		block := p.block.Bytes()
		first := min(len(block), 16<<10)
		err := p.framer.WriteHeaders(x.HeadersFrameParam{StreamID: stream, BlockFragment: block[:first], EndStream: true})
		for block = block[first:]; err == nil && len(block) > 0; {
			n := min(len(block), 16<<10)
			err = p.framer.WriteContinuation(stream, n == len(block), block[:n])
			block = block[n:]
		}
		return err
	})
}

// To HTTP/1.0 a body without a length ends with the connection.
func TestBridgeEndsBodiesForOldClients(t *testing.T) {
	w := newWorld(t, http2.Config{}, endpoint(t, hello))
	got, err := w.say("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
	if want := "HTTP/1.1 200 OK\r\nconnection: close\r\n\r\nhello"; got != want || err != nil {
		t.Errorf("got %q, %v", got, err)
	}
}

// What is no request is refused once, and nothing behind it is read.
func TestBridgeRefusesHostileClients(t *testing.T) {
	w := newWorld(t, http2.Config{}, mirror(t))
	const head, chunked = "POST / HTTP/1.1\r\nHost: h\r\n", "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"
	for _, test := range []struct{ row, raw, status string }{
		{"B01", head + "Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "400"},
		{"B02", head + "Content-Length: 5\r\nContent-Length: 6\r\n\r\nabcdef", "400"},
		{"B03", head + "Content-Length: +5\r\n\r\nabcde", "400"},
		{"B03 more than HTTP/2 takes", head + "Content-Length: 9000000000000000000\r\n\r\nabcde", "400"},
		{"B04", head + "Transfer-Encoding: xchunked\r\n\r\n", "501"},
		{"B05", "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "400"},
		{"B06", chunked + "5\r\nabcdeX\r\n", "400"},
		{"B06 within", chunked + "3\r\nabc\r\nzz\r\n", "400"},
		{"B07", chunked + strings.Repeat("1;"+strings.Repeat("x", 1000)+"\r\na\r\n", 10), "400"},
		{"B08", "GET / HTTP/1.1\r\nHost : h\r\n\r\n", "400"},
		{"B09", "GET / HTTP/1.1\r\nHost: h\r\nX: a\r\n b\r\n\r\n", "400"},
		{"B11", "GET / HTTP/1.1\r\nHost: h\r\nExpect: y\r\n\r\n", "417"},
		{"B14", "CONNECT h:1 HTTP/1.1\r\nHost: h:1\r\n\r\n", "405"},
		{"B18", "PRI * HTTP/2.0\r\n\r\nSX\r\n\r\n", "400"},
		{"B26", "GET / HTTP/1.1\r\nHost: h\r\nX: " + strings.Repeat("x", 70<<10) + "\r\n\r\n", "431"},
		{"B26 fields", "GET / HTTP/1.1\r\nHost: h\r\n" + strings.Repeat("X: y\r\n", 130) + "\r\n", "431"},
		{"B26 target", "GET /" + strings.Repeat("x", 70<<10) + " HTTP/1.1\r\nHost: h\r\n\r\n", "414"},
		{"B27", chunked + "0\r\n" + strings.Repeat("X: "+strings.Repeat("y", 1000)+"\r\n", 20) + "\r\n", "431"},
		{"B34", "GET /a#b HTTP/1.1\r\nHost: h\r\n\r\n", "400"},
		{"B35", "GET file:///etc HTTP/1.1\r\nHost: h\r\n\r\n", "400"},
		{"B36", "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", "400"},
		{"B38", "TRACE / HTTP/1.1\r\nHost: h\r\n\r\n", "405"},
		{"version", "GET / HTTP/1.2\r\nHost: h\r\n\r\n", "505"},
	} {
		t.Run(test.row, func(t *testing.T) {
			got, _ := w.say(test.raw + "GET /smuggled HTTP/1.1\r\nHost: h\r\n\r\n")
			if !strings.HasPrefix(got, "HTTP/1.1 "+test.status+" ") || strings.Count(got, "HTTP/1.1 ") != 1 {
				t.Errorf("got %q; want one %s", got, test.status)
			}
			if !strings.Contains(got, "\r\nweft-reason: ") || !strings.Contains(got, "\r\nconnection: close\r\n") || strings.Contains(got, "smuggled") {
				t.Errorf("got %q", got)
			}
		})
	}
}

// Requests that come together are answered one by one, in order, and a request
// reaches the endpoint only when the one before it is answered.
func TestBridgeServesPipelinesInOrder(t *testing.T) {
	var busy, most atomic.Int32
	w := newWorld(t, http2.Config{}, backend(t, func(w http.ResponseWriter, r *http.Request) {
		most.Store(max(most.Load(), busy.Add(1)))
		defer busy.Add(-1)
		body, _ := io.ReadAll(r.Body)
		_, _ = fmt.Fprint(w, r.URL.Path, string(body))
	}))
	c := w.dial()
	go func() {
		for i := range 200 {
			_, _ = fmt.Fprintf(c, "POST /%d HTTP/1.1\r\nHost: h\r\nContent-Length: 1000\r\n\r\n%s", i, strings.Repeat("x", 1000))
		}
		_ = c.CloseWrite()
	}()
	r := bufio.NewReader(c)
	for i := range 200 {
		res, err := http.ReadResponse(r, nil)
		if err != nil {
			t.Fatal(i, err)
		}
		if got, want := body(t, res), fmt.Sprint("/", i, strings.Repeat("x", 1000)); got != want {
			t.Fatalf("answer %d is %.20q", i, got)
		}
		if res.Close != (i == 199) {
			t.Errorf("answer %d closes: %v", i, res.Close)
		}
	}
	if _, err := r.ReadByte(); err != io.EOF || most.Load() != 1 {
		t.Errorf("then %v; %d at once", err, most.Load())
	}
}

// B11: the leave to send a body is Weft's own, and given once.
func TestBridgeSaysContinue(t *testing.T) {
	w := newWorld(t, http2.Config{}, endpoint(t, func(p *peer, e event) {
		if e.kind == x.FrameHeaders {
			p.headers(e.stream, false, ":status", "100")
		}
		hello(p, e)
	}))
	c := w.dial()
	_, _ = io.WriteString(c, "POST / HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n")
	r := bufio.NewReader(c)
	if line, err := r.ReadString('\n'); line != "HTTP/1.1 100 Continue\r\n" {
		t.Fatal(line, err)
	}
	_, _ = io.WriteString(c, "abc")
	_, _ = r.ReadString('\n')
	if line, err := r.ReadString('\n'); line != "HTTP/1.1 200 OK\r\n" {
		t.Fatal(line, err)
	}
}

// An answer that breaks off never looks complete, nor does the connection.
func TestBridgeBreaksAnswersOff(t *testing.T) {
	var begun atomic.Uint32
	w := newWorld(t, http2.Config{}, endpoint(t, func(p *peer, e event) {
		switch {
		case e.kind != x.FrameHeaders:
		case e.fields[":path"] == "/go":
			p.reset(begun.Load(), x.ErrCodeInternal)
		default:
			begun.Store(e.stream)
			p.headers(e.stream, false, ":status", "200")
			p.data(e.stream, false, "some")
		}
	}))
	for _, version := range []string{"1.0", "1.1"} {
		c := w.dial()
		_, _ = io.WriteString(c, "GET / HTTP/"+version+"\r\nHost: h\r\n\r\n")
		r := bufio.NewReader(c)
		for line := ""; !strings.Contains(line, "some"); {
			var err error
			if line, err = r.ReadString('e'); err != nil {
				t.Fatal(err)
			}
		}
		_, _ = io.WriteString(w.dial(), "GET /go HTTP/1.1\r\nHost: h\r\n\r\n")
		if rest, err := io.ReadAll(r); !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("HTTP/%s: %q, %v; want a reset", version, rest, err)
		}
	}
}

// A connection without requests waits, and does nothing else.
func TestBridgeIdles(t *testing.T) {
	w := newWorld(t, http2.Config{}, mirror(t))
	for _, raw := range []string{"GET / HTTP/1.1\r\nHost: h\r\n\r\n", "GET / HTTP/1.1\r\nHost: h\r\n\r\nGET", "GET"} {
		c := w.dial()
		_, _ = io.WriteString(c, raw)
		if len(raw) > 3 {
			if _, err := http.ReadResponse(bufio.NewReader(c), nil); err != nil {
				t.Fatal(err)
			}
		}
	}
	stacks := make([]byte, 1<<20)
	eventually(t, "all wait", func() bool {
		all := strings.Split(string(stacks[:runtime.Stack(stacks, true)]), "\n\n")
		waiting, pollers := 0, 0
		for _, stack := range all {
			if strings.Contains(stack, "(*bridge).read(") {
				return false
			}
			if strings.Contains(stack, "poll.(*Poller).loop(") {
				pollers++
				if strings.Contains(stack, "[IO wait") {
					waiting++
				}
			}
		}
		return waiting == pollers && pollers > 0
	})
}
