package nodeproxy_test

import (
	"bytes"
	"io"
	"net"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/rs/zerolog"
	"github.com/weft-mesh/weft/pkg/mesh"
	"github.com/weft-mesh/weft/pkg/nodeproxy"
)

// lines is a log that several write to.
type lines struct {
	mu   sync.Mutex
	text bytes.Buffer
}

// Write takes a line.
func (l *lines) Write(line []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(line)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// Clients that connect and reset at once, as scanners do, are no fault of the
// proxy, whatever the port speaks.
func TestClientsThatResetAtOnceAreNoFault(t *testing.T) {
	var log lines
	w := newWorld(t, nodeproxy.Config{Log: zerolog.New(&log).Level(zerolog.WarnLevel)})
	addresses := []string{
		w.service("orders", "http", backend(t, nil)), w.service("db", "tcp", tcpBackend(t, echo)), w.service("any", "", tcpBackend(t, echo)),
	}
	w.publish()
	for range 200 {
		for _, at := range addresses {
			c := dial(t, at)
			_ = c.SetLinger(0)
			_ = c.Close()
		}
	}
	c := dial(t, addresses[1])
	if _, err := io.WriteString(c, "ping"); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(c, make([]byte, 4)); err != nil {
		t.Error(err)
	}
	_ = c.Close()
	w.drain(20 * time.Second)
	if log := log.String(); log != "" {
		t.Errorf("%d lines of log: %.400s", strings.Count(log, "\n"), log)
	}
}

// endOf finds the proxy's end of a connection among the descriptors of this
// process, and tells an option of it; -1 where there is none.
func endOf(at string, client net.Addr, option int) int {
	for fd := range 1000 {
		local, err := syscall.Getsockname(fd)
		if err != nil || plain(local) != at {
			continue
		}
		if peer, err := syscall.Getpeername(fd); err == nil && plain(peer) == client.String() {
			if v, err := syscall.GetsockoptInt(fd, syscall.IPPROTO_TCP, option); err == nil {
				return v
			}
		}
	}
	return -1
}

func plain(a syscall.Sockaddr) string {
	if a, ok := a.(*syscall.SockaddrInet4); ok {
		return (&net.TCPAddr{IP: a.Addr[:], Port: a.Port}).String()
	}
	return ""
}

// A caller whom nobody knows waits for news of who it is once, not once more on
// its way to the relay.
func TestStrangersWaitOnce(t *testing.T) {
	w := newGuarded(t, mesh.AccessEnforce)
	at := w.service("orders", "tcp", tcpBackend(t, echo))
	w.publish()
	shortest := time.Hour
	for range 5 {
		begin := time.Now()
		_, err := dialFrom(t, stranger, "tcp", at).Read(make([]byte, 1))
		if err == nil {
			t.Fatal("a stranger was served")
		}
		shortest = min(shortest, time.Since(begin))
	}
	if shortest < 90*time.Millisecond || shortest > 180*time.Millisecond {
		t.Errorf("refused after %v; want 100 ms", shortest)
	}
}
