package http1_test

import (
	"strings"
	"testing"

	"github.com/weft-mesh/weft/pkg/nodeproxy/http1"
)

// What a hostile client sends, as raw bytes, row by row: each is answered with
// one refusal, and the connection closes: what follows is never read as another
// request.
func TestHostileClients(t *testing.T) {
	for _, test := range hostile {
		t.Run(test.row, func(t *testing.T) {
			w := newWorld(t, http1.Config{}, newOrigin(t, mirror).at)
			got := w.ask(test.raw + "GET /smuggled HTTP/1.1\r\nHost: h\r\n\r\n")
			if s := statuses(got); len(s) != 1 || s[0] != test.status {
				t.Errorf("answers %v; want one %s:\n%q", s, test.status, got)
			}
			if !strings.Contains(got, "\r\nWeft-Reason: ") || !strings.Contains(got, "\r\nConnection: close\r\n") {
				t.Errorf("the refusal does not explain itself, or keeps the connection: %q", got)
			}
			if strings.Contains(got, "smuggled") {
				t.Errorf("what followed was read: %q", got)
			}
		})
	}
}

// What comes out at the endpoint, as raw bytes, for what a client sends.
func TestWhatAnEndpointGets(t *testing.T) {
	for _, test := range passedOn {
		t.Run(test.row, func(t *testing.T) {
			w := newWorld(t, http1.Config{}, newOrigin(t, mirror).at)
			// The second request ends the connection, and shows that the first did not.
			got := w.ask(test.raw + "GET /last HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
			if !strings.Contains(got, "\r\n\r\n"+test.want) {
				t.Errorf("the endpoint did not get %q:\n%q", test.want, got)
			}
			if old := strings.Contains(test.raw, "HTTP/1.0"); !old && !strings.Contains(got, "GET /last") {
				t.Errorf("the next request was not served: %q", got)
			}
		})
	}
}

// Begins of requests.
const (
	head      = "POST / HTTP/1.1\r\nHost: h\r\n"
	chunked   = head + "Transfer-Encoding: chunked\r\n\r\n"
	forwarded = "X-Forwarded-For: 127.0.0.1\r\n"
)

var long = strings.Repeat("a", 70<<10)

// get is a GET with fields.
func get(fields string) string { return "GET / HTTP/1.1\r\nHost: h\r\n" + fields + "\r\n" }

// hostile is what a client sends and how it is refused.
var hostile = []struct{ row, raw, status string }{
	{"B01 both lengths", head + "Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "400"},
	{"B01 both lengths, the other way round", head + "Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n0\r\n\r\n", "400"},
	{"B02 two lengths", head + "Content-Length: 5\r\nContent-Length: 6\r\n\r\nabcdef", "400"},
	{"B02 two lengths in a list", head + "Content-Length: 5, 6\r\n\r\nabcdef", "400"},
	{"B03 plus", head + "Content-Length: +5\r\n\r\nabcde", "400"},
	{"B03 minus", head + "Content-Length: -1\r\n\r\n", "400"},
	{"B03 hexadecimal", head + "Content-Length: 0x5\r\n\r\nabcde", "400"},
	{"B03 underscore", head + "Content-Length: 5_0\r\n\r\nabcde", "400"},
	{"B03 space within", head + "Content-Length: 5 5\r\n\r\nabcde", "400"},
	{"B03 empty", head + "Content-Length: \r\n\r\n", "400"},
	{"B03 empty member", head + "Content-Length: 5,\r\n\r\nabcde", "400"},
	{"B03 overflow", head + "Content-Length: 18446744073709551621\r\n\r\nabcde", "400"},
	{"B03 64 bits", head + "Content-Length: 9223372036854775808\r\n\r\nabcde", "400"},
	{"B04 xchunked", head + "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", "501"},
	{"B04 empty member", head + "Transfer-Encoding: ,chunked\r\n\r\n0\r\n\r\n", "400"},
	{"B04 vertical tab", head + "Transfer-Encoding: \vchunked\r\n\r\n0\r\n\r\n", "400"},
	{"B04 twice", head + "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "400"},
	{"B04 twice in a list", head + "Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n", "501"},
	{"B04 identity", head + "Transfer-Encoding: identity\r\n\r\n0\r\n\r\n", "400"},
	{"B04 gzip", head + "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", "501"},
	{"B04 empty", head + "Transfer-Encoding: \r\n\r\n0\r\n\r\n", "400"},
	{"B04 quoted", head + "Transfer-Encoding: \"chunked\"\r\n\r\n0\r\n\r\n", "400"},
	{"B05 chunked in HTTP/1.0", "POST / HTTP/1.0\r\nHost: h\r\nConnection: keep-alive\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "400"},
	{"B06 bare LF after the size", chunked + "5\nabcde\r\n0\r\n\r\n", "400"},
	{"B06 0x", chunked + "0x5\r\nabcde\r\n0\r\n\r\n", "400"},
	{"B06 plus", chunked + "+5\r\nabcde\r\n0\r\n\r\n", "400"},
	{"B06 minus", chunked + "-5\r\nabcde\r\n0\r\n\r\n", "400"},
	{"B06 overflow", chunked + "10000000000000005\r\nabcde\r\n0\r\n\r\n", "400"},
	{"B06 empty", chunked + "\r\nabcde\r\n0\r\n\r\n", "400"},
	{"B06 space behind", chunked + "5 \r\nabcde\r\n0\r\n\r\n", "400"},
	{"B06 space before an extension", chunked + "5 ;x\r\nabcde\r\n0\r\n\r\n", "400"},
	{"B06 space before", chunked + " 5\r\nabcde\r\n0\r\n\r\n", "400"},
	{"B06 no CRLF after the data", chunked + "5\r\nabcdeX0\r\n\r\n", "400"},
	{"B06 bare LF after the data", chunked + "5\r\nabcde\n0\r\n\r\n", "400"},
	{"B06 extension with a control", chunked + "5;a=\x00\r\nabcde\r\n0\r\n\r\n", "400"},
	{"B06 extension with a bare CR", chunked + "5;a=\rb\r\nabcde\r\n0\r\n\r\n", "400"},
	{"B06 bad trailer", chunked + "0\r\nno colon\r\n\r\n", "400"},
	{"B07 extensions out of proportion", chunked + strings.Repeat("1;"+strings.Repeat("x", 4000)+"\r\na\r\n", 3) + "0\r\n\r\n", "400"},
	{"B07 endless extension", chunked + "1;" + long, "400"},
	{"B08 space before the colon", "GET / HTTP/1.1\r\nHost: h\r\nX-A : 1\r\n\r\n", "400"},
	{"B08 empty name", "GET / HTTP/1.1\r\nHost: h\r\n: 1\r\n\r\n", "400"},
	{"B08 NUL", "GET / HTTP/1.1\r\nHost: h\r\nX-A: a\x00b\r\n\r\n", "400"},
	{"B08 bare CR", "GET / HTTP/1.1\r\nHost: h\r\nX-A: a\rb\r\n\r\n", "400"},
	{"B08 no colon", "GET / HTTP/1.1\r\nHost: h\r\nX-A\r\n\r\n", "400"},
	{"B08 leading space", "GET / HTTP/1.1\r\n Host: h\r\n\r\n", "400"},
	{"B08 control in a name", "GET / HTTP/1.1\r\nHost: h\r\nX\x01A: 1\r\n\r\n", "400"},
	{"B09 folded", head + "Transfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n", "400"},
	{"B09 bare LF in the head", "GET / HTTP/1.1\nHost: h\n\n", "400"},
	{"B09 bare LF after a field", "GET / HTTP/1.1\r\nHost: h\nX-A: 1\r\n\r\n", "400"},
	{"B11 another expectation", head + "Expect: y 100-continue\r\nContent-Length: 1\r\n\r\na", "417"},
	{"B11 two expectations", head + "Expect: 100-continue\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\na", "417"},
	{"B14 CONNECT", "CONNECT h:80 HTTP/1.1\r\nHost: h:80\r\n\r\n", "405"},
	{"B18 preface", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "400"},
	{"B18 GET *", "GET * HTTP/1.1\r\nHost: h\r\n\r\n", "400"},
	{"B19 two empty lines", "\r\n\r\nGET / HTTP/1.1\r\nHost: h\r\n\r\n", "400"},
	{"B26 many fields", "GET / HTTP/1.1\r\nHost: h\r\n" + strings.Repeat("a:b\r\n", 5000) + "\r\n", "431"},
	{"B26 long head", "GET / HTTP/1.1\r\nHost: h\r\nX-A: " + long + "\r\n\r\n", "431"},
	{"B26 long line", "GET /" + long + " HTTP/1.1\r\nHost: h\r\n\r\n", "414"},
	{"B34 fragment", "GET /admin#x HTTP/1.1\r\nHost: h\r\n\r\n", "400"},
	{"B33 NUL in the target", "GET /a\x00b HTTP/1.1\r\nHost: h\r\n\r\n", "400"},
	{"B33 space in the target", "GET /a b HTTP/1.1\r\nHost: h\r\n\r\n", "400"},
	{"B31 ESC in the target", "GET /\x1b[2J HTTP/1.1\r\nHost: h\r\n\r\n", "400"},
	{"B31 CR in the target", "GET /a\rb HTTP/1.1\r\nHost: h\r\n\r\n", "400"},
	{"B35 file URL", "GET file:///etc/passwd HTTP/1.1\r\nHost: h\r\n\r\n", "400"},
	{"B35 no authority", "GET http:///a HTTP/1.1\r\nHost: h\r\n\r\n", "400"},
	{"B35 user information", "GET http://a@b/ HTTP/1.1\r\nHost: b\r\n\r\n", "400"},
	{"B35 two hosts", "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", "400"},
	{"B35 one host twice", "GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", "400"},
	{"B35 empty host", "GET / HTTP/1.1\r\nHost: \r\n\r\n", "400"},
	{"B35 no host", "GET / HTTP/1.1\r\n\r\n", "400"},
	{"B36 path in the host", "GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", "400"},
	{"B36 space in the host", "GET / HTTP/1.1\r\nHost: a b\r\n\r\n", "400"},
	{"B37 * of another method", "POST * HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n", "400"},
	{"B38 TRACE", "TRACE / HTTP/1.1\r\nHost: h\r\n\r\n", "405"},
	{"version 1.2", "GET / HTTP/1.2\r\nHost: h\r\n\r\n", "505"},
	{"version 2.0", "GET / HTTP/2.0\r\nHost: h\r\n\r\n", "505"},
	{"no version", "GET /\r\nHost: h\r\n\r\n", "400"},
	{"version in small letters", "GET / http/1.1\r\nHost: h\r\n\r\n", "400"},
	{"two spaces", "GET  / HTTP/1.1\r\nHost: h\r\n\r\n", "400"},
	{"bytes above 127 in the target", "GET /\xc3\xa9 HTTP/1.1\r\nHost: h\r\n\r\n", "400"},
}

// passedOn is what a client sends and what an endpoint gets of it.
var passedOn = []struct{ row, raw, want string }{
	{"B02 one length twice", "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5, 5\r\n\r\nabcde",
		"POST / HTTP/1.1\r\nHost: h\r\n" + forwarded + "Content-Length: 5\r\n\r\nabcde"},
	{"B02 two equal lengths", "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\ncontent-length: 5\r\n\r\nabcde",
		"POST / HTTP/1.1\r\nHost: h\r\n" + forwarded + "Content-Length: 5\r\n\r\nabcde"},
	{"B03 leading zeros", "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 005\r\n\r\nabcde",
		"POST / HTTP/1.1\r\nHost: h\r\n" + forwarded + "Content-Length: 5\r\n\r\nabcde"},
	{"B04 capitals", "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: CHUNKED\r\n\r\n1\r\na\r\n0\r\n\r\n",
		"POST / HTTP/1.1\r\nHost: h\r\n" + forwarded + "Transfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n"},
	{"B07 extensions are dropped", "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n005;a=b\r\nabcde\r\nB;c\r\nabcdefghijk\r\n0;z\r\n\r\n",
		"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n" + forwarded + "\r\n5\r\nabcde\r\nb\r\nabcdefghijk\r\n0\r\n\r\n"},
	{"B11 the expectation is answered here", "POST / HTTP/1.1\r\nHost: h\r\nExpect: 100-Continue\r\nContent-Length: 1\r\n\r\na",
		"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\n" + forwarded + "\r\na"},
	{"B11 an expectation without a body", get("Expect: 100-continue\r\n"), get(forwarded)},
	{"B15 h2c", get("Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n"), get(forwarded)},
	{"B15 a list of upgrades", get("Connection: Upgrade\r\nUpgrade: websocket, h2c\r\n"), get(forwarded)},
	{"B15 two upgrades", get("Connection: Upgrade\r\nUpgrade: websocket\r\nUpgrade: h2c\r\n"), get(forwarded)},
	{"B15 an upgrade that Connection does not name", get("Upgrade: websocket\r\n"), get(forwarded)},
	{"B19 one empty line before", "\r\n" + get(""), get(forwarded)},
	{"B20 Connection names ours", get("X-Forwarded-For: 1.1.1.1\r\nConnection: x-forwarded-for\r\n"), get("X-Forwarded-For: 1.1.1.1, 127.0.0.1\r\n")},
	{"B20 an empty one first", get("Connection: \r\nConnection: ,X-A,,\r\nx-a: 1\r\n"), get(forwarded)},
	{"B20 Connection names what frames", "POST / HTTP/1.1\r\nHost: h\r\nConnection: content-length, host\r\nContent-Length: 1\r\n\r\na",
		"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\n" + forwarded + "\r\na"},
	{"B20 hop by hop", get("Keep-Alive: 5\r\nProxy-Connection: keep-alive\r\nTE: gzip\r\nProxy-Authorization: x\r\nUpgrade: h2c\r\n"), get(forwarded)},
	{"B20 trailers are wanted", get("TE: gzip, trailers\r\n"), get(forwarded + "Connection: TE\r\nTE: trailers\r\n")},
	{"B21 spoofed identities", get("weft-source: a\r\nWeft-Reason: x\r\nX-Real-IP: 1.1.1.1\r\nX-Forwarded-Client-Cert: x\r\nL5d-Client-Id: x\r\nx-envoy-peer-metadata: x\r\n"), get(forwarded)},
	{"B21 X-Forwarded-For is appended to", get("X-Forwarded-For: 1.1.1.1\r\nX-A: 1\r\nx-forwarded-for: 2.2.2.2\r\n"), get("X-A: 1\r\nX-Forwarded-For: 1.1.1.1, 2.2.2.2, 127.0.0.1\r\n")},
	{"B22 underscores", get("X_Forwarded_For: 1\r\nweft_source: a\r\nX_Real-IP: 1\r\nContent_Length: 7\r\nTransfer_Encoding: chunked\r\nmy_header: kept\r\n"), get("my_header: kept\r\n" + forwarded)},
	{"B23 names in any case", "POST / HTTP/1.1\r\nhOST: h\r\ncONTENT-lENGTH: 1\r\ncONNECTION: X-a\r\nx-A: 1\r\n\r\na",
		"POST / HTTP/1.1\r\nhOST: h\r\ncONTENT-lENGTH: 1\r\n" + forwarded + "\r\na"},
	{"B24 Connection on two lines", get("Connection: X-A\r\nX-A: 1\r\nX-B: 2\r\nConnection: X-B\r\n"), get(forwarded)},
	{"B24 Connection as one list", get("Connection: X-A, X-B\r\nX-A: 1\r\nX-B: 2\r\n"), get(forwarded)},
	{"B25 Proxy", get("Proxy: http://evil\r\n"), get(forwarded)},
	{"B27 trailers", "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n1\r\na\r\n0\r\nContent-Length: 5\r\nSet-Cookie: a\r\nHost: x\r\nTransfer-Encoding: chunked\r\nAuthorization: x\r\nX-Sum: 1\r\n\r\n",
		"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n" + forwarded + "\r\n1\r\na\r\n0\r\nX-Sum: 1\r\n\r\n"},
	{"B29 nothing is added", get("User-Agent:\r\nX-Odd:   two  spaces \t\r\nACCEPT: */*\r\nX-High: \xe9\r\n"), get("User-Agent:\r\nX-Odd:   two  spaces \t\r\nACCEPT: */*\r\nX-High: \xe9\r\n" + forwarded)},
	{"B30 the query", "GET /?a=1;b=2&c=%zz&&=?/\"|\\ HTTP/1.1\r\nHost: h\r\n\r\n", "GET /?a=1;b=2&c=%zz&&=?/\"|\\ HTTP/1.1\r\nHost: h\r\n" + forwarded + "\r\n"},
	{"B33 the path", "GET /a/../%2e%2E//b\\%2f%252f;x HTTP/1.1\r\nHost: h\r\n\r\n", "GET /a/../%2e%2E//b\\%2f%252f;x HTTP/1.1\r\nHost: h\r\n" + forwarded + "\r\n"},
	{"B35 absolute form", "GET HTTP://b:80?q HTTP/1.1\r\nX-A: 1\r\nHost: a\r\n\r\n", "GET /?q HTTP/1.1\r\nHost: b:80\r\nX-A: 1\r\n" + forwarded + "\r\n"},
	{"B36 the host is not touched", "GET / HTTP/1.1\r\nHost: Orders.SHOP.mesh.:80\r\n\r\n", "GET / HTTP/1.1\r\nHost: Orders.SHOP.mesh.:80\r\n" + forwarded + "\r\n"},
	{"B37 OPTIONS *", "OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n", "OPTIONS * HTTP/1.1\r\nHost: h\r\n" + forwarded + "\r\n"},
	{"B37 OPTIONS of a whole server", "OPTIONS http://h HTTP/1.1\r\nHost: h\r\n\r\n", "OPTIONS * HTTP/1.1\r\nHost: h\r\n" + forwarded + "\r\n"},
	{"HTTP/1.0 without a host", "GET / HTTP/1.0\r\nX-A: 1\r\n\r\n", "GET / HTTP/1.1\r\nHost: orders.shop\r\nX-A: 1\r\n" + forwarded + "\r\n"},
	{"HTTP/1.0 expects in vain", "POST / HTTP/1.0\r\nHost: h\r\nExpect: odd\r\nContent-Length: 1\r\n\r\na", "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\n" + forwarded + "\r\na"},
}
