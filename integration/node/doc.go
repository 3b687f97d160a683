// Package node drives the real binary, `weft node`, against a real API server:
// what it serves, and that it goes on serving when the API server is gone. The
// traffic itself is the business of the suites local and e2e, for an API server
// takes no endpoint on the loopback.
package node
