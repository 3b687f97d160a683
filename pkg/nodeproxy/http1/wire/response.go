package wire

import "strconv"

// Asked is what matters of a request to its response.
type Asked struct {
	Head    bool // HEAD: the response has no body, whatever its fields say
	Upgrade bool // WebSocket was asked for
	Old     bool // the client speaks HTTP/1.0: no chunks, no interim responses
}

// Response is the head of a response. Reset makes it ready for Parse.
type Response struct {
	head
	asked  Asked
	status int
	reason span // with the space before it, may be empty
	kind   bodyKind
	unread bool // a body follows that must not be there
}

// Reset makes the response ready for the answer to a request, or for the next
// answer after an interim one.
func (r *Response) Reset(asked Asked) {
	r.reset()
	r.asked, r.status, r.unread = asked, 0, false
}

// Parse reads the head at the begin of b and returns its length, 0 where b does
// not hold it all, as Request.Parse does.
func (r *Response) Parse(b []byte) (n int, err error) {
	if !r.first {
		line, ok, err := r.line(b, ErrResponseLong)
		if !ok || err != nil {
			return 0, err
		}
		r.first = true
		if err := r.parseLine(line); err != nil {
			return 0, err
		}
	}
	done, err := r.readFields(b)
	if !done || err != nil {
		return 0, err
	}
	if err := r.check(); err != nil {
		return 0, err
	}
	r.finish()
	return r.pos, nil
}

// parseLine reads the status line (RFC 9112 §4). The space after the status may
// lack, as it often does where there is no reason.
func (r *Response) parseLine(line []byte) error {
	const prefix = "HTTP/1.1 200"
	if len(line) < len(prefix) || string(line[:7]) != "HTTP/1." || line[7] != '0' && line[7] != '1' || line[8] != ' ' {
		return ErrStatusLine
	}
	status, ok := decimal(line[9:12])
	if !ok || status < 100 || len(line) > 12 && line[12] != ' ' || !all(line[12:], isValue) {
		return ErrStatusLine
	}
	r.old, r.status = line[7] == '0', int(status)
	r.reason = span{12, uint32(len(line))}
	return nil
}

// check refuses contradictions and settles how the body is framed (RFC 9112 §6.3).
func (r *Response) check() error {
	switch {
	case r.codings > 0 && r.lengths > 0:
		return ErrFraming
	case r.codings > 0 && r.old:
		return ErrCodingOld
	case r.status == 101 && !(r.asked.Upgrade && r.switches && r.upgrades == 1 && r.websocket):
		return ErrSwitch
	}
	switch {
	case r.asked.Head || r.status < 200 || r.status == 204 || r.status == 304:
		r.kind = sizedBody
	case r.status == 205:
		r.unread = r.codings > 0 || r.length > 0 || r.lengths == 0
		r.kind, r.length, r.lengthBad = sizedBody, 0, true
	case r.codings > 0:
		r.kind = chunkedBody
	case r.lengths > 0:
		r.kind = sizedBody
	default:
		r.kind = closedBody
	}
	return nil
}

// bodiless tells that no body follows, whatever the fields say.
func (r *Response) bodiless() bool {
	return r.asked.Head || r.status < 200 || r.status == 204 || r.status == 205 || r.status == 304
}

// finish settles which fields are forwarded.
func (r *Response) finish() {
	r.dropNamed()
	if r.lengthBad || r.status < 200 || r.status == 204 {
		r.dropAll(contentLength)
	}
	if r.codingBad || r.status < 200 || r.status == 204 || r.status == 205 || r.asked.Old {
		r.dropAll(transferEncoding)
	}
	if r.asked.Old {
		r.codingBad = false
	}
	if r.status < 200 || r.status == 204 {
		r.lengthBad, r.codingBad = false, false
	}
	if r.status == 205 {
		r.codingBad = false
	}
}

// Status is the response's status code, 100 to 999.
func (r *Response) Status() int { return r.status }

// Interim tells that another response follows (RFC 9110 §15.2).
func (r *Response) Interim() bool { return r.status < 200 && r.status != 101 }

// Relayed tells whether an interim response goes to the client: 100 does not,
// since the proxy has sent its own, and HTTP/1.0 knows none.
func (r *Response) Relayed() bool { return r.status != 100 && !r.asked.Old }

// Switched tells that the connection is WebSocket's from here on.
func (r *Response) Switched() bool { return r.status == 101 }

// Reusable tells whether the connection to the endpoint can carry another
// request once the body is complete.
func (r *Response) Reusable() bool {
	return !r.close && (!r.old || r.keepAlive) && !r.unread && (r.bodiless() || r.kind != closedBody)
}

// Closes tells that the client finds the end of the body only by the end of the
// connection.
func (r *Response) Closes() bool {
	return !r.bodiless() && (r.kind == closedBody || r.kind == chunkedBody && r.asked.Old)
}

// Body is the reader of what follows the head. For a client of HTTP/1.0 chunks
// lose their frames.
func (r *Response) Body() Body {
	if r.bodiless() {
		return newBody(sizedBody, 0, false)
	}
	return newBody(r.kind, r.length, r.asked.Old)
}

// Append appends the head as it goes to the client. connection is the option to
// send with it, empty for none; Upgrade is sent where it belongs.
func (r *Response) Append(dst []byte, connection string) []byte {
	dst = append(dst, "HTTP/1.1 "...)
	dst = strconv.AppendInt(dst, int64(r.status), 10)
	if r.reason.from == r.reason.to {
		dst = append(dst, ' ')
	}
	dst = r.appendFields(dst, int(r.reason.from))
	dst = append(dst, r.extra...)
	dst = r.appendFraming(dst)
	if r.status == 101 {
		dst = append(dst, "Connection: Upgrade\r\nUpgrade: websocket\r\n"...)
	} else if connection != "" {
		dst = append(dst, "Connection: "...)
		dst = append(append(dst, connection...), "\r\n"...)
	}
	return append(dst, "\r\n"...)
}
