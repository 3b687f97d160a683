package l4

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/weft-mesh/weft/internal/tcppair"
	"github.com/weft-mesh/weft/pkg/nodeproxy/poll"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// relayed is a relay with what stands at its ends.
type relayed struct {
	t              *testing.T
	client, server *net.TCPConn
	cancel         func()
	over           chan struct{}
}

// newRelay starts a relay. At the end of the test it must be over, and every
// pipe closed.
func newRelay(t *testing.T, idle time.Duration) *relayed {
	t.Helper()
	w := &relayed{t: t, over: make(chan struct{})}
	var in, out *net.TCPConn
	w.client, in = pair(t)
	out, w.server = pair(t)
	ctx, cancel := context.WithCancel(context.Background())
	w.cancel = cancel
	var poller poll.Poller
	var running sync.WaitGroup
	if err := poller.Start(&running, nil); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		poller.Stop()
		running.Wait()
	})
	r := prepared(&relay{client: in, server: out, idle: idle, poller: &poller, running: &running, pieces: &pieces{}})
	before := pipes(t)
	go func() {
		defer close(w.over)
		r.run(ctx)
	}()
	t.Cleanup(func() {
		_ = w.client.Close()
		_ = w.server.Close()
		w.ends()
		cancel()
		if now := pipes(t); now != before {
			t.Errorf("%d ends of pipes are open; before there were %d", now, before)
		}
	})
	return w
}

// ends waits until the relay is over.
func (w *relayed) ends() {
	w.t.Helper()
	select {
	case <-w.over:
	case <-time.After(20 * time.Second):
		w.t.Fatal("the relay does not end")
	}
}

func pair(t *testing.T) (one, other *net.TCPConn) {
	t.Helper()
	one, other = tcppair.New(t)
	for _, c := range []*net.TCPConn{one, other} {
		_ = c.SetDeadline(time.Now().Add(30 * time.Second))
		t.Cleanup(func() { _ = c.Close() })
	}
	// The relay sets its own.
	_ = one.SetNoDelay(true)
	return one, other
}

// pipes counts the ends of pipes that this process has open.
func pipes(t *testing.T) (n int) {
	t.Helper()
	all, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	for _, fd := range all {
		if to, _ := os.Readlink("/proc/self/fd/" + fd.Name()); strings.HasPrefix(to, "pipe:") {
			n++
		}
	}
	return n
}

func eventually(t *testing.T, what string, fact func() bool) {
	t.Helper()
	ticker := time.NewTicker(time.Millisecond)
	defer ticker.Stop()
	for end := time.Now().Add(10 * time.Second); !fact(); <-ticker.C {
		if time.Now().After(end) {
			t.Fatal(what + ": it is not so")
		}
	}
}

// bytesOf returns reproducible bytes.
func bytesOf(seed uint64, n int) []byte {
	b := make([]byte, n)
	_, _ = rand.NewChaCha8([32]byte{byte(seed), byte(seed >> 8)}).Read(b)
	return b
}

// say writes in pieces of random sizes.
func say(c *net.TCPConn, random *rand.Rand, b []byte) error {
	for len(b) > 0 {
		n := min(len(b), 1+random.IntN(1<<random.IntN(19)))
		if _, err := c.Write(b[:n]); err != nil {
			return err
		}
		b = b[n:]
	}
	return nil
}

// transfer sends bytes one way and compares what arrives.
func transfer(t *testing.T, to, from *net.TCPConn, seed uint64, n int) {
	t.Helper()
	sent, got := bytesOf(seed, n), make([]byte, n)
	var said error
	var wg sync.WaitGroup
	wg.Go(func() { said = say(from, rand.New(rand.NewPCG(seed, 2)), sent) })
	_, err := io.ReadFull(to, got)
	wg.Wait()
	if err != nil || said != nil || !bytes.Equal(got, sent) {
		t.Errorf("%d bytes, seed %d: they do not arrive as they were sent: %v, %v", n, seed, said, err)
	}
}

// Sizes around the points at which a stream changes how it moves bytes.
var sizes = []int{1, 100, pieceBytes - 1, pieceBytes, longTransfer - 1, longTransfer, longTransfer + 1, 3 * longTransfer, 5*longTransfer + 12345}

func TestEveryByteArrivesAtEverySwitch(t *testing.T) {
	for seed := range uint64(12) {
		w := newRelay(t, 0)
		random := rand.New(rand.NewPCG(seed, 1))
		for step := range uint64(12) {
			size := func() int { return max(1, sizes[random.IntN(len(sizes))]-random.IntN(2)*random.IntN(1000)) }
			up, down, kind := size(), size(), random.IntN(3)
			var wg sync.WaitGroup
			if kind != 0 {
				wg.Go(func() { transfer(t, w.server, w.client, 100*seed+step, up) })
			}
			if kind != 1 {
				wg.Go(func() { transfer(t, w.client, w.server, 100*seed+step+50, down) })
			}
			wg.Wait()
		}
		// The ends of both streams come after all of it.
		_ = w.client.CloseWrite()
		if rest, err := io.ReadAll(w.server); len(rest) > 0 || err != nil {
			t.Errorf("seed %d: after the end came %d bytes, %v", seed, len(rest), err)
		}
		transfer(t, w.client, w.server, seed, 2*longTransfer)
		_ = w.server.CloseWrite()
		if rest, err := io.ReadAll(w.client); len(rest) > 0 || err != nil {
			t.Errorf("seed %d: after the other end came %d bytes, %v", seed, len(rest), err)
		}
		w.ends()
	}
}

