package wire

// name is a field name that means something to a proxy.
type name uint8

const (
	other name = iota
	host
	connection
	contentLength
	transferEncoding
	upgrade
	expect
	te
	forwardedFor
	trailer
	hopByHop // Keep-Alive, Proxy-Connection, …: never forwarded
	ours     // weft-…: only Weft says it
	reserved // says who calls: not believed of a client, never forwarded for it
	private  // credentials and cookies: fields, but never trailers
	payload  // describes or routes the message: a field, but never a trailer
)

// Beginnings of names by which proxies tell each other who calls.
const (
	ourPrefix     = "weft-"
	linkerdPrefix = "l5d-"
	envoyPrefix   = "x-envoy-"
)

// longest is the length of the longest name that is known whole.
const longest = len("x-forwarded-client-cert")

// lookup tells what a field name means. A name with '_' means what it would
// with '-', since many servers read both as one; it is then never forwarded if
// it means anything.
func lookup(b []byte) name {
	if n := prefixed(b); n != other || len(b) > longest {
		return n
	}
	for _, c := range b {
		if c == '_' {
			return alias(b)
		}
	}
	return known(b)
}

// alias looks a name with underscores up as it may be read by others.
func alias(b []byte) name {
	var dashed [longest]byte
	n := copy(dashed[:], b)
	for i, c := range dashed[:n] {
		if c == '_' {
			dashed[i] = '-'
		}
	}
	switch known(dashed[:n]) {
	case other, private, payload:
		return other
	}
	return hopByHop
}

// prefixed tells what a name means by its beginning.
func prefixed(b []byte) name {
	switch {
	case begins(b, ourPrefix):
		return ours
	case begins(b, linkerdPrefix), begins(b, envoyPrefix):
		return reserved
	}
	return other
}

// begins compares as lookup does: the case and '_' do not matter.
func begins(b []byte, prefix string) bool {
	if len(b) < len(prefix) {
		return false
	}
	for i := range len(prefix) {
		c := b[i]
		if c == '_' {
			c = '-'
		}
		if 'A' <= c && c <= 'Z' {
			c |= 0x20
		}
		if c != prefix[i] {
			return false
		}
	}
	return true
}

// known looks a name up. The length comes first: most names end there.
func known(b []byte) name {
	switch len(b) {
	case 2:
		return if1(b, "te", te)
	case 4:
		return if1(b, "host", host)
	case 5:
		return if1(b, "proxy", reserved)
	case 6:
		return if2(b, "expect", expect, "cookie", private)
	case 7:
		return if2(b, "upgrade", upgrade, "trailer", trailer)
	case 9:
		return if2(b, "x-real-ip", reserved, "forwarded", reserved)
	case 10:
		if fold(b, "set-cookie") {
			return private
		}
		return if2(b, "connection", connection, "keep-alive", hopByHop)
	case 12:
		return if2(b, "content-type", payload, "max-forwards", payload)
	case 13:
		if fold(b, "authorization") {
			return private
		}
		return if2(b, "content-range", payload, "cache-control", payload)
	case 14:
		return if2(b, "content-length", contentLength, "http2-settings", hopByHop)
	case 15:
		return if1(b, "x-forwarded-for", forwardedFor)
	case 16:
		if fold(b, "proxy-connection") {
			return hopByHop
		}
		return if2(b, "www-authenticate", private, "content-encoding", payload)
	case 17:
		return if1(b, "transfer-encoding", transferEncoding)
	case 18:
		return if1(b, "proxy-authenticate", hopByHop)
	case 19:
		return if1(b, "proxy-authorization", hopByHop)
	case 23:
		return if1(b, "x-forwarded-client-cert", reserved)
	}
	return other
}

func if1(b []byte, lower string, n name) name {
	if fold(b, lower) {
		return n
	}
	return other
}

func if2(b []byte, one string, n name, two string, m name) name {
	if fold(b, one) {
		return n
	}
	return if1(b, two, m)
}
