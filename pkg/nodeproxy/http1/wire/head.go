package wire

import "bytes"

// Limits that no head may pass: what is held for one is as large.
const (
	MaxHead   = 64 << 10 // bytes, the empty line included
	MaxFields = 128
)

// Limits of the heads of one Request or Response. Zero values, and larger ones
// than MaxHead and MaxFields, mean these.
type Limits struct{ Bytes, Fields int }

// bytes and count are what holds.
func (l Limits) bytes() int { return within(l.Bytes, MaxHead) }
func (l Limits) count() int { return within(l.Fields, MaxFields) }

func within(own, most int) int {
	if own <= 0 {
		return most
	}
	return min(own, most)
}

// field is one line of a head, as offsets into it.
type field struct {
	line, colon uint32 // where the line begins; where its colon stands
	from, to    uint32 // the value without the whitespace around it
	next        uint32 // after the CRLF
	name        name
	drop        bool // is not forwarded
	join        bool // its value is forwarded in a field of ours
}

// head is what requests and responses have in common. It can be fed the growing
// buffer again and again, and goes on where it stopped.
type head struct {
	// Limits may be set before Parse; Reset keeps them.
	Limits Limits

	bytes  []byte // the head as it was last given
	extra  []byte // whole lines that are appended to what is forwarded
	pos    int    // begin of the line that is not complete yet
	scan   int    // from where its end is still to be looked for
	first  bool   // the first line is done
	count  int
	fields [MaxFields]field

	old        bool // HTTP/1.0
	close      bool // Connection: close
	keepAlive  bool // Connection: keep-alive
	switches   bool // Connection: upgrade
	named      bool // Connection names other fields
	upgrades   int  // Upgrade fields
	websocket  bool // the last Upgrade field is exactly websocket
	lengths    int  // Content-Length fields
	length     uint64
	lengthBad  bool // is not written as it should be: to be written anew
	codings    int  // Transfer-Encoding fields
	codingBad  bool
	trailersOK bool // TE: trailers
	hosts      int  // Host fields
	expects    int  // Expect fields
	continues  bool // the last Expect field is exactly 100-continue
}

// span is a range of the head.
type span struct{ from, to uint32 }

// reset makes the head ready for the next message.
func (h *head) reset() {
	h.bytes, h.pos, h.scan, h.first, h.count = nil, 0, 0, false, 0
	h.extra = h.extra[:0]
	h.old, h.close, h.keepAlive, h.switches, h.named = false, false, false, false, false
	h.upgrades, h.websocket, h.trailersOK = 0, false, false
	h.lengths, h.length, h.lengthBad, h.codings, h.codingBad = 0, 0, false, 0, false
	h.hosts, h.expects, h.continues = 0, 0, false
}

// line returns the next complete line without its end. ok is false where it is
// not complete. tooLong is the error for a head that outgrows its limit.
func (h *head) line(b []byte, tooLong *Error) (line []byte, ok bool, err error) {
	i := bytes.IndexByte(b[h.scan:], '\n')
	if i < 0 {
		h.scan = len(b)
		if len(b) >= h.Limits.bytes() {
			return nil, false, tooLong
		}
		return nil, false, nil
	}
	end := h.scan + i
	if end >= h.Limits.bytes() {
		return nil, false, tooLong
	}
	if end == h.pos || b[end-1] != '\r' {
		return nil, false, ErrLineEnd
	}
	line = b[h.pos : end-1]
	h.pos, h.scan = end+1, end+1
	return line, true, nil
}

// readFields reads field lines up to the empty one. done is false where more
// bytes are needed.
func (h *head) readFields(b []byte) (done bool, err error) {
	for {
		begin := h.pos
		line, ok, err := h.line(b, ErrHeadLong)
		if !ok || err != nil {
			return false, err
		}
		if len(line) == 0 {
			h.bytes = b[:h.pos]
			return true, nil
		}
		if h.count == h.Limits.count() {
			return false, ErrFields
		}
		f := &h.fields[h.count]
		if err := f.parse(line, begin); err != nil {
			return false, err
		}
		h.count++
		if err := h.note(b, f); err != nil {
			return false, err
		}
	}
}

// parse reads one field line that begins at an offset (RFC 9112 §5).
func (f *field) parse(line []byte, begin int) error {
	if line[0] == ' ' || line[0] == '\t' {
		return ErrFold
	}
	colon := bytes.IndexByte(line, ':')
	if colon <= 0 || !all(line[:colon], isToken) || !all(line[colon+1:], isValue) {
		return ErrField
	}
	from, to := colon+1, len(line)
	for from < to && (line[from] == ' ' || line[from] == '\t') {
		from++
	}
	for to > from && (line[to-1] == ' ' || line[to-1] == '\t') {
		to--
	}
	*f = field{
		line: uint32(begin), colon: uint32(begin + colon),
		from: uint32(begin + from), to: uint32(begin + to),
		next: uint32(begin + len(line) + 2), name: lookup(line[:colon]),
	}
	return nil
}

// plain tells that nothing but one space, or nothing, stands around the value:
// parsers differ about other whitespace.
func (f *field) plain(b []byte) bool {
	return f.to+2 == f.next && (f.from == f.colon+1 || f.from == f.colon+2 && b[f.colon+1] == ' ')
}

