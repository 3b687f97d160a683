package hpack

import "errors"

// TableSize is the size of a Decoder's dynamic table: what HTTP/2 peers may
// rely on before any SETTINGS.
const TableSize = 4096

// ErrMalformed says that a block is not HPACK. The table of a Decoder that has
// returned it cannot be relied on.
var ErrMalformed = errors.New("malformed header block")

// Field is one field of a block. Its slices hold until the next field is read.
type Field struct {
	Name, Value []byte // decoded
	// Wire is the field for the block of another connection.
	Wire  []byte
	Class Class
	// Valid is false where HTTP does not allow the name or the value.
	Valid bool
}

// Size is what the field counts for in a header list (RFC 9113 §6.5.2).
func (f *Field) Size() int { return len(f.Name) + len(f.Value) + overhead }

// Decoder reads the blocks of one connection, in their order. Its zero value is
// ready.
type Decoder struct {
	table table
	in    []byte
	err   error
	begun bool // a field was read of this block
	name  []byte
	value []byte
	wire  []byte
}

// Begin starts on a block. The block must not change until it is read.
func (d *Decoder) Begin(block []byte) { d.in, d.err, d.begun = block, nil, false }

// Err returns ErrMalformed where Next has stopped for that.
func (d *Decoder) Err() error { return d.err }

// Next reads the next field. It returns false at the end of the block or at an error.
func (d *Decoder) Next(f *Field) bool {
	for len(d.in) > 0 {
		ok := true
		switch first := d.in[0]; {
		case first&0x80 != 0:
			ok = d.indexed(f)
		case first&0xc0 == 0x40:
			ok = d.literal(f, 6, 0)
		case first&0xe0 == 0x20:
			if !d.resize() {
				d.err = ErrMalformed
				return false
			}
			continue
		default:
			ok = d.literal(f, 4, first&neverIndexed)
		}
		d.begun = true
		if !ok {
			d.err = ErrMalformed
		}
		return ok
	}
	return false
}

// neverIndexed is the bit of a literal that no intermediary may index
// (RFC 7541 §6.2.3).
const neverIndexed = 0x10

// resize reads a change of the table's size, which may only begin a block.
func (d *Decoder) resize() bool {
	size, ok := d.integer(5)
	if !ok || d.begun || size > TableSize {
		return false
	}
	d.table.resize(size)
	return true
}

func (d *Decoder) indexed(f *Field) bool {
	index, ok := d.integer(7)
	if !ok {
		return false
	}
	return d.lookup(index, f)
}

func (d *Decoder) lookup(index int, f *Field) bool {
	if index <= staticCount {
		if index == 0 {
			return false
		}
		*f = static[index]
		return true
	}
	return d.table.get(index-staticCount-1, f)
}

// literal reads a field that is spelt out; prefix is 6 where it enters the table.
func (d *Decoder) literal(f *Field, prefix uint8, never byte) bool {
	index, ok := d.integer(prefix)
	if !ok {
		return false
	}
	d.wire = d.wire[:0]
	if index == 0 {
		name, _, ok := d.text(&d.name)
		if !ok {
			return false
		}
		f.Name = name
		f.Class, f.Valid = classify(name)
		d.spell(never, name)
	} else {
		if !d.lookup(index, f) {
			return false
		}
		if index <= staticCount {
			d.wire = appendInteger(d.wire, never, 4, index)
		} else {
			// The entry may leave the table when this field enters it.
			d.name = append(d.name[:0], f.Name...)
			f.Name = d.name
			f.Class, f.Valid = classify(d.name)
			d.spell(never, d.name)
		}
	}
	value, coded, ok := d.text(&d.value)
	if !ok {
		return false
	}
	f.Value = value
	f.Valid = f.Valid && validValue(value)
	d.valueWire(value, coded)
	f.Wire = d.wire
	if prefix == 6 {
		d.table.add(f)
	}
	return true
}

// spell writes a literal's first octet and its name.
func (d *Decoder) spell(never byte, name []byte) {
	d.wire = append(d.wire, never)
	d.wire = appendInteger(d.wire, 0, 7, len(name))
	d.wire = append(d.wire, name...)
}

// valueWire writes a value, as it was coded where it was.
func (d *Decoder) valueWire(value, coded []byte) {
	if coded != nil {
		d.wire = appendInteger(d.wire, 0x80, 7, len(coded))
		d.wire = append(d.wire, coded...)
		return
	}
	d.wire = appendInteger(d.wire, 0, 7, len(value))
	d.wire = append(d.wire, value...)
}

// text reads a string. coded is its bytes where it is Huffman coded, else nil.
func (d *Decoder) text(scratch *[]byte) (plain, coded []byte, ok bool) {
	if len(d.in) == 0 {
		return nil, nil, false
	}
	packed := d.in[0]&0x80 != 0
	n, ok := d.integer(7)
	if !ok || n > len(d.in) {
		return nil, nil, false
	}
	raw := d.in[:n:n]
	d.in = d.in[n:]
	if !packed {
		return raw, nil, true
	}
	*scratch, ok = unpack((*scratch)[:0], raw)
	return *scratch, raw, ok
}

// mostInteger bounds what an integer may say: more than any block holds.
const mostInteger = 1 << 24

// integer reads an integer with a prefix of some bits (RFC 7541 §5.1).
func (d *Decoder) integer(prefix uint8) (int, bool) {
	mask := 1<<prefix - 1
	n := int(d.in[0]) & mask
	d.in = d.in[1:]
	if n < mask {
		return n, true
	}
	for shift := 0; len(d.in) > 0 && shift < 28; shift += 7 {
		b := d.in[0]
		d.in = d.in[1:]
		n += int(b&0x7f) << shift
		if b&0x80 == 0 {
			return n, n <= mostInteger
		}
	}
	return 0, false
}

// appendInteger writes an integer below the bits of a first octet.
func appendInteger(dst []byte, first byte, prefix uint8, n int) []byte {
	mask := 1<<prefix - 1
	if n < mask {
		return append(dst, first|byte(n))
	}
	dst = append(dst, first|byte(mask))
	for n -= mask; n >= 0x80; n >>= 7 {
		dst = append(dst, 0x80|byte(n))
	}
	return append(dst, byte(n))
}

// AppendField writes a field that is in no table, for the block of any
// connection.
func AppendField(dst, name, value []byte) []byte {
	dst = append(dst, 0)
	dst = appendInteger(dst, 0, 7, len(name))
	dst = append(dst, name...)
	dst = appendInteger(dst, 0, 7, len(value))
	return append(dst, value...)
}

// AppendReset writes what must begin the first block after the peer has said
// how large a table it offers: that none is used (RFC 7541 §4.2).
func AppendReset(dst []byte) []byte { return append(dst, 0x20) }
