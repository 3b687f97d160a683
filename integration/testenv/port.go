package testenv

import (
	"net"
	"strconv"

	"github.com/weft-mesh/weft/internal/freeport"
)

// freePort is a port of 127.0.0.1 that is free for TCP and UDP now. Whoever
// uses it must be ready to lose it to another and to ask again.
func freePort() (int, error) {
	at, err := freeport.Address()
	return int(at.Port()), err
}

// loopback is the port's address on 127.0.0.1.
func loopback(port int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) }