// note takes in what a field says about the message and the connection.
func (h *head) note(b []byte, f *field) error {
	value := b[f.from:f.to]
	switch f.name {
	case connection:
		f.drop = true
		h.noteConnection(value)
	case hopByHop, ours:
		f.drop = true
	case upgrade:
		f.drop = true
		h.upgrades++
		h.websocket = fold(value, "websocket")
	case te:
		f.drop = true
		h.noteTE(value)
	case expect:
		f.drop = true
		h.expects++
		h.continues = fold(value, "100-continue")
	case host:
		h.hosts++
	case contentLength:
		h.lengthBad = h.lengthBad || !f.plain(b)
		return h.noteLength(value)
	case transferEncoding:
		h.codingBad = !f.plain(b)
		return h.noteCoding(value)
	}
	return nil
}

// noteConnection reads connection options (RFC 9110 §7.6.1).
func (h *head) noteConnection(list []byte) {
	for more := true; more; {
		var option []byte
		option, list, more = cut(list)
		switch {
		case len(option) == 0:
		case fold(option, "close"):
			h.close = true
		case fold(option, "keep-alive"):
			h.keepAlive = true
		case fold(option, "upgrade"):
			h.switches = true
		default:
			h.named = true
		}
	}
}

// noteTE looks for the member "trailers" (RFC 9110 §10.1.4).
func (h *head) noteTE(list []byte) {
	for more := true; more; {
		var member []byte
		member, list, more = cut(list)
		h.trailersOK = h.trailersOK || fold(member, "trailers")
	}
}

// noteLength reads a Content-Length. Several that are equal count as one (RFC
// 9112 §6.3).
func (h *head) noteLength(list []byte) error {
	for more := true; more; {
		var member []byte
		member, list, more = cut(list)
		n, ok := decimal(member)
		if !ok || h.lengths > 0 && n != h.length {
			return ErrLength
		}
		h.lengthBad = h.lengthBad || h.lengths > 0 || member[0] == '0' && len(member) > 1
		h.length = n
		h.lengths++
	}
	return nil
}

// noteCoding reads a Transfer-Encoding: only "chunked", once, is spoken here.
func (h *head) noteCoding(value []byte) error {
	if h.codings > 0 {
		return ErrCoding
	}
	h.codings++
	if fold(value, "chunked") {
		h.codingBad = h.codingBad || string(value) != "chunked"
		return nil
	}
	for more, list := true, value; more; {
		var member []byte
		member, list, more = cut(list)
		if len(member) == 0 || !all(member, isToken) || fold(member, "identity") {
			return ErrCoding
		}
	}
	return ErrCodingOther
}

// dropNamed drops the fields that Connection names. Those that frame and route
// the message stay, since naming them would change its meaning, and so does
// X-Forwarded-For: naming it would hide who called.
func (h *head) dropNamed() {
	if !h.named {
		return
	}
	for i := range h.count {
		if c := &h.fields[i]; c.name == connection {
			for list, more := h.bytes[c.from:c.to], true; more; {
				var option []byte
				option, list, more = cut(list)
				h.dropName(option)
			}
		}
	}
}

func (h *head) dropName(option []byte) {
	for i := range h.count {
		f := &h.fields[i]
		switch f.name {
		case host, contentLength, transferEncoding, forwardedFor:
			continue
		}
		if same(h.bytes[f.line:f.colon], option) {
			f.drop = true
		}
	}
}

// appendFields appends the kept field lines that come after an offset: each run
// of them is copied at once.
func (h *head) appendFields(dst []byte, from int) []byte {
	for i := range h.count {
		if f := &h.fields[i]; f.drop {
			dst = append(dst, h.bytes[from:f.line]...)
			from = int(f.next)
		}
	}
	return append(dst, h.bytes[from:h.pos-2]...)
}

// Edit leaves out the fields whose name drop names, and appends whole lines of
// further fields to what is forwarded. It comes after Parse and before Append.
// Fields that frame or route the message are not asked for.
func (h *head) Edit(drop func(name []byte) bool, lines []byte) {
	for i := range h.count {
		f := &h.fields[i]
		switch f.name {
		case other, private, payload:
			f.drop = f.drop || drop(h.bytes[f.line:f.colon])
		}
	}
	h.Add(lines)
}

// Add appends whole lines of further fields to what is forwarded.
func (h *head) Add(lines []byte) { h.extra = append(h.extra, lines...) }

// Size is what the fields count for: names, values and 32 for each, as HTTP/2
// counts them.
func (h *head) Size() (n int) {
	for i := range h.count {
		f := &h.fields[i]
		n += int(f.colon-f.line) + int(f.to-f.from) + 32
	}
	return n
}

// dropAll drops every field of a name.
func (h *head) dropAll(n name) {
	for i := range h.count {
		if f := &h.fields[i]; f.name == n {
			f.drop = true
		}
	}
}

// kept returns the value of the i-th field of a name that is passed on. A field
// that many servers cannot tell from it, x_user beside x-user, is one more of
// them; by itself it is none.
func (h *head) kept(lower string, i int) (value []byte, ok bool) {
	itself := false
	for at := range h.count {
		f := &h.fields[at]
		name := h.bytes[f.line:f.colon]
		if f.drop || !alike(name, lower) {
			continue
		}
		itself = itself || fold(name, lower)
		if i == 0 {
			value, ok = h.bytes[f.from:f.to], true
		}
		i--
	}
	return value, ok && itself
}

// Value returns the value of the first field with a name, which must be in
// lower case; nil for none. It points into the parsed bytes.
func (h *head) Value(lower string) []byte {
	for i := range h.count {
		f := &h.fields[i]
		if fold(h.bytes[f.line:f.colon], lower) {
			return h.bytes[f.from:f.to]
		}
	}
	return nil
}
