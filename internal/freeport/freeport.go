// Package freeport finds addresses of the loopback for tests whose program
// opens its sockets itself and must be told where.
package freeport

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"runtime"
)

// The ports lie above those that Linux gives out by itself, so that no
// connection or socket of another test gets one before it is used.
const (
	firstPort = 61000
	lastPort  = 65535
)

// errNone says that no free port was found.
var errNone = errors.New("no free port")

// Address is an address of the loopback whose port is free for TCP and UDP now,
// at every other address too. On Linux, where all of 127.0.0.0/8 is the
// loopback's, hardly two calls return the same one, in whatever process: a port
// alone can be returned again before it is used.
func Address() (netip.AddrPort, error) {
	for range 100 {
		at := netip.AddrPortFrom(host(), uint16(firstPort+rand.IntN(lastPort-firstPort+1)))
		everywhere := fmt.Sprintf(":%d", at.Port())
		stream, err := net.Listen("tcp4", everywhere)
		if err != nil {
			continue
		}
		packet, err := net.ListenPacket("udp4", everywhere)
		if err == nil {
			err = packet.Close()
		}
		if errors.Join(err, stream.Close()) == nil {
			return at, nil
		}
	}
	return netip.AddrPort{}, errNone
}

// host leaves the lower half of the loopback to tests that name their addresses.
func host() netip.Addr {
	if runtime.GOOS != "linux" {
		return netip.AddrFrom4([4]byte{127, 0, 0, 1})
	}
	return netip.AddrFrom4([4]byte{127, byte(128 + rand.IntN(127)), byte(rand.IntN(256)), byte(1 + rand.IntN(254))})
}
