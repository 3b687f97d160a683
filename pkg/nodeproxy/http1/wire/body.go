package wire

import (
	"bytes"
	"strconv"
)

// bodyKind is how the end of a body is found.
type bodyKind uint8

const (
	sizedBody   bodyKind = iota // Content-Length, or none
	chunkedBody                 // Transfer-Encoding: chunked
	closedBody                  // by the end of the connection
)

// Limits of chunked bodies.
const (
	maxChunkLine = 4 << 10
	// freeExcess is how many bytes of chunk extensions need no data behind them.
	freeExcess  = 4 << 10
	maxTrailers = 16 << 10
)

// Body finds the end of one body and edits its frames while it passes. Its zero
// value is an empty one.
type Body struct {
	kind     bodyKind
	state    bodyState
	bare     bool   // chunks lose their frames
	left     uint64 // bytes of the body, or of the chunk, still to come
	data     int64  // bytes of the chunks so far
	excess   int64  // bytes of extensions that are still tolerated
	trailers int    // bytes of trailers so far
	fields   int    // trailer fields so far
	passed   uint64 // bytes that went on as they were
	scratch  [24]byte
}

type bodyState uint8

const (
	inData  bodyState = iota
	atSize            // a chunk's size line comes
	atEnd             // the CRLF after a chunk's data comes
	inTrail           // trailer lines come
	done
)

func newBody(kind bodyKind, length uint64, old bool) Body {
	b := Body{kind: kind, left: length, excess: freeExcess, bare: old}
	switch {
	case kind == chunkedBody:
		b.state = atSize
	case kind == sizedBody && length == 0:
		b.state = done
	}
	return b
}

// Step is what becomes of the bytes at the begin of what was scanned: Pass of
// them go on as they are, then Drop of them are left out, and Put goes in their
// place. Put is valid until the next Scan. Trailer is a field line, without its
// end, that is among what is left out of a body without frames; nil for none.
type Step struct {
	Pass, Drop int
	Put        []byte
	Trailer    []byte
}

// Done tells that the body is complete.
func (b *Body) Done() bool { return b.state == done }

// Data is how many bytes of data have come in chunks, their frames not counted.
func (b *Body) Data() int64 { return b.data }

// Sized returns how many bytes of plain data are known to come next.
func (b *Body) Sized() uint64 {
	if b.state == inData {
		return b.left
	}
	return 0
}

// End takes in that the connection has ended; it is an error unless that is how
// the body ends.
func (b *Body) End() error {
	if b.kind == closedBody {
		b.state = done
	}
	if b.state != done {
		return ErrTruncated
	}
	return nil
}

// Scan reads on. A Step that takes nothing means that more bytes are needed
// behind those that are there: at most maxChunkLine are ever left over.
// Nothing is taken after the body's end.
func (b *Body) Scan(in []byte) (Step, error) {
	step, err := b.scan(in)
	b.passed += uint64(step.Pass)
	return step, err
}

// Passed is how many bytes went on as they were so far: of a chunked body, its
// framing among them.
func (b *Body) Passed() uint64 { return b.passed }

func (b *Body) scan(in []byte) (Step, error) {
	switch b.kind {
	case closedBody:
		return Step{Pass: len(in)}, nil
	case sizedBody:
		n := min(b.left, uint64(len(in)))
		if b.left -= n; b.left == 0 {
			b.state = done
		}
		return Step{Pass: int(n)}, nil
	}
	return b.scanChunks(in)
}

// scanChunks goes through chunks (RFC 9112 §7.1) up to the first place where
// what is forwarded differs from what came.
func (b *Body) scanChunks(in []byte) (Step, error) {
	pass := 0
	for b.state != done {
		if b.state == inData {
			n := min(b.left, uint64(len(in)-pass))
			pass += int(n)
			b.data += int64(n)
			if b.left -= n; b.left > 0 {
				break
			}
			b.state = atEnd
		}
		trailing := b.state == inTrail
		length, put, keep, err := b.frame(in[pass:])
		switch {
		case err != nil:
			return Step{}, err
		case length == 0:
			return Step{Pass: pass}, nil
		case b.bare:
			step := Step{Pass: pass, Drop: length}
			if trailing && keep && b.state != done {
				step.Trailer = in[pass : pass+length-2]
			}
			return step, nil
		case !keep:
			return Step{Pass: pass, Drop: length, Put: put}, nil
		}
		pass += length
	}
	return Step{Pass: pass}, nil
}

// frame reads what lies between data: 0 where it is not complete. keep tells
// that it goes on as it is, else put stands in for it.
func (b *Body) frame(in []byte) (length int, put []byte, keep bool, err error) {
	if b.state == atEnd {
		switch {
		case len(in) > 0 && in[0] != '\r' || len(in) > 1 && in[1] != '\n':
			return 0, nil, false, ErrChunk
		case len(in) < 2:
			return 0, nil, false, nil
		}
		b.state = atSize
		return 2, nil, true, nil
	}
	end := bytes.IndexByte(in, '\n')
	if end < 0 && len(in) < maxChunkLine {
		return 0, nil, false, nil
	}
	if end < 1 || end >= maxChunkLine || in[end-1] != '\r' {
		return 0, nil, false, b.malformed()
	}
	if b.state == atSize {
		put, keep, err = b.size(in[:end-1])
	} else {
		keep, err = b.trailer(in[:end-1])
	}
	return end + 1, put, keep, err
}

func (b *Body) malformed() error {
	if b.state == inTrail {
		return ErrTrailer
	}
	return ErrChunk
}

// size reads a chunk's size line without its end. Extensions are dropped; they
// may not outweigh the data.
func (b *Body) size(line []byte) (put []byte, keep bool, err error) {
	digits := 0
	var n uint64
	for ; digits < len(line); digits++ {
		v, ok := hex(line[digits])
		if !ok {
			break
		}
		if digits == 15 {
			return nil, false, ErrChunk
		}
		n = n<<4 | v
	}
	extension := line[digits:]
	if digits == 0 || !extends(extension) {
		return nil, false, ErrChunk
	}
	if b.excess = min(b.excess+int64(n), 1<<40) - int64(len(extension)); b.excess < 0 {
		return nil, false, ErrChunkExcess
	}
	if b.left, b.state = n, inData; n == 0 {
		b.state = inTrail
	}
	if len(extension) == 0 && (line[0] != '0' || digits == 1) {
		return nil, true, nil
	}
	return append(strconv.AppendUint(b.scratch[:0], n, 16), "\r\n"...), false, nil
}

// extends tells whether what follows a chunk's size is nothing or extensions.
// Whitespace before them is refused: it is bad style at best, and parsers differ.
func extends(b []byte) bool { return len(b) == 0 || b[0] == ';' && all(b, isValue) }

func hex(c byte) (v uint64, ok bool) {
	switch {
	case '0' <= c && c <= '9':
		return uint64(c - '0'), true
	case 'a' <= c && c <= 'f':
		return uint64(c-'a') + 10, true
	case 'A' <= c && c <= 'F':
		return uint64(c-'A') + 10, true
	}
	return 0, false
}

// trailer reads a trailer line without its end. keep is false of fields that
// must not stand in trailers (RFC 9110 §6.5.1).
func (b *Body) trailer(line []byte) (keep bool, err error) {
	if len(line) == 0 {
		b.state = done
		return true, nil
	}
	b.trailers += len(line) + 2
	b.fields++
	if b.trailers > maxTrailers || b.fields > MaxFields {
		return false, ErrTrailerLong
	}
	var f field
	if err := f.parse(line, 0); err != nil {
		return false, ErrTrailer
	}
	return f.name == other, nil
}
