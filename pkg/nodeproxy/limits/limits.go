// Package limits is what a node proxy lets its peers ask of it. Each limit has a
// default, and a flag of the commands that run a proxy: docs/http.md says what
// is refused beyond.
//
//	most := limits.Default()
//	most.Streams = 100
//	proxy := nodeproxy.New(nodeproxy.Config{Limits: most})
package limits

import (
	"cmp"
	"fmt"
	"time"
)

// The largest values, which the memory for a head is laid out for.
const (
	MaxHeadBytes = 64 << 10
	MaxFields    = 128
)

// The bounds of what may be set.
const (
	minHeadBytes = 1 << 10
	minFields    = 16
	minHeld      = 64 << 10
	maxHeld      = 16 << 20
	maxStreams   = 10_000
	maxRate      = 1 << 20
	// maxConnections is how many local ports there can be to one endpoint.
	maxConnections = 1 << 16
)

// Limits of one proxy. Zero values mean the defaults.
type Limits struct {
	HeadBytes      int           `description:"How many bytes the head of an HTTP message may have (in HTTP/2 its decoded header list), at most 65536."`
	Fields         int           `description:"How many fields the head of an HTTP message may have, at most 128."`
	Streams        int           `description:"How many requests may be under way on one HTTP/2 connection of a client."`
	HeldBytes      int           `description:"How many bytes of one HTTP/2 stream are held for a receiver that does not take them, at least 65536."`
	HeadTimeout    time.Duration `description:"How long the head of a request may take from its first byte."`
	IdleTimeout    time.Duration `description:"How long an HTTP client's connection may be without a request."`
	BodyTimeout    time.Duration `description:"How long nothing of an HTTP body may be given by its sender, or taken by its receiver, when it is their turn."`
	BodyRate       int           `description:"How many bytes a second of an HTTP body a client must give or take on average over each bodyTimeout, when it is its turn and the bytes are known to be due."`
	Connections    int           `description:"How many connections may be open to one endpoint."`
	ConnectTimeout time.Duration `description:"How long one attempt to connect to an endpoint may take, where no policy says another."`
}

// Default returns the defaults.
func Default() Limits { return Limits{}.OrDefault() }

// OrDefault returns l with the defaults for its zero values.
func (l Limits) OrDefault() Limits {
	return Limits{
		HeadBytes:      cmp.Or(l.HeadBytes, MaxHeadBytes),
		Fields:         cmp.Or(l.Fields, MaxFields),
		Streams:        cmp.Or(l.Streams, 256),
		HeldBytes:      cmp.Or(l.HeldBytes, minHeld),
		HeadTimeout:    cmp.Or(l.HeadTimeout, 10*time.Second),
		IdleTimeout:    cmp.Or(l.IdleTimeout, 5*time.Minute),
		BodyTimeout:    cmp.Or(l.BodyTimeout, time.Minute),
		BodyRate:       cmp.Or(l.BodyRate, 500),
		Connections:    cmp.Or(l.Connections, 10_000),
		ConnectTimeout: cmp.Or(l.ConnectTimeout, time.Second),
	}
}

// Check returns an error for the first value that is out of its bounds: it
// names the field as a flag does, and says what that takes.
func (l Limits) Check() error {
	return cmp.Or(
		between("headBytes", l.HeadBytes, minHeadBytes, MaxHeadBytes),
		between("fields", l.Fields, minFields, MaxFields),
		between("streams", l.Streams, 1, maxStreams),
		between("heldBytes", l.HeldBytes, minHeld, maxHeld),
		between("bodyRate", l.BodyRate, 1, maxRate),
		between("connections", l.Connections, 1, maxConnections),
		positive("headTimeout", l.HeadTimeout), positive("idleTimeout", l.IdleTimeout),
		positive("bodyTimeout", l.BodyTimeout), positive("connectTimeout", l.ConnectTimeout),
	)
}

// BodyPortion is how many bytes must move in each BodyTimeout.
func (l *Limits) BodyPortion() int {
	return max(1, int(float64(l.BodyRate)*l.BodyTimeout.Seconds()))
}

func between(flag string, value, least, most int) error {
	if value < least || value > most {
		return fmt.Errorf("%s=%d: takes a number from %d to %d", flag, value, least, most)
	}
	return nil
}

func positive(flag string, value time.Duration) error {
	if value < time.Millisecond {
		return fmt.Errorf("%s=%s: takes a duration of at least 1ms", flag, value)
	}
	return nil
}