func TestALongTransferIsSplicedUntilItIsAnswered(t *testing.T) {
	w := newRelay(t, 0)
	before := pipes(t)
	transfer(t, w.client, w.server, 1, longTransfer/2)
	transfer(t, w.server, w.client, 2, 1)
	transfer(t, w.client, w.server, 3, longTransfer/2)
	if pipes(t) != before {
		t.Error("a transfer with an answer in its middle is spliced")
	}
	transfer(t, w.client, w.server, 4, 3*longTransfer)
	if pipes(t) != before+2 {
		t.Error("a long transfer one way is not spliced")
	}
	transfer(t, w.server, w.client, 5, 1)
	eventually(t, "after an answer it is copied again", func() bool {
		transfer(t, w.client, w.server, 6, 1) // the answer may have arrived before it is counted
		return pipes(t) == before
	})
}

// spliced starts a relay that is splicing from the client to the server.
func spliced(t *testing.T, idle time.Duration) *relayed {
	t.Helper()
	w := newRelay(t, idle)
	before := pipes(t)
	transfer(t, w.server, w.client, 9, 2*longTransfer)
	if pipes(t) == before {
		t.Fatal("it is not spliced")
	}
	return w
}

func TestHalfCloseWhileSplicing(t *testing.T) {
	w := spliced(t, 0)
	_ = w.server.CloseWrite()
	if rest, err := io.ReadAll(w.client); len(rest) > 0 || err != nil {
		t.Errorf("the server's end: %d bytes, %v", len(rest), err)
	}
	transfer(t, w.server, w.client, 1, 2*longTransfer)
	sent := bytesOf(2, longTransfer)
	go func() {
		_, _ = w.client.Write(sent)
		_ = w.client.CloseWrite()
	}()
	if got, err := io.ReadAll(w.server); err != nil || !bytes.Equal(got, sent) {
		t.Errorf("the client's end: %d bytes of %d, %v", len(got), len(sent), err)
	}
	w.ends()
}

func TestResetWhileSplicing(t *testing.T) {
	for _, by := range []string{"client", "server", "context", "client, while it sends", "server, while the client sends"} {
		t.Run(by, func(t *testing.T) {
			w := spliced(t, 0)
			said := make(chan error, 1)
			if strings.Contains(by, "while") {
				go func() {
					_, err := io.Copy(w.client, endless{})
					said <- err
				}()
				transferred(t, w.server)
			} else {
				said <- nil
			}
			victim := w.server
			switch {
			case by == "context":
				w.cancel()
			case strings.HasPrefix(by, "client"):
				Reset(w.client)
			default:
				Reset(w.server)
				victim = w.client
			}
			// The first call that fails is the one that is told why.
			err := <-said
			if err == nil || victim == w.server {
				_, err = io.Copy(io.Discard, victim)
			}
			if !errors.Is(err, syscall.ECONNRESET) && !errors.Is(err, syscall.EPIPE) {
				t.Errorf("the other side sees %v; want a reset", err)
			}
			w.ends()
		})
	}
}

// transferred waits until bytes have arrived.
func transferred(t *testing.T, c *net.TCPConn) {
	t.Helper()
	if _, err := io.ReadFull(c, make([]byte, longTransfer)); err != nil {
		t.Fatal(err)
	}
}

// endless gives zeros.
type endless struct{}

// Read fills b.
func (endless) Read(b []byte) (int, error) { return len(b), nil }

func TestTheEndOfTheContextStopsABusyRelay(t *testing.T) {
	w := newRelay(t, 0)
	var wg sync.WaitGroup
	read := make(chan struct{})
	wg.Go(func() { _, _ = io.Copy(w.client, endless{}) })
	wg.Go(func() {
		_, _ = io.CopyN(io.Discard, w.server, 20*longTransfer)
		close(read)
		_, _ = io.Copy(io.Discard, w.server)
	})
	<-read
	w.cancel()
	w.ends()
	wg.Wait()
}

func TestAnEndInTheSameSegmentIsSeen(t *testing.T) {
	for i := range 300 {
		w := newRelay(t, 0)
		_, _ = fmt.Fprint(w.client, "x")
		_ = w.client.CloseWrite()
		if got, err := io.ReadAll(w.server); string(got) != "x" || err != nil {
			t.Fatalf("%d: got %q, %v", i, got, err)
		}
		_ = w.server.Close()
		w.ends()
	}
}

func TestIdleEndsASplicedRelay(t *testing.T) {
	w := spliced(t, 600*time.Millisecond) // within which a busy machine moves something
	if _, err := w.client.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("an idle one gives %v; want a reset", err)
	}
	w.ends()
}

