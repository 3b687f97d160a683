package http2

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/weft-mesh/weft/pkg/nodeproxy/limits"
	"golang.org/x/net/http2/hpack"
)

// said is a request as frames say it.
type said struct {
	fields, trailers []hpack.HeaderField
	body             []byte
	end              bool
}

// ask says the first request of raw, which comes in pieces, with so much credit
// for each step.
func ask(t *testing.T, raw []byte, piece, credit int) (out said, used int, err error) {
	a := &asker{}
	decode := func(block []byte) []hpack.HeaderField {
		list, err := hpack.NewDecoder(4096, nil).DecodeFull(block)
		if err != nil {
			t.Fatalf("the block cannot be read: %v", err)
		}
		return list
	}
	note := func(f frame) {
		if out.end {
			t.Fatal("a frame after the end")
		}
		switch out.end = f.has(flagEndStream); {
		case f.kind == frameData:
			out.body = append(out.body, f.payload...)
		case out.fields == nil:
			out.fields = decode(f.payload)
		default:
			out.trailers = decode(f.payload)
		}
	}
	for have := min(piece, len(raw)); ; have = min(have+piece, len(raw)) {
		for on := true; on && !out.end; {
			var n int
			var f frame
			if out.fields == nil {
				n, f, err = a.head(raw[used:have], 1, func() string { return "orders.shop" })
				on = n > 0
			} else if n, f, on, err = a.next(raw[used:have], credit); len(f.payload) > credit && f.kind == frameData {
				t.Fatalf("%d bytes for a credit of %d", len(f.payload), credit)
			}
			if err != nil {
				return out, used, err
			}
			if used += n; on {
				note(f)
			}
		}
		if out.end || have == len(raw) {
			return out, used, nil
		}
	}
}

// FuzzBridgeRequest holds that a request in frames means what net/http reads in
// it, in pieces of every size, and that HTTP/2 has nothing against it.
func FuzzBridgeRequest(f *testing.F) {
	for _, raw := range []string{
		"GET /a?b HTTP/1.1\r\nHost: h\r\nX-A: 1\r\nx-a:  2 \r\nConnection: close, x-b\r\nX-B: 3\r\n\r\n",
		"POST http://h:1/x HTTP/1.1\r\nHost: a\r\nContent-Length: 5, 5\r\n\r\nabcde",
		"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\nTE: trailers\r\nTrailer: X-Sum\r\n\r\n5;x\r\nabcde\r\n3\r\nfgh\r\n0\r\nX-Sum: 1 \r\nHost: b\r\n\r\n",
		"OPTIONS * HTTP/1.0\r\n\r\n", "HEAD http://h?x HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 1\r\n\r\n",
		"POST / HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 0\r\n\r\n",
	} {
		f.Add([]byte(raw), uint16(7), uint16(3))
	}
	f.Fuzz(func(t *testing.T, raw []byte, piece, credit uint16) {
		got, used, err := ask(t, raw, max(len(raw), 1), defaultWindow)
		slow, _, slowErr := ask(t, raw, 1+int(piece), 1+int(credit))
		if !errors.Is(slowErr, err) || fmt.Sprint(got) != fmt.Sprint(slow) && err == nil {
			t.Fatalf("whole %v %v; in pieces %v %v", got, err, slow, slowErr)
		}
		if err != nil || !got.end {
			return
		}
		accepted(t, got)
		theirs, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(bytes.TrimPrefix(raw[:used], []byte("\r\n")))))
		if err != nil {
			if text := err.Error(); strings.HasPrefix(text, "parse ") || strings.Contains(text, "invalid URI") || strings.Contains(text, "malformed Host") || strings.Contains(text, "bad Content-Length") {
				return // net/http wants more of targets, hosts and lists of lengths
			}
			t.Fatalf("net/http refuses what is accepted: %v\n%q", err, raw)
		}
		same(t, theirs, got)
	})
}

// accepted holds that the engine takes what a bridge says, but for what it may
// refuse by its limits.
func accepted(t *testing.T, got said) {
	var m message
	most := limits.Default()
	m.decoder, m.most = &(&conn{}).decoder, &most
	encode := func(list []hpack.HeaderField) []byte {
		var block bytes.Buffer
		e := hpack.NewEncoder(&block)
		for _, f := range list {
			_ = e.WriteField(f)
		}
		return block.Bytes()
	}
	if err := m.request(encode(got.fields), []byte("10.0.0.1")); err != nil || m.malformed {
		t.Fatalf("malformed in HTTP/2: %v %v", err, got.fields)
	}
	if m.length >= 0 && m.length != int64(len(got.body)) {
		t.Fatalf("%d bytes, and a length of %d", len(got.body), m.length)
	}
	if err := m.trailers(encode(got.trailers)); err != nil || m.malformed || m.tooLarge || len(m.block) == 0 && len(got.trailers) > 0 {
		t.Fatalf("malformed in HTTP/2: %v %v", err, got.trailers)
	}
}

