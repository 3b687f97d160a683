package nodeproxy_test

import (
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/weft-mesh/weft/pkg/nodeproxy"
	"github.com/weft-mesh/weft/pkg/nodeproxy/limits"
)

// A client that is gone without a word is found by probes, whatever it speaks.
func TestClientsAreProbed(t *testing.T) {
	w := newWorld(t, nodeproxy.Config{})
	for name, at := range map[string]string{
		"HTTP": w.service("orders", "http", backend(t, func(http.ResponseWriter, *http.Request) {})),
		"TCP":  w.service("db", "tcp", tcpBackend(t, echo)),
	} {
		w.publish()
		c := dial(t, at)
		_, _ = io.WriteString(c, "GET / HTTP/1.1\r\nHost: h\r\n\r\n")
		if _, err := c.Read(make([]byte, 1)); err != nil {
			t.Fatal(err)
		}
		eventually(t, name+": the kernel waits to probe", func() bool { return timerOf(t, at, c.LocalAddr()) == "02" })
		if every, times := endOf(at, c.LocalAddr(), syscall.TCP_KEEPINTVL), endOf(at, c.LocalAddr(), syscall.TCP_KEEPCNT); every != 5 || times != 3 {
			t.Errorf("%s: a silent client is given up after %d probes, %d s apart; want 3, 5 s apart", name, times, every)
		}
	}
}

// timerOf is the kernel's timer of the proxy's end of a connection; 02 is the one
// of keep-alive probes.
func timerOf(t *testing.T, at string, client net.Addr) string {
	t.Helper()
	timer, _, _ := strings.Cut(inProcOf(t, at, client, 5), ":")
	return timer
}

// inProcOf is what a column of /proc/net/tcp says of the proxy's end of a
// connection; nothing where there is none.
func inProcOf(t *testing.T, at string, client net.Addr, column int) string {
	t.Helper()
	table, err := os.ReadFile("/proc/net/tcp")
	if err != nil {
		t.Fatal(err)
	}
	ends := []string{inProc(netip.MustParseAddrPort(at)), inProc(client.(*net.TCPAddr).AddrPort())}
	for line := range strings.Lines(string(table)) {
		if f := strings.Fields(line); len(f) > column && f[1] == ends[0] && f[2] == ends[1] {
			return f[column]
		}
	}
	return ""
}

func inProc(a netip.AddrPort) string {
	ip := a.Addr().As4()
	return fmt.Sprintf("%08X:%04X", binary.LittleEndian.Uint32(ip[:]), a.Port())
}

// Who has connected and not said yet which HTTP he speaks is waited for: served
// as soon as he does, byte by byte if need be, and closed where he does not in
// time.
func TestArrivalsAreWaitedFor(t *testing.T) {
	w := newWorld(t, nodeproxy.Config{Limits: limits.Limits{HeadTimeout: 2 * time.Second}})
	at := w.service("orders", "http", backend(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "hello") }))
	w.publish()
	silent, slow := dial(t, at), dial(t, at)
	for _, b := range []byte("PRIX") { // begins as HTTP/2's preface does
		_, _ = slow.Write([]byte{b})
		eventually(t, "the byte is read", func() bool { return inProcOf(t, at, slow.LocalAddr(), 4) == "00000000:00000000" })
	}
	_, _ = io.WriteString(slow, " / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
	if got, err := io.ReadAll(slow); err != nil || !strings.HasSuffix(string(got), "hello") {
		t.Errorf("%q, %v", got, err)
	}
	if got, err := io.ReadAll(silent); err != nil || len(got) > 0 {
		t.Errorf("who says nothing got %q, %v; want the end", got, err)
	}
}
