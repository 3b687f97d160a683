// Package l4 carries connections and datagrams without looking inside, and
// finds out which connections need not be looked into.
//
//   - Classify and ReadHTTP tell HTTP/1, HTTP/2 and other bytes apart by how a
//     connection begins.
//   - TCP relays a connection to an endpoint, half-close kept both ways. Its
//     Detect also serves protocols in which the server speaks first.
//   - UDP holds a session per client address and port.
package l4
