package testenv

import (
	"errors"
	"math/rand/v2"
	"net"
	"strconv"
)

// The ports that freePort chooses from lie above those that Linux gives out
// by itself, so that nobody gets one while its server is stopped.
const (
	firstPort = 61000
	lastPort  = 65535
)

// errNoPort says that no port was found free.
var errNoPort = errors.New("no free port")

// freePort is a port of 127.0.0.1 that is free for TCP and UDP now. Whoever
// uses it must be ready to lose it to another and to ask again.
func freePort() (int, error) {
	for range 100 {
		port := firstPort + rand.IntN(lastPort-firstPort+1)
		stream, err := net.Listen("tcp", loopback(port))
		if err != nil {
			continue
		}
		stream.Close()
		packet, err := net.ListenPacket("udp", loopback(port))
		if err != nil {
			continue
		}
		packet.Close()
		return port, nil
	}
	return 0, errNoPort
}

// loopback is the port's address on 127.0.0.1.
func loopback(port int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) }
