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
	reserved // says who calls, or to whom: never believed, never forwarded
	private  // credentials and cookies: fields, but never trailers
	payload  // describes or routes the message: a field, but never a trailer
)

// reservedPrefixes begin names by which proxies tell each other who calls.
var reservedPrefixes = [...]string{"weft-", "l5d-", "x-envoy-"}

// lookup tells what a field name means. A name with '_' means what it would
// with '-', since many servers read both as one; it is then never forwarded if
// it means anything.
func lookup(b []byte) name {
	if len(b) > len("x-forwarded-client-cert") && !prefixed(b) {
		return other
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
	var dashed [len("x-forwarded-client-cert")]byte
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
	return reserved
}

// prefixed tells whether a name is reserved by its beginning.
func prefixed(b []byte) bool {
	for _, prefix := range reservedPrefixes {
		if len(b) >= len(prefix) && begins(b, prefix) {
			return true
		}
	}
	return false
}

// begins compares as lookup does: the case and '_' do not matter.
func begins(b []byte, prefix string) bool {
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
	if prefixed(b) {
		return reserved
	}
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
		return if2(b, "forwarded", reserved, "x-real-ip", reserved)
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
