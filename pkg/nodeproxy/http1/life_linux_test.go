package http1_test

import (
	"errors"
	"io"
	"net"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/weft-mesh/weft/pkg/nodeproxy/http1"
)

// A client that ends its stream with its request gets the whole answer, and the
// connection is closed then: the FIN is never lost. One whose FIN comes by
// itself may be taken for one that left, where its endpoint is slow, but gets
// the whole answer or nothing.
func TestEndOfStreamWithTheRequest(t *testing.T) {
	w := newWorld(t, http1.Config{}, newOrigin(t, mirror).at)
	if got := w.ask("GET /warm HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"); statuses(got)[0] != "200" {
		t.Fatal(got)
	}
	before := descriptors()
	work := make(chan int)
	var late, left atomic.Int64
	var callers sync.WaitGroup
	for range 8 {
		callers.Go(func() {
			for n := range work {
				path, together, requests := "GET /"+strconv.Itoa(n)+" ", n%2 == 0, 1
				if together {
					requests += n % 3
				} else {
					late.Add(1)
				}
				got, err := askAndEnd(w.at, strings.Repeat(path+"HTTP/1.1\r\nHost: h\r\n\r\n", requests), together)
				switch {
				case !together && got == "":
					left.Add(1)
				case err != nil || strings.Count(got, path) != requests:
					t.Errorf("request %d, its FIN with it %v: %v, %q", n, together, err, got)
				}
			}
		})
	}
	for n := range much(10_000, 1_000) {
		work <- n
	}
	close(work)
	callers.Wait()
	if left.Load() > late.Load()/10 {
		t.Errorf("%d of %d whose FIN came by itself got nothing", left.Load(), late.Load())
	}
	eventually(t, "every connection is over", func() bool { return w.conns.Load() == 0 })
	// Connections to the endpoint may stay, one for each caller.
	eventually(t, "the descriptors are back", func() bool { return descriptors() <= before+16 })
}

// askAndEnd sends requests and ends the stream, in one segment or in two, and
// reads all that comes.
func askAndEnd(at, requests string, together bool) (string, error) {
	c, err := net.Dial("tcp", at)
	if err != nil {
		return "", err
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(patience))
	stream := c.(*net.TCPConn)
	if together {
		if err := cork(stream); err != nil {
			return "", err
		}
	}
	_, _ = io.WriteString(c, requests)
	_ = stream.CloseWrite()
	got, err := io.ReadAll(c)
	return string(got), err
}

// cork has the stream send nothing until it ends, or has a full segment
// (TCP_CORK in tcp(7)).
func cork(stream *net.TCPConn) error {
	raw, err := stream.SyscallConn()
	if err != nil {
		return err
	}
	var set error
	err = raw.Control(func(fd uintptr) { set = syscall.SetsockoptInt(int(fd), syscall.IPPROTO_TCP, syscall.TCP_CORK, 1) })
	return errors.Join(err, set)
}
