// Package http2 is Weft's own engine for endpoints that speak HTTP/2: it takes
// connections of clients that speak HTTP/2 with prior knowledge, or HTTP/1, and
// carries their requests over a few shared connections to each endpoint.
//
//	engine := http2.New(config)
//	engine.Serve(conn)      // takes a connection over, for all its streams
//	engine.Forget(gone)     // endpoints left: their connections end when unused
//	engine.Drain()          // clients are told to go, and still served
//	engine.Quiesce()        // no new streams
//	engine.Close()          // after the last connection has ended
//
// # Structure
//
// A conn is one connection, of a client ("down") or to an endpoint ("up"). It
// is free of I/O: feed takes bytes that were read, and what is to be sent is
// appended to a buffer. The goroutine that reads a connection parses a whole
// batch, appends the frames that come of it to the buffers of other
// connections, and writes each of these once at the end of the batch. Only when
// a socket is full does another goroutine write on: whoever reads a shared
// connection never waits for one of its clients.
//
// A stream is two halves, one in the table of each connection. A half names the
// other by connection and stream number, never by pointer: numbers are not used
// twice, so what comes late finds nothing and can do no harm.
//
// Locks: conn.mu guards a connection's halves and its buffer. A client's may be
// held while an endpoint connection's is taken, never the other way round.
//
// A client that speaks HTTP/1 has a bridge before its conn: the asker says its
// requests in frames, the teller says the conn's frames as answers.
//
// # Memory
//
// A peer gets credit back for a stream when its bytes were written to the other
// side's socket, so a stream holds at most its window of 64 KiB, be it waiting
// for the window of the receiver, for its socket, or for a connection. The
// window of a whole connection is no limit beside that: it is returned at once,
// so that no stream can block another.
package http2