// same compares with what net/http has read.
func same(t *testing.T, want *http.Request, got said) {
	pseudo, fields := map[string]string{}, http.Header{}
	for _, f := range got.fields {
		if f.IsPseudo() {
			pseudo[f.Name] = f.Value
		} else {
			fields.Add(f.Name, f.Value)
		}
	}
	body, err := io.ReadAll(want.Body)
	if err != nil || !bytes.Equal(body, got.body) {
		t.Fatalf("the body is %q (%v), said as %q", body, err, got.body)
	}
	host := want.Host
	if host == "" {
		host = "orders.shop"
	}
	if pseudo[":method"] != want.Method || pseudo[":authority"] != host {
		t.Fatalf("%s %s became %v", want.Method, want.Host, pseudo)
	}
	if target := want.RequestURI; strings.HasPrefix(target, "/") && pseudo[":path"] != target {
		t.Fatalf("%q became %q", target, pseudo[":path"])
	}
	for name, values := range fields {
		if name == "Te" || name == "Content-Length" || name == "Trailer" {
			continue
		}
		if !slices.Equal(values, want.Header[http.CanonicalHeaderKey(name)]) {
			t.Fatalf("%s: %q became %q", name, want.Header[name], values)
		}
	}
	for _, f := range got.trailers {
		if !slices.Contains(want.Trailer[http.CanonicalHeaderKey(f.Name)], f.Value) {
			t.Fatalf("trailer %s: %q; want %v", f.Name, f.Value, want.Trailer)
		}
	}
}

// FuzzBridgeAnswer holds that net/http reads in an answer what the frames said,
// for every kind of request, and that it finds its end.
func FuzzBridgeAnswer(f *testing.F) {
	f.Add(200, "x-a", "1", "hello", true, uint8(0))
	f.Add(204, "content-length", "0", "", false, uint8(1))
	f.Add(205, "a", "", "", true, uint8(2))
	f.Add(999, "trailer", "x-sum", "abc", true, uint8(6))
	f.Fuzz(func(t *testing.T, status int, name, value, body string, tail bool, kind uint8) {
		block := fields(":status", fmt.Sprint(status), strings.ToLower(name), value)
		c := &conn{}
		most := limits.Default()
		m := message{decoder: &c.decoder, most: &most}
		if m.response(block) != nil || m.malformed || m.tooLarge || m.status < 200 {
			return
		}
		empty := kind&1 != 0 || status == 204 || status == 304 || status == 205
		if empty {
			body = ""
		}
		if m.length >= 0 && m.length != int64(len(body)) && !empty {
			return
		}
		want := terms{head: kind&1 != 0, old: kind&2 != 0, keepAlive: kind&4 != 0 && kind&2 != 0}
		tell := teller{}
		tell.begin(1, want)
		raw := tell.take(nil, frame{kind: frameHeaders, flags: flagEndHeaders, stream: 1, payload: m.block})
		for i := range len(body) {
			raw = tell.take(raw, frame{kind: frameData, stream: 1, payload: []byte(body[i : i+1])})
		}
		if tail {
			raw = tell.take(raw, frame{kind: frameHeaders, flags: flagEndHeaders | flagEndStream, stream: 1, payload: fields("x-sum", "1")})
		} else {
			raw = tell.take(raw, frame{kind: frameData, flags: flagEndStream, stream: 1})
		}
		if !tell.done || tell.broken {
			t.Fatal("the answer has not ended")
		}
		method := map[bool]string{true: "HEAD", false: "GET"}[want.head]
		r := bufio.NewReader(io.MultiReader(bytes.NewReader(raw), strings.NewReader("NEXT")))
		got, err := http.ReadResponse(r, httptest.NewRequest(method, "/", nil))
		if err != nil {
			t.Fatalf("%v in %q", err, raw)
		}
		read, err := io.ReadAll(got.Body)
		end := "NEXT"
		if tell.close {
			body, end = body+end, "" // it reaches as far as the connection
		}
		if err != nil || got.StatusCode != status || string(read) != body {
			t.Fatalf("status %d, body %q (%v) in %q", got.StatusCode, read, err, raw)
		}
		if rest, _ := io.ReadAll(r); string(rest) != end {
			t.Fatalf("%q is left behind %q", rest, raw)
		}
		if tail && tell.chunked && got.Trailer.Get("X-Sum") != "1" {
			t.Fatalf("no trailer in %q", raw)
		}
		if key := http.CanonicalHeaderKey(name); key != "Content-Length" && key != "Trailer" && !slices.Equal(got.Header[key], []string{value}) {
			t.Fatalf("%q became %q in %q", value, got.Header[key], raw)
		}
	})
}
