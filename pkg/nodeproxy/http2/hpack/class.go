package hpack

// Class is what the proxy must know of a field's name.
type Class uint8

// The classes.
const (
	Ordinary      Class = iota // passed on as it is
	Method                     // :method
	Scheme                     // :scheme
	Path                       // :path
	Authority                  // :authority
	Status                     // :status
	Unknown                    // any other name that begins with a colon
	Connection                 // specific to a connection, which HTTP/2 forbids (RFC 9113 §8.2.2)
	TE                         // te, of which only trailers may be passed on
	Host                       // host
	ContentLength              // content-length
	ContentType                // content-type
	ForwardedFor               // x-forwarded-for
	Expect                     // expect
	Private                    // authorization and cookies, which no trailer may bring
	Reserved                   // says who calls, which no client is believed
	Never                      // for one hop, Weft's own, or what an application could take for a name that matters
)

// classify judges a field's name. It is not valid where it is no token or has a
// capital letter (RFC 9113 §8.2.1).
func classify(name []byte) (class Class, valid bool) {
	if len(name) == 0 {
		return Ordinary, false
	}
	if name[0] == ':' {
		return pseudo(name), true
	}
	underscore := false
	for _, c := range name {
		if nameOctets[c] == 0 {
			return Ordinary, false
		}
		underscore = underscore || c == '_'
	}
	if underscore {
		return disguised(name), true
	}
	return known(name), true
}

func pseudo(name []byte) Class {
	switch string(name) {
	case ":method":
		return Method
	case ":scheme":
		return Scheme
	case ":path":
		return Path
	case ":authority":
		return Authority
	case ":status":
		return Status
	}
	return Unknown
}

func known(name []byte) Class {
	switch string(name) {
	case "connection", "keep-alive", "proxy-connection", "transfer-encoding", "upgrade":
		return Connection
	case "te":
		return TE
	case "host":
		return Host
	case "content-length":
		return ContentLength
	case "content-type":
		return ContentType
	case "x-forwarded-for":
		return ForwardedFor
	case "expect":
		return Expect
	case "authorization", "cookie", "set-cookie", "www-authenticate":
		return Private
	case "proxy", "forwarded", "x-real-ip", "x-forwarded-client-cert":
		return Reserved
	case "proxy-authorization", "proxy-authenticate", "http2-settings":
		return Never
	}
	return prefixed(name)
}

// prefixed judges a name by its beginning.
func prefixed(name []byte) Class {
	begins := func(with string) bool { return len(name) >= len(with) && string(name[:len(with)]) == with }
	switch {
	case begins("weft-"):
		return Never
	case begins("l5d-"), begins("x-envoy-"):
		return Reserved
	}
	return Ordinary
}

// longestKnown is the length of the longest name that is known whole.
const longestKnown = len("x-forwarded-client-cert")

// disguised judges a name with underscores: many applications cannot tell
// x_forwarded_for from x-forwarded-for.
func disguised(name []byte) Class {
	var plain [longestKnown]byte
	n := copy(plain[:], name)
	for i, c := range plain[:n] {
		if c == '_' {
			plain[i] = '-'
		}
	}
	if class := prefixed(plain[:n]); class != Ordinary || len(name) > longestKnown {
		return class
	}
	switch known(plain[:n]) {
	case Ordinary, Private, ContentType:
		return Ordinary
	}
	return Never
}

// nameOctets are the octets of a field's name in HTTP/2: those of a token
// (RFC 9110 §5.6.2) but capital letters.
var nameOctets = octets("!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyz")

func octets(of string) (out [256]uint8) {
	for i := range len(of) {
		out[of[i]] = 1
	}
	return out
}

// validValue tells whether a field's value has no control characters and no
// white space at its ends (RFC 9113 §8.2.1, RFC 9110 §5.5).
func validValue(value []byte) bool {
	if len(value) == 0 {
		return true
	}
	if blank(value[0]) || blank(value[len(value)-1]) {
		return false
	}
	for _, c := range value {
		if c < ' ' && c != '\t' || c == 0x7f {
			return false
		}
	}
	return true
}

func blank(c byte) bool { return c == ' ' || c == '\t' }
