package http2

import "encoding/binary"

// unknownLimit is how many streams an endpoint is given before it has said how
// many it takes.
const unknownLimit = 100

// firstFrames begins a connection: our settings and the connection's window,
// after the preface where we are the client.
func (c *conn) firstFrames(w *work) {
	c.mu.Lock()
	defer c.mu.Unlock()
	out, most := c.buffer(w), &c.engine.config.Limits
	ours := []setting{{settingMaxHeaderList, uint32(most.HeadBytes)}, {settingMaxStreams, uint32(most.Streams)}}
	if !c.down() {
		out.b = append(out.b, preface...)
		ours[1] = setting{settingEnablePush, 0}
	}
	if window := c.offered(); window > defaultWindow+1 {
		ours = append(ours, setting{settingInitialWindow, uint32(window)})
	}
	out.b = appendSettings(out.b, ours...)
	out.b = appendWindowUpdate(out.b, 0, connWindow-defaultWindow)
}

// settings takes a SETTINGS frame (RFC 9113 §6.5).
func (c *conn) settings(w *work, f frame) error {
	if f.stream != 0 {
		return protocolError
	}
	if f.has(flagAck) {
		if len(f.payload) != 0 {
			return frameSizeError
		}
		return nil
	}
	if len(f.payload)%settingBytes != 0 {
		return frameSizeError
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.offend(w.now) || !c.answer() {
		return enhanceYourCalm // each may change the window of every stream
	}
	if !c.told {
		c.told, c.limit = true, highestStream // where it does not say, there is none
	}
	if !c.down() {
		defer func() { c.pool.limit.Store(int64(c.limit)) }()
	}
	for p := f.payload; len(p) > 0; p = p[settingBytes:] {
		if err := c.setting(binary.BigEndian.Uint16(p), binary.BigEndian.Uint32(p[2:])); err != nil {
			return err
		}
	}
	out := c.buffer(w)
	out.b = appendFrameHeader(out.b, 0, frameSettings, flagAck, 0)
	c.unblock(w)
	if !c.down() && c.pool.waits() {
		w.wake(c.pool)
	}
	return nil
}

// setting takes one. The caller holds mu.
func (c *conn) setting(id uint16, value uint32) error {
	switch id {
	case settingTableSize:
		c.newTable = true
	case settingEnablePush:
		if value > 1 || value == 1 && !c.down() {
			return protocolError
		}
	case settingMaxStreams:
		c.limit = int(min(value, highestStream))
	case settingInitialWindow:
		return c.resizeWindows(value)
	case settingMaxFrame:
		if value < maxFrameBytes || value > 1<<24-1 {
			return protocolError
		}
	}
	return nil
}

// resizeWindows changes what may be sent on every open stream (RFC 9113
// §6.9.2). The caller holds mu.
func (c *conn) resizeWindows(size uint32) error {
	if size > largestWindow {
		return flowControlError
	}
	change := int(size) - c.initial
	c.initial = int(size)
	if !c.down() {
		c.reserve = max(0, c.initial-defaultWindow)
	}
	for _, h := range c.halves {
		if h.credit += change; h.credit > largestWindow {
			return flowControlError
		}
	}
	return nil
}

// ping answers a PING, or takes the answer to ours, which asked whether the
// client has read the goodbye that went before it.
func (c *conn) ping(w *work, f frame) error {
	if f.stream != 0 {
		return protocolError
	}
	if len(f.payload) != pingBytes {
		return frameSizeError
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if f.has(flagAck) {
		if c.goodbye && string(f.payload) == barrier {
			c.refuseMore(w)
		}
		return nil
	}
	if !c.answer() {
		return enhanceYourCalm
	}
	out := c.buffer(w)
	out.b = appendFrameHeader(out.b, pingBytes, framePing, flagAck, 0)
	out.b = append(out.b, f.payload...)
	return nil
}

// barrier is what our PING says.
const barrier = "goodbye!"

// goAway takes a GOAWAY frame (RFC 9113 §6.8).
func (c *conn) goAway(w *work, f frame) error {
	if f.stream != 0 {
		return protocolError
	}
	if len(f.payload) < goAwayBytes {
		return frameSizeError
	}
	if !c.down() {
		c.abandoned(w, binary.BigEndian.Uint32(f.payload)&highestStream)
	}
	return nil
}

// windowUpdate takes a WINDOW_UPDATE frame (RFC 9113 §6.9).
func (c *conn) windowUpdate(w *work, f frame) error {
	if len(f.payload) != windowUpdateBytes {
		return frameSizeError
	}
	n := int(binary.BigEndian.Uint32(f.payload) & largestWindow)
	if f.stream != 0 {
		return c.streamWindow(w, f.stream, n)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if n == 0 {
		return protocolError
	}
	if c.credit += n; c.credit > largestWindow {
		return flowControlError
	}
	c.peak = max(c.peak, c.credit)
	c.unblock(w)
	return nil
}

func (c *conn) streamWindow(w *work, id uint32, n int) error {
	wrong, err := c.enlarge(w, id, n)
	if err == nil && wrong != noError {
		return c.streamError(w, id, wrong)
	}
	return err
}

// enlarge takes credit for a stream; wrong is what ends the stream, err what
// ends the connection.
func (c *conn) enlarge(w *work, id uint32, n int) (wrong errorCode, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	h := c.halves[id]
	switch {
	case h == nil && c.idle(id):
		return noError, protocolError
	case h == nil:
		// It was closed while this was on its way.
	case n == 0:
		return protocolError, nil
	case h.credit+n > largestWindow:
		return flowControlError, nil
	default:
		h.credit += n
		if h.waits {
			c.push(w, h)
		}
	}
	return noError, nil
}

// reset takes a RST_STREAM frame.
func (c *conn) reset(w *work, f frame) error {
	if f.stream == 0 {
		return protocolError
	}
	if len(f.payload) != resetBytes {
		return frameSizeError
	}
	on, err := c.wasCut(w, f.stream, errorCode(binary.BigEndian.Uint32(f.payload)))
	if on.to != nil {
		on.to.lost(w, on.loss)
	}
	return err
}

func (c *conn) wasCut(w *work, id uint32, code errorCode) (step, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	h := c.halves[id]
	switch {
	case c.idle(id):
		return step{}, protocolError
	case h == nil:
		return step{}, nil
	case !c.down():
		on := c.next(h)
		on.loss.code, on.loss.unprocessed = code, code == refusedStream
		c.remove(w, h)
		return on, nil
	}
	c.abandon(w, h)
	h.call.left = true
	c.remove(w, h)
	if !c.offend(w.now) {
		return step{}, enhanceYourCalm
	}
	return step{}, nil
}

// streamError resets a stream for what its peer did wrong, both ways.
func (c *conn) streamError(w *work, id uint32, code errorCode) error {
	on, err := c.wrong(w, id, code)
	if on.to != nil {
		on.to.lost(w, on.loss)
	}
	return err
}

func (c *conn) wrong(w *work, id uint32, code errorCode) (step, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	h := c.halves[id]
	switch {
	case h != nil && c.down():
		return step{}, c.fault(w, h, code)
	case h != nil:
		return c.blame(w, h, code), nil
	case !c.down():
		return step{}, nil
	case !c.offend(w.now):
		return step{}, enhanceYourCalm
	}
	c.resetStream(w, id, code)
	return step{}, nil
}
