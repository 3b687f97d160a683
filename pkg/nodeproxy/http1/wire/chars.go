package wire

// Classes of bytes (RFC 9110 §5.6.2, §5.5; RFC 9112 §3.2).
const (
	isToken  = 1 << iota // may stand in a method or field name
	isValue              // may stand in a field value: no control but HTAB
	isTarget             // may stand in a request target: visible ASCII but '#'
	isHost               // may stand in a Host value
)

// classes tells the classes of each byte.
var classes = classify()

func classify() (table [256]uint8) {
	for c := range table {
		b := byte(c)
		letter := 'a' <= b|0x20 && b|0x20 <= 'z' || '0' <= b && b <= '9'
		if letter || among(b, "!#$%&'*+-.^_`|~") {
			table[c] |= isToken
		}
		if b == '\t' || b >= ' ' && b != 0x7f {
			table[c] |= isValue
		}
		if b > ' ' && b < 0x7f && b != '#' {
			table[c] |= isTarget
		}
		if letter || among(b, "-._~!$&'()*+,;=:[]%") {
			table[c] |= isHost
		}
	}
	return table
}

func among(b byte, set string) bool {
	for i := range len(set) {
		if set[i] == b {
			return true
		}
	}
	return false
}

// all tells whether every byte is of a class.
func all(b []byte, class uint8) bool {
	for _, c := range b {
		if classes[c]&class == 0 {
			return false
		}
	}
	return true
}

// fold tells whether b is lower, whatever the case of its letters. lower has
// none in capitals.
func fold(b []byte, lower string) bool {
	if len(b) != len(lower) {
		return false
	}
	for i, c := range b {
		if 'A' <= c && c <= 'Z' {
			c |= 0x20
		}
		if c != lower[i] {
			return false
		}
	}
	return true
}

// alike is fold where an underscore is a dash.
func alike(b []byte, lower string) bool {
	if len(b) != len(lower) {
		return false
	}
	for i, c := range b {
		if 'A' <= c && c <= 'Z' {
			c |= 0x20
		}
		if c != lower[i] && !(dash(c) && dash(lower[i])) {
			return false
		}
	}
	return true
}

func dash(c byte) bool { return c == '-' || c == '_' }

// same tells whether two names are one, whatever the case of their letters.
func same(a, b []byte) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		x, y := a[i], b[i]
		if 'A' <= x && x <= 'Z' {
			x |= 0x20
		}
		if 'A' <= y && y <= 'Z' {
			y |= 0x20
		}
		if x != y {
			return false
		}
	}
	return true
}

// trim removes optional whitespace at both ends (RFC 9110 §5.6.3).
func trim(b []byte) []byte {
	for len(b) > 0 && (b[0] == ' ' || b[0] == '\t') {
		b = b[1:]
	}
	for len(b) > 0 && (b[len(b)-1] == ' ' || b[len(b)-1] == '\t') {
		b = b[:len(b)-1]
	}
	return b
}

// cut splits a comma-separated list after its first element, which is trimmed.
// Commas within quotes are not looked for: no list that is read here has any.
func cut(list []byte) (first, rest []byte, more bool) {
	for i, c := range list {
		if c == ',' {
			return trim(list[:i]), list[i+1:], true
		}
	}
	return trim(list), nil, false
}

// decimal reads digits only; ok is false for none, for anything else, and for
// what 63 bits do not hold.
func decimal(b []byte) (n uint64, ok bool) {
	for _, c := range b {
		if c < '0' || c > '9' || n > (1<<63-1)/10 {
			return 0, false
		}
		if n = n*10 + uint64(c-'0'); n > 1<<63-1 {
			return 0, false
		}
	}
	return n, len(b) > 0
}
