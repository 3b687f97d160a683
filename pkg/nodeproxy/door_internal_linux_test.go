package nodeproxy

import (
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"syscall"
	"testing"
	"time"

	"github.com/weft-mesh/weft/internal/freeport"
	"github.com/weft-mesh/weft/pkg/mesh"
	"github.com/weft-mesh/weft/pkg/nodeproxy/upstream"
	"github.com/weft-mesh/weft/pkg/route"
)

// accepted returns a Proxy with an address that nobody watches, the client of a
// connection that was accepted there, and what has not begun to receive it yet.
func accepted(t *testing.T) (*Proxy, *net.TCPConn, *arrival) {
	t.Helper()
	at, err := freeport.Address()
	if err != nil {
		t.Fatal(err)
	}
	p := New(Config{})
	p.Publish(route.Compile(mesh.Build(mesh.NewInputs())))
	key := upstream.Key{Listen: netip.MustParseAddrPort(at.String()), Transport: mesh.TCP}
	l, err := net.Listen("tcp", at.String())
	if err != nil {
		t.Fatal(err)
	}
	d := &door{proxy: p, at: key}
	if err := d.Listen(l.(*net.TCPListener)); err != nil {
		t.Fatal(err)
	}
	p.listeners[key] = &listener{close: d.shut}
	c, err := net.Dial("tcp", at.String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	_ = c.SetDeadline(time.Now().Add(20 * time.Second))
	a, err := d.next()
	if err != nil {
		t.Fatal(err)
	}
	return p, c.(*net.TCPConn), a
}

// A drain waits for who was let in just before the door was closed.
func TestDrainWaitsForWhoIsLetIn(t *testing.T) {
	p, _, a := accepted(t)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	done := make(chan error)
	go func() { done <- p.Drain(ctx) }()
	closed := func() bool { p.mu.Lock(); defer p.mu.Unlock(); return p.closed }
	for !closed() {
		<-time.After(time.Millisecond)
	}
	select {
	case err := <-done:
		t.Fatalf("the drain is over (%v) before the client", err)
	case <-time.After(50 * time.Millisecond):
	}
	a.receive()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// The end of a drain resets who was let in and is not received yet, once.
func TestWhoIsLetInIsReset(t *testing.T) {
	p, c, a := accepted(t)
	p.conns.reset()
	a.receive()
	if _, err := io.ReadAll(c); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("%v; want a reset", err)
	}
	if err := p.Drain(t.Context()); err != nil {
		t.Error(err)
	}
}
