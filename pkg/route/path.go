package route

import "unicode/utf8"

// What Plain looks for, by byte.
const (
	special  = 1 << iota // a closer look is needed
	never                // it may not stand in a plain path, in whatever spelling
	notASCII             // it must be valid UTF-8
)

var pathBytes = classifyPath()

func classifyPath() (table [256]uint8) {
	for c := range table {
		switch {
		case c < ' ', c == 0x7f, c == '\\', c == ';':
			table[c] = special | never
		case c == '/', c == '.', c == '%':
			table[c] = special
		case c >= 0x80:
			table[c] = special | notASCII
		}
	}
	return table
}

// Plain returns the form of a path that rules are held against: with every
// percent-encoding decoded (RFC 3986 §2.1). It is the path itself where nothing
// is encoded, and lies in scratch, which is returned grown, where something is.
//
// A path that applications read in more than one way has no plain form: one
// with a segment that is "." or "..", with an empty segment but the last, with a
// backslash, a semicolon or a control character, with text that is not UTF-8,
// with an encoded slash or an encoding of an encoding. So whatever is let
// through, in whatever spelling, is read as what the rules saw. "*" is plain.
func Plain(path, scratch []byte) (plain, grown []byte, ok bool) {
	if len(path) == 0 || path[0] != '/' {
		return path, scratch, len(path) == 1 && path[0] == '*'
	}
	plain, encoded := path, false
	flags := uint8(0)
	for _, c := range path {
		class := pathBytes[c]
		flags |= class
		encoded = encoded || c == '%'
	}
	if flags&never != 0 {
		return nil, scratch, false
	}
	if encoded {
		if scratch, ok = decode(path, scratch[:0]); !ok {
			return nil, scratch, false
		}
		plain = scratch
	}
	if (encoded || flags&notASCII != 0) && !utf8.Valid(plain) {
		return nil, scratch, false
	}
	return plain, scratch, segmentsPlain(plain)
}

// decode appends a path without its percent-encodings, each of which must stand
// for a byte that means nothing by itself. What is left is no encoding either,
// however its digits were written: some applications decode twice.
func decode(path, to []byte) (decoded []byte, ok bool) {
	encoded := false // a percent sign was
	for i := 0; i < len(path); i++ {
		c := path[i]
		if c != '%' {
			to = append(to, c)
			continue
		}
		c, ok := octet(path, i)
		if !ok || c == '/' || pathBytes[c]&never != 0 {
			return to, false
		}
		i += 2
		encoded = encoded || c == '%'
		to = append(to, c)
	}
	for i := 0; encoded && i < len(to); i++ {
		if to[i] != '%' {
			continue
		}
		if _, again := octet(to, i); again {
			return to, false
		}
	}
	return to, true
}

// octet reads the percent-encoding at an index.
func octet(path []byte, i int) (c byte, ok bool) {
	if i+2 >= len(path) {
		return 0, false
	}
	high, low := hex(path[i+1]), hex(path[i+2])
	return high<<4 | low&0xf, high < 16 && low < 16
}

// hex is the value of a hexadecimal digit; 16 for what is none.
func hex(c byte) byte {
	switch {
	case '0' <= c && c <= '9':
		return c - '0'
	case 'a' <= c|0x20 && c|0x20 <= 'f':
		return c | 0x20 - 'a' + 10
	}
	return 16
}

// segmentsPlain tells whether no segment is empty but the last, and none is "."
// or "..".
func segmentsPlain(path []byte) bool {
	for i := 0; i < len(path); i++ {
		if path[i] != '/' || i+1 == len(path) {
			continue
		}
		switch rest := path[i+1:]; {
		case rest[0] == '/', dots(rest, 1), dots(rest, 2):
			return false
		}
	}
	return true
}

// dots tells whether a path begins with a segment of n dots.
func dots(path []byte, n int) bool {
	if len(path) < n || path[0] != '.' || path[n-1] != '.' {
		return false
	}
	return len(path) == n || path[n] == '/'
}
