// Package tcppair makes TCP connections of the loopback for tests that need
// both ends.
package tcppair

import (
	"net"
	"testing"
)

// New returns the two ends of a connection. Who calls it closes them.
func New(t testing.TB) (dialed, accepted *net.TCPConn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	one, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	other, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	return one.(*net.TCPConn), other.(*net.TCPConn)
}
