package l4

import (
	"bytes"
	"errors"
	"net"
	"os"
	"time"
)

// Kind is what the first bytes of a connection say about it.
type Kind uint8

// The kinds.
const (
	Undecided Kind = iota // the bytes so far fit more than one
	Opaque                // not HTTP
	HTTP1                 // an HTTP/1 request line begins
	HTTP2                 // the client preface of HTTP/2 (RFC 9113 §3.4)
)

// preface is what every HTTP/2 client sends first.
const preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

// longestMethod bounds the method of a request line that is recognised.
const longestMethod = 24

// sniffBytes holds what Classify may need to decide.
const sniffBytes = 64

// Classify tells what begins with b. A request line is recognised by a method
// in capitals, one space and the begin of a target (RFC 9112 §3.2).
func Classify(b []byte) Kind {
	if prefaced := begins(b, preface); prefaced != Opaque {
		if prefaced == HTTP1 {
			return HTTP2
		}
		return Undecided
	}
	space := bytes.IndexByte(b, ' ')
	method := b
	if space >= 0 {
		method = b[:space]
	}
	switch {
	case len(method) > longestMethod, space == 0, !capitals(method):
		return Opaque
	case space < 0:
		return Undecided
	case string(method) == "CONNECT":
		return HTTP1
	}
	return target(b[space+1:])
}

// target recognises the begin of a request target.
func target(b []byte) Kind {
	if len(b) > 0 && (b[0] == '/' || b[0] == '*') {
		return HTTP1
	}
	lower := bytes.ToLower(b[:min(len(b), len("https://"))])
	plain, secure := begins(lower, "http://"), begins(lower, "https://")
	switch {
	case plain == HTTP1 || secure == HTTP1:
		return HTTP1
	case plain == Undecided || secure == Undecided:
		return Undecided
	}
	return Opaque
}

// begins is HTTP1 where b begins with want, Undecided where it is the begin of
// want, else Opaque.
func begins(b []byte, want string) Kind {
	n := min(len(b), len(want))
	switch {
	case string(b[:n]) != want[:n]:
		return Opaque
	case n == len(want):
		return HTTP1
	}
	return Undecided
}

func capitals(method []byte) bool {
	for _, c := range method {
		if (c < 'A' || c > 'Z') && c != '-' && c != '_' {
			return false
		}
	}
	return true
}

// Version tells which version of HTTP begins with b, where HTTP is known to: at
// most 24 bytes decide.
func Version(b []byte) Kind {
	switch begins(b, preface) {
	case HTTP1:
		return HTTP2
	case Opaque:
		return HTTP1
	}
	return Undecided
}

// ReadHTTP reads the first bytes of a connection that is known to carry HTTP,
// until it is clear which version. The bytes it has read are returned and
// belong before what is read next. An error means that the client left or sent
// nothing in time.
func ReadHTTP(c *net.TCPConn, timeout time.Duration) (first []byte, kind Kind, err error) {
	if err := c.SetReadDeadline(time.Now().Add(timeout)); err != nil {
		return nil, Undecided, err
	}
	buffer := make([]byte, 0, sniffBytes)
	for {
		n, err := c.Read(buffer[len(buffer):cap(buffer)])
		buffer = buffer[:len(buffer)+n]
		if kind := Version(buffer); kind != Undecided {
			return buffer, kind, c.SetReadDeadline(time.Time{})
		}
		if err != nil {
			return buffer, Undecided, err
		}
	}
}

// sniff reads the first bytes of a connection until they can be classified. It
// waits silence long for the first byte (then the kind is Undecided without
// bytes), and patience long in all for what began like HTTP; after that, and at
// the end of the stream, it is Opaque.
func sniff(c *net.TCPConn, had []byte, silence, patience time.Duration) (first []byte, kind Kind, err error) {
	buffer := append(make([]byte, 0, sniffBytes), had...)
	end := time.Now().Add(patience)
	for {
		if kind := Classify(buffer); len(buffer) > 0 && kind != Undecided {
			return buffer, kind, c.SetReadDeadline(time.Time{})
		}
		deadline := end
		if len(buffer) == 0 {
			deadline = time.Now().Add(silence)
		}
		if err := c.SetReadDeadline(deadline); err != nil {
			return buffer, Opaque, err
		}
		n, err := c.Read(buffer[len(buffer):cap(buffer)])
		buffer = buffer[:len(buffer)+n]
		if err == nil {
			continue
		}
		if errors.Is(err, os.ErrDeadlineExceeded) {
			err = c.SetReadDeadline(time.Time{})
			if len(buffer) == 0 {
				return nil, Undecided, err
			}
		}
		return buffer, Opaque, err
	}
}
