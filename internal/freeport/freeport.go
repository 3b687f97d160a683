// Package freeport finds addresses of the loopback for tests whose program
// opens its sockets itself and must be told where.
package freeport

import (
	"errors"
	"math/rand/v2"
	"net"
	"net/netip"
)

// The ports lie above those that Linux gives out by itself, so that no
// connection or socket of another test gets one before it is used.
const (
	firstPort = 61000
	lastPort  = 65535
)

// errNone says that no free port was found.
var errNone = errors.New("no free port")

// Address is an address of 127.0.0.1 whose port is free for TCP and UDP now.
func Address() (netip.AddrPort, error) {
	for range 100 {
		at := netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), uint16(firstPort+rand.IntN(lastPort-firstPort+1)))
		stream, err := net.Listen("tcp", at.String())
		if err != nil {
			continue
		}
		packet, err := net.ListenPacket("udp", at.String())
		if err == nil {
			err = packet.Close()
		}
		if errors.Join(err, stream.Close()) == nil {
			return at, nil
		}
	}
	return netip.AddrPort{}, errNone
}
