package wire_test

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httputil"
	"strings"
	"testing"

	"github.com/weft-mesh/weft/pkg/nodeproxy/http1/wire"
)

// client is what X-Forwarded-For gets.
var forward = wire.Forward{Client: []byte("10.0.0.1"), Host: "orders.shop"}

// parseWhole and parseByByte read one head; the bytes that it is forwarded as
// are empty where it is incomplete; of what is refused out is what can be told.
func parseWhole(raw []byte) (n int, out string, err error) {
	var r wire.Request
	n, err = r.Parse(raw)
	switch {
	case err != nil:
		out = told(&r)
	case n > 0:
		out = string(r.Append(nil, &forward))
	}
	return n, out, err
}

// told is what is noted of a request.
func told(r *wire.Request) string {
	host, _ := r.Header("host", 0)
	return fmt.Sprintf("%q %q %q", r.Method(), r.Path(), host)
}

func parseByByte(raw []byte) (n int, out string, err error) {
	var r wire.Request
	for i := range len(raw) + 1 {
		// Each time somewhere else, as in a buffer that moves.
		if n, err = r.Parse(bytes.Clone(raw[:i])); err != nil {
			return 0, told(&r), err
		}
		if n > 0 {
			return n, string(r.Append(nil, &forward)), nil
		}
	}
	return 0, "", nil
}

var requests = []string{
	"GET / HTTP/1.1\r\nHost: h\r\n\r\n",
	"\r\nGET /a?b HTTP/1.1\r\nHost: h\r\nConnection: close, x-a\r\nX-A: 1\r\n\r\nmore",
	"POST http://h:1/x HTTP/1.1\r\nHost: a\r\nContent-Length: 5, 5\r\n\r\nabcde",
	"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: Chunked\r\nTE: trailers\r\n\r\n",
	"OPTIONS * HTTP/1.0\r\n\r\n",
	"GET / HTTP/1.1\r\nHost: h\r\nConnection: upgrade\r\nUpgrade: websocket\r\nX-Forwarded-For: a\r\nx_forwarded_for: b\r\n\r\n",
	"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n",
	"GET / HTTP/1.1\r\nHost: h\r\nX: a\r\n b\r\n\r\n",
	"TRACE /a?b HTTP/1.1\r\n", "CONNECT h:1 HTTP/1.1\r\n", "GET http://h/a HTTP/1.1\r\nHost: h\r\nHost: i\r\n\r\n", "GET /a HTTP/2.0\r\n",
	"GET / HTTP/1.1\nHost: h\n\n", "GET /\x00 HTTP/1.1\r\n", "\r\n\r\n", "GET / HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\n\r\n",
}

// FuzzRequest holds that a head fed byte by byte is read as when it comes
// whole; that what is accepted means the same to net/http; and that what is
// forwarded means the same once more.
func FuzzRequest(f *testing.F) {
	for _, r := range requests {
		f.Add([]byte(r))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		n, out, err := parseWhole(raw)
		if m, slow, slowErr := parseByByte(raw); m != n || slow != out || !errors.Is(slowErr, err) && !(err == nil && slowErr == nil) {
			t.Fatalf("%q: whole %d %q %v; by byte %d %q %v", raw, n, out, err, m, slow, slowErr)
		}
		if n == 0 {
			return
		}
		ours, err := http.ReadRequest(bufio.NewReader(strings.NewReader(out)))
		if err != nil {
			if allowed(err, raw) {
				return
			}
			t.Fatalf("net/http refuses what is forwarded: %v\n%q", err, out)
		}
		theirs, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(bytes.TrimPrefix(raw[:n], []byte("\r\n")))))
		if err != nil {
			if allowed(err, raw) {
				return
			}
			t.Fatalf("net/http refuses what is accepted: %v\n%q", err, raw)
		}
		compare(t, theirs, ours)
		var again wire.Request
		if m, err := again.Parse([]byte(out)); m != len(out) || err != nil {
			t.Fatalf("what is forwarded is not read again: %d of %d, %v\n%q", m, len(out), err, out)
		}
	})
}

// allowed are what net/http is stricter in, and nobody could read otherwise:
// it wants targets and hosts to be URLs that it can take apart, and refuses one
// length given twice in a list, which goes on as one (RFC 9112 §6.3).
func allowed(err error, raw []byte) bool {
	text := err.Error()
	return strings.HasPrefix(text, "parse ") || strings.Contains(text, "invalid URI for request") || strings.Contains(text, "malformed Host header") ||
		strings.Contains(text, "bad Content-Length") && bytes.Contains(raw, []byte(","))
}

func compare(t *testing.T, in, out *http.Request) {
	t.Helper()
	if in.Method != out.Method || in.ContentLength != out.ContentLength || len(in.TransferEncoding) != len(out.TransferEncoding) {
		t.Errorf("read as %s %d %v; forwarded as %s %d %v", in.Method, in.ContentLength, in.TransferEncoding, out.Method, out.ContentLength, out.TransferEncoding)
	}
	if in.Host != out.Host && in.Host != "" {
		t.Errorf("host %q became %q", in.Host, out.Host)
	}
	if in.URL.RawQuery != out.URL.RawQuery || strings.TrimPrefix(in.URL.EscapedPath(), "/") != strings.TrimPrefix(out.URL.EscapedPath(), "/") && out.RequestURI != "*" {
		t.Errorf("target %q became %q", in.RequestURI, out.RequestURI)
	}
	for name, values := range out.Header {
		switch name {
		case "X-Forwarded-For", "Connection", "Upgrade", "Te", "Content-Length":
			continue
		}
		if strings.Join(in.Header[name], "\n") != strings.Join(values, "\n") {
			t.Errorf("%s: %q became %q", name, in.Header[name], values)
		}
	}
}

