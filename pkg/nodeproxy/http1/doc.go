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
// Each client's connection has one goroutine, which also reads the answers of
// endpoints: it stays within one callback of the connection's RawConn, reads and
// writes with plain system calls, and waits only where the kernel has nothing.
// A request that is too large to be held in memory, and a connection that
// becomes WebSocket's, have a second goroutine for the other direction.
//
// One goroutine of the engine, the watch, looks at all connections every 50 ms.
// It finds clients that left while an endpoint worked for them, deadlines that
// are over, and idle connections that an endpoint has closed. So requests set
// no timers.
package http1
