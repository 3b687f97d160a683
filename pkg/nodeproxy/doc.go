// Package nodeproxy is the data plane: it listens on the mesh ports of a Table,
// finds out what each connection carries, and passes it on to an endpoint.
//
//	proxy := nodeproxy.New(nodeproxy.Config{Log: log, Metrics: metrics})
//	proxy.Publish(table)          // as often as there is a new one
//	err := proxy.Drain(ctx)       // once, at the end
//
// The listening address alone tells which Service a call is for, never what the
// client says. A new Table opens and closes listeners; what flows goes on. One
// Table decides a request (a connection, for TCP; a session, for UDP) for life.
package nodeproxy
