package l4

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"time"

	"github.com/weft-mesh/weft/pkg/nodeproxy/upstream"
)

// patience is how many DetectTimeouts a client has to complete what began like
// HTTP, before its bytes are relayed as they are.
const patience = 10

// Detect finds out what a connection carries. HTTP1 and HTTP2 are returned to
// the caller with the bytes read so far, which belong before what is read next.
// Anything else Detect relays itself: the kind is then Opaque and the client's
// connection is closed.
//
// A client that says nothing for DetectTimeout may wait for the server to
// begin. It is then connected to an endpoint, and whoever speaks first decides:
// a server that does is relayed; when the client does its bytes are looked at,
// and for HTTP the outgoing connection is closed unused.
func (t *TCP) Detect(ctx context.Context, c Call) (first []byte, kind Kind) {
	timeout := t.DetectTimeout
	if timeout == 0 {
		timeout = 100 * time.Millisecond
	}
	first, kind, err := sniff(c.Client, nil, timeout, patience*timeout)
	switch {
	case kind == HTTP1 || kind == HTTP2:
		return first, kind
	case kind == Opaque:
		if err != nil && !errors.Is(err, io.EOF) {
			Reset(c.Client)
			return nil, Opaque
		}
		t.Relay(ctx, c, first)
		return nil, Opaque
	}
	return t.silent(ctx, c, patience*timeout)
}

// silent serves a client that has said nothing yet.
func (t *TCP) silent(ctx context.Context, c Call, patience time.Duration) ([]byte, Kind) {
	if caller := (upstream.Caller{Address: c.address()}); !caller.Connects(c.Snapshot, c.Route) {
		return t.requestOnly(c)
	}
	out := t.connect(ctx, c)
	if out == nil {
		return nil, Opaque
	}
	fromClient, fromServer, nobody := firstToSpeak(c.Client, out.conn, c.Route.Policies.Idle(t.Idle))
	if nobody {
		out.drop()
		Reset(c.Client)
		return nil, Opaque
	}
	if len(fromClient) > 0 && len(fromServer) == 0 {
		first, kind, _ := sniff(c.Client, fromClient, patience, patience)
		if kind == HTTP1 || kind == HTTP2 {
			out.drop()
			return first, kind
		}
		fromClient = first
	}
	out.run(ctx, fromClient, fromServer)
	return nil, Opaque
}

// requestOnly serves a silent client that may make requests, or nothing at all:
// no endpoint is asked to speak to it.
func (t *TCP) requestOnly(c Call) ([]byte, Kind) {
	first, kind, err := sniff(c.Client, nil, requestTimeout, requestTimeout)
	if kind == HTTP1 || kind == HTTP2 {
		return first, kind
	}
	if err == nil {
		t.Refuse(c, upstream.AccessDenied)
	} else {
		Reset(c.Client)
	}
	return nil, Opaque
}

// requestTimeout is how long a client has to begin its first request where it
// may do nothing else.
const requestTimeout = 10 * time.Second

// firstToSpeak waits until one of two connections has bytes or has ended, and
// returns what was read of each: mostly of one, of both where they spoke at
// once. The ends of streams are found again by the next read. nobody tells that
// neither spoke within idle, where that is not 0.
func firstToSpeak(client, server *net.TCPConn, idle time.Duration) (fromClient, fromServer []byte, nobody bool) {
	if until := time.Now().Add(idle); idle > 0 {
		_ = client.SetReadDeadline(until)
		_ = server.SetReadDeadline(until)
	}
	done := make(chan struct{})
	var late error
	go func() {
		defer close(done)
		fromServer, late = readSome(server, client)
	}()
	fromClient, err := readSome(client, server)
	<-done
	// The reader that is stopped by the other has its time over as well.
	nobody = errors.Is(err, os.ErrDeadlineExceeded) && errors.Is(late, os.ErrDeadlineExceeded)
	_ = client.SetReadDeadline(time.Time{})
	_ = server.SetReadDeadline(time.Time{})
	return fromClient, fromServer, nobody
}

// readSome reads once from a connection, then stops the other's reader.
func readSome(c, other *net.TCPConn) ([]byte, error) {
	buffer := make([]byte, sniffBytes)
	n, err := c.Read(buffer)
	_ = other.SetReadDeadline(time.Unix(1, 0))
	return buffer[:n], err
}
