// Package conformance runs suites that others wrote against the data plane:
// h2spec for HTTP/2 and the interoperability cases of gRPC. It has tests only.
package conformance
