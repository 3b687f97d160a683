package hpack

import "slices"

// The shape of the look-up: most octets have codes of at most nearBits bits and
// are found at once, the others by the ranges of their lengths.
const (
	nearBits = 9
	mostBits = 30
)

// code is the tables of the Huffman code.
type code struct {
	near   [1 << nearBits]near
	ranges [mostBits + 1]span
	octets [256]byte // in the order of their codes
}

// near is the octet whose code begins a row of bits; zero bits for none.
type near struct{ octet, bits uint8 }

// span is the codes of one length.
type span struct {
	first, count uint32
	at           int // of the first one's octet
}

var huffman = newCode()

func newCode() *code {
	c := &code{}
	order := make([]int, 0, 256)
	for octet := range 256 {
		order = append(order, octet)
	}
	slices.SortStableFunc(order, func(a, b int) int { return int(codeBits[a]) - int(codeBits[b]) })
	next, length := uint32(0), uint8(0)
	for i, octet := range order {
		next <<= codeBits[octet] - length
		length = codeBits[octet]
		c.octets[i] = byte(octet)
		if c.ranges[length].count == 0 {
			c.ranges[length] = span{first: next, at: i}
		}
		c.ranges[length].count++
		c.remember(next, length, byte(octet))
		next++
	}
	return c
}

// remember fills the rows of bits that begin with a short code.
func (c *code) remember(bits uint32, length uint8, octet byte) {
	if length > nearBits {
		return
	}
	first := bits << (nearBits - length)
	for row := first; row < first+1<<(nearBits-length); row++ {
		c.near[row] = near{octet: octet, bits: length}
	}
}

// unpack appends the decoded string. It is not ok where the bits end within a
// code, hold the end-of-string symbol, or are not padded with ones of less than
// an octet (RFC 7541 §5.2).
func unpack(dst, src []byte) (out []byte, ok bool) {
	bits, held := uint64(0), uint8(0) // held bits, from the top
	for {
		for held <= 56 && len(src) > 0 {
			bits |= uint64(src[0]) << (56 - held)
			src = src[1:]
			held += 8
		}
		octet, length := huffman.find(bits)
		if length == 0 || length > held {
			// No code begins with less than eight ones but as padding.
			return dst, held < 8 && bits == ^uint64(0)<<(64-held)
		}
		dst = append(dst, octet)
		bits <<= length
		held -= length
	}
}

// find returns the octet whose code begins the bits; zero length for none.
func (c *code) find(bits uint64) (octet byte, length uint8) {
	if n := c.near[bits>>(64-nearBits)]; n.bits != 0 {
		return n.octet, n.bits
	}
	for length := uint8(nearBits + 1); length <= mostBits; length++ {
		r := &c.ranges[length]
		if at := uint32(bits>>(64-length)) - r.first; at < r.count {
			return c.octets[r.at+int(at)], length
		}
	}
	return 0, 0
}