// FuzzResponse is FuzzRequest for the answers of endpoints.
func FuzzResponse(f *testing.F) {
	for _, r := range []string{
		"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\na", "HTTP/1.0 404\r\n\r\n", "HTTP/1.1 103 Early\r\nLink: a\r\n\r\n",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: a\r\nConnection: close, a\r\na: b\r\n\r\n", "HTTP/1.1 205 x\r\n\r\n", "HTTP/1.1 099 x\r\n\r\n",
	} {
		f.Add([]byte(r))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		var whole, slow wire.Response
		whole.Reset(wire.Asked{})
		n, err := whole.Parse(raw)
		slow.Reset(wire.Asked{})
		var m int
		var slowErr error
		for i := 0; i <= len(raw) && m == 0 && slowErr == nil; i++ {
			m, slowErr = slow.Parse(bytes.Clone(raw[:i]))
		}
		if m != n || (err == nil) != (slowErr == nil) {
			t.Fatalf("%q: whole %d %v; by byte %d %v", raw, n, err, m, slowErr)
		}
		if n == 0 || whole.Interim() {
			return
		}
		out := whole.Append(nil, "")
		if by := slow.Append(nil, ""); !bytes.Equal(by, out) {
			t.Fatalf("%q: whole %q; by byte %q", raw, out, by)
		}
		ours, err := http.ReadResponse(bufio.NewReader(bytes.NewReader(out)), nil)
		if err != nil {
			t.Fatalf("net/http refuses what is forwarded: %v\n%q", err, out)
		}
		theirs, err := http.ReadResponse(bufio.NewReader(bytes.NewReader(raw[:n])), nil)
		if err != nil {
			t.Fatalf("net/http refuses what is accepted: %v\n%q", err, raw)
		}
		if ours.StatusCode != theirs.StatusCode || ours.ContentLength != theirs.ContentLength && theirs.StatusCode != 205 && theirs.StatusCode != 204 {
			t.Errorf("%d %d became %d %d", theirs.StatusCode, theirs.ContentLength, ours.StatusCode, ours.ContentLength)
		}
	})
}

// through scans a chunked body that comes in pieces of a size, and returns what
// goes on, how much was taken, and the error.
func through(raw []byte, size int) (out []byte, taken int, err error) {
	var r wire.Request
	if _, err := r.Parse([]byte("POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n")); err != nil {
		return nil, 0, err
	}
	body := r.Body()
	for end := min(size, len(raw)); ; end = min(end+size, len(raw)) {
		for !body.Done() {
			step, err := body.Scan(raw[taken:end])
			if err != nil {
				return nil, taken, err
			}
			if step.Pass+step.Drop == 0 {
				break
			}
			out = append(append(out, raw[taken:taken+step.Pass]...), step.Put...)
			taken += step.Pass + step.Drop
		}
		if body.Done() {
			return out, taken, nil
		}
		if end == len(raw) {
			return out, taken, body.End()
		}
	}
}

// FuzzChunks holds that chunks are read alike in pieces of every size; that
// what is accepted means the same to net/http, before and after; and that what
// is forwarded is forwarded unchanged the next time.
func FuzzChunks(f *testing.F) {
	for _, c := range []string{
		"5\r\nabcde\r\n0\r\n\r\n", "005;a=\"b;c\"\r\nabcde\r\n0;x\r\nX-A: 1\r\nHost: b\r\n\r\nGET", "A\r\n0123456789\r\n00\r\n\r\n",
		"5\nabcde\r\n0\r\n\r\n", "1\r\nab\r\n", "5 ; x\r\nabcde\r\n0\r\n\r\n", "ffffffffffffffff\r\n", "0\r\n\r\n", "",
	} {
		f.Add([]byte(c), 3)
	}
	f.Fuzz(func(t *testing.T, raw []byte, size int) {
		out, taken, err := through(raw, max(len(raw), 1))
		for _, s := range []int{1, 1 + max(size, 0)%17} {
			if slow, n, slowErr := through(raw, s); (err == nil) != (slowErr == nil) || err == nil && (n != taken || !bytes.Equal(slow, out)) {
				t.Fatalf("%q: whole %q %d %v; in pieces of %d %q %d %v", raw, out, taken, err, s, slow, n, slowErr)
			}
		}
		if err != nil {
			return
		}
		want, err := io.ReadAll(httputil.NewChunkedReader(bytes.NewReader(raw[:taken])))
		if err != nil {
			t.Fatalf("net/http refuses what is accepted: %v\n%q", err, raw)
		}
		got, err := io.ReadAll(httputil.NewChunkedReader(bytes.NewReader(out)))
		if err != nil || !bytes.Equal(got, want) {
			t.Fatalf("%q became %q (%v)", want, got, err)
		}
		if again, n, err := through(out, max(len(out), 1)); err != nil || n != len(out) || !bytes.Equal(again, out) {
			t.Fatalf("%q became %q the next time (%v)", out, again, err)
		}
	})
}
