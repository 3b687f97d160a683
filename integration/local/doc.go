// Package local drives the real binary on one machine: `weft local` and
// `weft demo` as subprocesses, called through real sockets with real clients of
// every protocol. Its tests need no root and nothing but Go.
package local
