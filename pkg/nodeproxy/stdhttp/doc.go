// Package stdhttp is the HTTP engine of the data plane, resting on the standard
// library: HTTP/1.1 to HTTP/1.1 and HTTP/2 with prior knowledge to the same.
// Nothing of net/http shows through its boundary, so that another engine can
// stand in its place:
//
//	engine := stdhttp.New(config)
//	engine.Serve(conn)      // takes a connection over, for all its requests
//	engine.Forget(gone)     // endpoints left: their idle connections close
//	engine.Drain()          // each answer says goodbye from now on
//	engine.Quiesce()        // idle connections close
//	engine.Close()          // after the last connection has ended
package stdhttp
