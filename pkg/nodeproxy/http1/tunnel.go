package http1

// openTunnel makes the connection a tunnel. What came with the handshake, or behind
// the answer to it, goes first.
func (c *conn) openTunnel(x *exchange) {
	for _, f := range [...]*flow{&x.up, &x.down} {
		f.pass, f.r, f.w = f.buf[f.r:f.w], 0, 0
	}
	x.up.over = c.half
	c.state = tunnelling
}

// tunnel carries WebSocket until both directions have ended. An end of stream
// is passed on as such, and the other direction goes on.
func (c *conn) tunnel(x *exchange, l *link) bool {
	err := c.carry(&x.up, &c.Socket, &l.Socket)
	if err == nil {
		err = c.carry(&x.down, &l.Socket, &c.Socket)
	}
	switch {
	case err != nil:
		c.Abort()
		l.Abort()
	case x.up.shut && c.Broken, x.down.shut && l.Broken && l.relay == nil:
		// It was reset after its stream had ended: nothing else would tell.
	case !x.up.shut || !x.down.shut:
		return false
	}
	c.count(x, x.response.Status(), "")
	c.end()
	return false
}
