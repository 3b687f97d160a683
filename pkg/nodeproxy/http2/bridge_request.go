package http2

import (
	"bytes"
	"strconv"

	http1 "github.com/weft-mesh/weft/pkg/nodeproxy/http1/wire"
	"github.com/weft-mesh/weft/pkg/nodeproxy/http2/hpack"
)

// asker says the requests of an HTTP/1 client in frames, one request after the
// other. It is free of I/O: it is given what was read, and yields frames. What
// wire refuses it refuses, and so do the rules of HTTP/2 that come after it.
type asker struct {
	request http1.Request
	body    http1.Body
	id      uint32 // of the request's stream
	headed  bool   // the head was said, and the rest was not
	block   []byte // the head's
	trailer []byte // the block of the trailers so far
	name    []byte
}

// reset makes it ready for the next request.
func (a *asker) reset() {
	a.request.Reset()
	a.headed, a.trailer = false, a.trailer[:0]
}

// head reads a head and returns it as a frame of stream id; n is 0 where it is
// not complete. host is what an HTTP/1.0 request without a Host is for. The error
// is a *http1.Error.
func (a *asker) head(in []byte, id uint32, host func() string) (n int, f frame, err error) {
	n, err = a.request.Parse(in)
	if n == 0 || err != nil {
		return 0, frame{}, err
	}
	if length, _ := a.request.ContentLength(); length > mostLength {
		return 0, frame{}, http1.ErrLength
	}
	a.id, a.headed, a.body = id, true, a.request.Data()
	a.encode(host)
	f = frame{kind: frameHeaders, flags: flagEndHeaders, stream: id, payload: a.block}
	if a.body.Done() {
		f.flags |= flagEndStream
		a.headed = false
	}
	return n, f, nil
}

// mostLength is the largest content-length that HTTP/2 messages may have here.
const mostLength = 1e18 - 1

// encode writes the head's block (RFC 9113 §8.3.1).
func (a *asker) encode(host func() string) {
	r := &a.request
	a.block = hpack.AppendField(a.block[:0], []byte(":method"), r.Method())
	a.block = hpack.AppendField(a.block, []byte(":scheme"), []byte("http"))
	authority := r.Authority()
	if authority == nil {
		authority = []byte(host())
	}
	a.block = hpack.AppendField(a.block, []byte(":authority"), authority)
	a.name = r.AppendTarget(a.name[:0])
	a.block = hpack.AppendField(a.block, []byte(":path"), a.name)
	for name, value := range r.Fields {
		a.block = a.appendField(a.block, name, value)
	}
	if r.WantsTrailers() {
		a.block = hpack.AppendField(a.block, []byte("te"), []byte("trailers"))
	}
	if length, said := r.ContentLength(); said {
		a.name = strconv.AppendUint(a.name[:0], length, 10)
		a.block = hpack.AppendField(a.block, []byte("content-length"), a.name)
	}
}

// appendField writes a field, its name in lower case (RFC 9113 §8.2.1).
func (a *asker) appendField(block, name, value []byte) []byte {
	a.name = a.name[:0]
	for _, c := range name {
		if 'A' <= c && c <= 'Z' {
			c |= 0x20
		}
		a.name = append(a.name, c)
	}
	return hpack.AppendField(block, a.name, value)
}

// next reads the body on and returns the next frame, of at most credit bytes.
// ok is false where more bytes, or more credit, are needed for one.
func (a *asker) next(in []byte, credit int) (used int, f frame, ok bool, err error) {
	for !a.body.Done() {
		part := in[used:]
		if a.body.Sized() > 0 {
			part = part[:min(len(part), credit)]
		}
		step, err := a.body.Scan(part)
		if err != nil || step.Pass+step.Drop == 0 {
			return used, frame{}, false, err
		}
		used += step.Pass + step.Drop
		if name, value, found := bytes.Cut(step.Trailer, []byte(":")); found {
			a.trailer = a.appendField(a.trailer, name, bytes.Trim(value, " \t"))
		}
		if step.Pass == 0 {
			continue
		}
		f = frame{kind: frameData, stream: a.id, payload: part[:step.Pass]}
		if a.body.Done() {
			f.flags, a.headed = flagEndStream, false
		}
		return used, f, true, nil
	}
	a.headed = false
	if len(a.trailer) > 0 {
		return used, frame{kind: frameHeaders, flags: flagEndHeaders | flagEndStream, stream: a.id, payload: a.trailer}, true, nil
	}
	return used, frame{kind: frameData, flags: flagEndStream, stream: a.id}, true, nil
}
