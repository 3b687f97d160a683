package http2_test

import (
	"io"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/weft-mesh/weft/pkg/nodeproxy/http2"
	"github.com/weft-mesh/weft/pkg/nodeproxy/limits"
	x "golang.org/x/net/http2"
)

// A client that takes more than its portion of what waits for its full socket is
// kept, though that never becomes empty.
func TestB48AClientThatReadsSlowlyIsKept(t *testing.T) {
	var sent sync.Map
	w := newWorld(t, http2.Config{Limits: limits.Limits{BodyTimeout: 2 * time.Second}}, endpoint(t, pour(&sent)))
	w.sndbuf.Store(32 << 10)
	conn, err := net.Dial("tcp", w.at)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.(*net.TCPConn).SetReadBuffer(128 << 10)
	c := newPeer(t, conn)
	if _, err := io.WriteString(conn, x.ClientPreface); err != nil {
		t.Fatal(err)
	}
	c.must(c.framer.WriteSettings(x.Setting{ID: x.SettingInitialWindowSize, Val: 1<<31 - 1}))
	c.must(c.framer.WriteWindowUpdate(0, 1<<31-1-65535))
	for i := range uint32(100) {
		c.ask(2*i+1, true)
	}
	const portion = 8 << 10 // in each step; in each second 500 bytes would do
	ticker := time.NewTicker(20 * time.Millisecond)
	defer ticker.Stop()
	for n := range 5 * 50 {
		<-ticker.C
		if _, err := io.ReadFull(conn, make([]byte, portion)); err != nil {
			t.Fatalf("after %d bytes: %v", n*portion, err)
		}
	}
}
