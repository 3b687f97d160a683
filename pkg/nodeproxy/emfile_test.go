package nodeproxy_test

import (
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"github.com/rs/zerolog"
	"github.com/weft-mesh/weft/pkg/nodeproxy"
)

// roleVariable makes the test binary play one part in a process of its own.
const roleVariable = "WEFT_TEST_FEW_FILES"

// TestAcceptSurvivesTheLackOfFiles takes all file descriptors away, lets
// clients wait, gives them back, and finds every client served. It runs in a
// process of its own, for no other test to suffer.
func TestAcceptSurvivesTheLackOfFiles(t *testing.T) {
	if os.Getenv(roleVariable) == "" {
		child := exec.Command(os.Args[0], "-test.run=^TestAcceptSurvivesTheLackOfFiles$", "-test.v")
		child.Env = append(os.Environ(), roleVariable+"=1")
		if out, err := child.CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		return
	}
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	limit.Cur = 800
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	failed := make(signal, 100)
	w := newWorld(t, nodeproxy.Config{Log: zerolog.New(failed)})
	at := w.service("orders", "http", backend(t, func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "ok") }))
	w.publish()
	clients := sockets(t, 150) // more than a door accepts in one go
	taken := takeFiles()
	address := netip.MustParseAddrPort(at)
	to := &syscall.SockaddrInet4{Addr: address.Addr().As4(), Port: int(address.Port())}
	for _, c := range clients {
		if err := syscall.Connect(c, to); err != nil {
			t.Fatal(err)
		}
	}
	<-failed // to accept
	if lines := 1 + len(failed); lines > 12 {
		t.Errorf("%d clients that cannot be accepted are worth %d lines of log; want one for each attempt, ever more seldom", len(clients), lines)
	}
	for _, f := range taken {
		_ = f.Close()
	}
	for i, c := range clients {
		f := os.NewFile(uintptr(c), "client")
		_, _ = io.WriteString(f, "GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
		if got, err := io.ReadAll(f); err != nil || !strings.HasSuffix(string(got), "ok") {
			t.Errorf("client %d: %q, %v", i, got, err)
		}
		_ = f.Close()
	}
}

// signal is a log that tells that something was logged.
type signal chan struct{}

// Write tells it.
func (s signal) Write(line []byte) (int, error) {
	select {
	case s <- struct{}{}:
	default:
	}
	return len(line), nil
}

// sockets returns sockets that are not connected yet.
func sockets(t *testing.T, n int) (out []int) {
	for range n {
		s, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM, 0)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, s)
	}
	return out
}

// takeFiles opens files until no descriptor is left.
func takeFiles() (taken []*os.File) {
	for {
		f, err := os.Open(os.DevNull)
		if err != nil {
			return taken
		}
		taken = append(taken, f)
	}
}