// A relay that moves a byte now and then is kept, and one that does not is ended
// at most a quarter of its limit late. The time is a false one: on a busy machine
// a byte takes longer than any short limit from who sends it to who reads it.
func TestIdleDoesNotEndABusyRelay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := prepared(&relay{idle: time.Minute})
		over := func() bool { return r.turn.Untaken()&aborted != 0 }
		waited := make(chan error)
		go func() { waited <- r.wait() }()
		for i := range 12 {
			<-time.After(r.idle - time.Second)
			if i%2 == 0 {
				r.up.moved.Add(1)
			} else {
				r.down.moved.Add(1)
			}
		}
		<-time.After(r.idle - time.Second)
		if over() {
			t.Error("a busy relay was ended")
		}
		<-time.After(r.idle/4 + time.Second)
		synctest.Wait()
		if !over() {
			t.Error("an idle relay goes on")
		}
		r.ended <- nil // as its directions do
		<-waited
	})
}

func TestWithoutAPipeItIsCopied(t *testing.T) {
	w := newRelay(t, 0)
	transfer(t, w.server, w.client, 0, 1) // it has taken the connections over
	before := pipes(t)
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	// No descriptor is free any more.
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &syscall.Rlimit{Cur: 1, Max: limit.Max}); err != nil {
		t.Fatal(err)
	}
	transfer(t, w.server, w.client, 1, 5*longTransfer)
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	if pipes(t) != before {
		t.Error("there was a pipe after all")
	}
	transfer(t, w.server, w.client, 2, 2*longTransfer)
	if pipes(t) != before+2 {
		t.Error("it is not tried again")
	}
}

// What an endpoint sent before it broke off must not look whole: the reset is
// told to who sends to it, and to who receives it looks like an end.
func TestAResetToldToWhoSendsIsNoEnd(t *testing.T) {
	in, client := pair(t)
	out, server := pair(t)
	_, _ = io.WriteString(server, "part")
	Reset(server)
	r := prepared(&relay{client: in, server: out, fromClient: []byte("more"), poller: &poll.Poller{}, running: &sync.WaitGroup{}, pieces: &pieces{}})
	if err := r.poller.Start(r.running, nil); err != nil {
		t.Fatal(err)
	}
	defer r.running.Wait()
	defer r.poller.Stop()
	r.run(t.Context())
	if got, err := io.ReadAll(client); string(got) != "part" || !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("the client gets %q, %v; want a reset behind the part", got, err)
	}
}

// A read stops at a byte out of band, which is not passed on; what is behind it is.
func TestWhatIsBehindAByteOutOfBandArrives(t *testing.T) {
	for _, start := range []func(*testing.T) *relayed{
		func(t *testing.T) *relayed { return newRelay(t, 0) },
		func(t *testing.T) *relayed { return spliced(t, 0) },
	} {
		w := start(t)
		raw, err := w.client.SyscallConn()
		if err != nil {
			t.Fatal(err)
		}
		for range 50 {
			_ = raw.Control(func(fd uintptr) {
				_ = syscall.Sendto(int(fd), []byte("ab!"), syscall.MSG_OOB, nil)
				_, _ = syscall.Write(int(fd), []byte("cd"))
			})
			got := make([]byte, 4)
			_ = w.server.SetReadDeadline(time.Now().Add(5 * time.Second))
			if _, err := io.ReadFull(w.server, got); string(got) != "abcd" {
				t.Fatalf("got %q, %v", got, err)
			}
		}
	}
}

// So does what is between it and the end of the stream, though a splice stops at
// the byte as it stops at the end.
func TestWhatIsBetweenAByteOutOfBandAndTheEndArrives(t *testing.T) {
	for range 30 {
		w := spliced(t, 0)
		raw, err := w.client.SyscallConn()
		if err != nil {
			t.Fatal(err)
		}
		_ = raw.Control(func(fd uintptr) {
			_ = syscall.Sendto(int(fd), []byte("ab!"), syscall.MSG_OOB, nil)
			_, _ = syscall.Write(int(fd), []byte("cd"))
			_ = syscall.Shutdown(int(fd), syscall.SHUT_WR)
		})
		if got, err := io.ReadAll(w.server); string(got) != "abcd" || err != nil {
			t.Fatalf("got %q, %v", got, err)
		}
		_ = w.server.Close()
		w.ends()
	}
}

// A connection that is reset after its peer ended its stream has nothing more to
// be read of, and nothing is sent to it: the relay ends all the same.
func TestAResetBehindAHalfCloseEndsTheRelay(t *testing.T) {
	for _, by := range []string{"client", "server"} {
		w := newRelay(t, 0)
		near, far := w.client, w.server
		if by == "server" {
			near, far = far, near
		}
		_ = near.CloseWrite()
		if rest, err := io.ReadAll(far); len(rest) > 0 || err != nil {
			t.Fatal(rest, err)
		}
		Reset(near)
		w.ends()
	}
}
