// Package http1 is Weft's own engine for HTTP/1.1 to HTTP/1.1. Package wire
// reads and writes the messages; here are the connections:
//
//	engine := http1.New(config)
//	engine.Serve(conn)      // takes a connection over, for all its requests
//	engine.Forget(gone)     // endpoints left: their idle connections close
//	engine.Drain()          // each answer says goodbye from now on
//	engine.Quiesce()        // idle connections close
//	engine.Close()          // after the last connection has ended
//
// The engine is driven by events. A poller (epoll, edge-triggered, every socket
// registered once) tells sockets what has happened to them; its own descriptor
// waits in Go's poller. There is one for each processor that Go uses, and
// sockets are dealt out in turn. No connection and no request has a goroutine.
//
// A client's connection, a conn, is a state machine: reading, dialing,
// exchanging, answered, and tunnelling or lingering. Everything that happens to
// it is posted as bits of one word: events of the client's socket, events of the
// link (the connection to the endpoint), the end of a connection attempt, time.
// Whoever posts to a conn on which nobody works, works on it, until nothing is
// posted any more: so a conn is worked on by one goroutine at a time, and its
// fields need no lock. Bytes go through a flow for each direction; what a sink
// does not take stays there, and its source is not read meanwhile.
//
// Where policies go:
//
//   - To wait until a time and then go on: say the time in deadline, do what is
//     due in expire. The watch, which looks at all deadlines every 50 ms, or a
//     timer for a wait below 100 ms, posts timeUp.
//   - To end a try and go to another endpoint: tryNext. What is held of the
//     request (out) is still there; conclude says what becomes of the link.
//   - To wait for something else: a state and a bit of its own, as dialing and
//     dialed are.
package http1
