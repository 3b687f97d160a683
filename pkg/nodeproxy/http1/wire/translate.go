package wire

// What follows is for a proxy that says a request in another version of HTTP:
// the parts of what Append and Body put together.

// Fields yields the fields that Append forwards as they came, and those of
// X-Forwarded-For, which the proxy still has to append to. Host and what frames
// the message are not among them.
func (r *Request) Fields(yield func(name, value []byte) bool) {
	for i := range r.count {
		f := &r.fields[i]
		switch {
		case f.drop && !f.join, f.name == host, f.name == contentLength, f.name == transferEncoding:
			continue
		case !yield(r.bytes[f.line:f.colon], r.bytes[f.from:f.to]):
			return
		}
	}
}

// Authority is the host that the request is for; nil where an HTTP/1.0 request
// names none.
func (r *Request) Authority() []byte {
	if r.absolute {
		return r.bytes[r.host.from:r.host.to]
	}
	for i := range r.count {
		if f := &r.fields[i]; f.name == host {
			return r.bytes[f.from:f.to]
		}
	}
	return nil
}

// AppendTarget appends the target in origin or asterisk form.
func (r *Request) AppendTarget(dst []byte) []byte { return r.appendTarget(dst) }

// ContentLength is what the request says its body's length is; ok is false
// where it does not say.
func (r *Request) ContentLength() (n uint64, ok bool) { return r.length, r.lengths > 0 }

// WantsTrailers tells that the client can take trailers (RFC 9110 §10.1.4).
func (r *Request) WantsTrailers() bool { return r.trailersOK }

// Data is the reader of what follows the head, as Body is, for a version that
// frames otherwise: chunks lose their frames, and a trailer that is kept is told
// by a Step.
func (r *Request) Data() Body {
	b := r.Body()
	b.bare = true
	return b
}
