package l4

import (
	"strings"
	"testing"
)

func TestClassify(t *testing.T) {
	for begin, want := range map[string]Kind{
		"":                                     Undecided,
		"G":                                    Undecided,
		"GET":                                  Undecided,
		"GET ":                                 Undecided,
		"GET /":                                HTTP1,
		"POST /a?b HTTP/1.1\r\n":               HTTP1,
		"OPTIONS * HTTP/1.1\r\n":               HTTP1,
		"GET h":                                Undecided,
		"GET http://":                          HTTP1,
		"GET HTTPS://a":                        HTTP1,
		"M-SEARCH * HTTP/1.1":                  HTTP1,
		"BASELINE-CONTROL /x":                  HTTP1,
		"CONNECT a:1 HTTP/1.1":                 HTTP1,
		"PRI":                                  Undecided,
		"PRI * HTTP/2.0\r\n\r\nSM\r\n\r":       Undecided,
		"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n":     HTTP2,
		"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00": HTTP2,
		"PRI * HTTP/1.1\r\n":                   HTTP1,
		"PRI /":                                HTTP1,
		"get /":                                Opaque, // memcached begins so
		" GET /":                               Opaque,
		"GET  /":                               Opaque,
		"GET\t/":                               Opaque,
		"SET a b\r\n":                          Opaque, // Redis inline
		"MAIL FROM:<a@b>":                      Opaque,
		"HELO host":                            Opaque,
		"PING\r\n":                             Opaque,
		"*1\r\n$4\r\nPING\r\n":                 Opaque,
		"\x16\x03\x01":                         Opaque, // TLS
		"\x00\x00\x00\x08\x04\xd2\x16\x2f":     Opaque, // PostgreSQL
		"AVERYVERYVERYLONGMETHODNAME":          Opaque,
	} {
		if got := Classify([]byte(begin)); got != want {
			t.Errorf("%q is %d; want %d", begin, got, want)
		}
	}
}

// What is decided never changes with what follows, and every begin of what is
// decided otherwise was Undecided: so it does not matter in which pieces bytes
// come.
func FuzzClassify(f *testing.F) {
	for _, seed := range []string{"GET / HTTP/1.1\r\n", preface + "\x00", "GET https://x", "CONNECT a:1", "\x16\x03"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		decided := Undecided
		for i := range len(b) + 1 {
			kind := Classify(b[:i])
			if decided != Undecided && kind != decided {
				t.Fatalf("%q is %d, its begin was %d", b[:i], kind, decided)
			}
			decided = kind
		}
		if len(b) >= sniffBytes && decided == Undecided {
			t.Fatalf("%d bytes do not decide: %q", len(b), b)
		}
	})
}

func TestWhatSniffHoldsDecides(t *testing.T) {
	for _, begin := range []string{strings.Repeat("A", sniffBytes), strings.Repeat("A", longestMethod) + " https:/" + strings.Repeat("x", sniffBytes)} {
		if Classify([]byte(begin[:sniffBytes])) == Undecided {
			t.Errorf("%q does not decide", begin[:sniffBytes])
		}
	}
}
