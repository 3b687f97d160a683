package tlsrelay_test

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/weft-mesh/weft/internal/pki"
	"github.com/weft-mesh/weft/internal/tcppair"
	"github.com/weft-mesh/weft/pkg/nodeproxy/tlsrelay"
	"go.uber.org/goleak"
)

// ends are both ends of a relayed connection: the near socket, and the
// endpoint's TLS and TCP.
type ends struct {
	*testing.T
	near  *net.UnixConn
	relay *tlsrelay.Relay
	far   *tls.Conn
	tcp   *net.TCPConn
	ended chan struct{}
}

// relayed opens a connection whose Relay ends with the test, or fails it.
func relayed(t *testing.T) *ends {
	t.Helper()
	before := goleak.IgnoreCurrent()
	t.Cleanup(func() { goleak.VerifyNone(t, before) })
	ca, err := pki.New("a CA")
	if err != nil {
		t.Fatal(err)
	}
	certificate, err := ca.Issue("orders", "orders")
	if err != nil {
		t.Fatal(err)
	}
	client, server := tcppair.New(t)
	e := &ends{T: t, tcp: server, ended: make(chan struct{})}
	e.far = tls.Server(server, &tls.Config{Certificates: []tls.Certificate{*certificate}})
	var shaking sync.WaitGroup
	shaking.Go(func() { err = e.far.Handshake() })
	relay, mine := tlsrelay.Handshake(t.Context(), client, &tls.Config{RootCAs: ca.Pool(), ServerName: "orders"})
	shaking.Wait()
	if err := errors.Join(err, mine); err != nil {
		t.Fatal(err)
	}
	near, err := relay.Near()
	if err != nil {
		t.Fatal(err)
	}
	e.near, e.relay = near, relay
	go func() {
		defer close(e.ended)
		relay.Run()
	}()
	deadline := time.Now().Add(20 * time.Second)
	_, _ = near.SetDeadline(deadline), server.SetDeadline(deadline)
	t.Cleanup(func() {
		e.leave()
		_ = server.Close()
		e.ends()
	})
	return e
}

// leave closes the near socket as an engine does.
func (e *ends) leave() {
	_ = e.near.Close()
	e.relay.Close()
}

// ends waits for the Relay to end.
func (e *ends) ends() {
	e.Helper()
	select {
	case <-e.ended:
	case <-time.After(10 * time.Second):
		e.Error("the relay still runs")
	}
}

// reads wants to read so much and then the end.
func (e *ends) reads(from io.Reader, want string) {
	e.Helper()
	if got, err := io.ReadAll(from); err != nil || string(got) != want {
		e.Errorf("got %q, %v; want %q and the end", got, err, want)
	}
}

func TestBothWaysAndHalfCloses(t *testing.T) {
	e := relayed(t)
	large := make([]byte, 1<<20)
	_, _ = rand.Read(large)
	var writing sync.WaitGroup
	writing.Go(func() {
		_, _ = e.near.Write(large)
		_ = e.near.CloseWrite()
	})
	e.reads(e.far, string(large))
	writing.Wait()
	if _, err := io.WriteString(e.far, "answer"); err != nil {
		t.Error(err)
	}
	_ = e.far.Close()
	e.reads(e.near, "answer")
	if err := e.relay.End(); err != io.EOF {
		t.Errorf("the end is %v; want it said", err)
	}
	e.ends()
}

// What is written last before a close arrives, with TLS's goodbye.
func TestTheLastWordsArrive(t *testing.T) {
	e := relayed(t)
	_, _ = io.WriteString(e.near, "bye")
	e.leave()
	e.reads(e.far, "bye")
	e.ends()
}

// A near socket that is closed ends the relay, whatever the endpoint does.
func TestAnEndpointThatDoesNothing(t *testing.T) {
	for _, test := range []struct {
		name   string
		before func(*ends)
	}{
		{"idle", func(*ends) {}},
		{"half-closed", func(e *ends) { _ = e.near.CloseWrite(); e.reads(e.far, "") }},
		{"does not read", func(e *ends) {
			_ = e.near.SetWriteDeadline(time.Now().Add(100 * time.Millisecond))
			for err := error(nil); err == nil; {
				_, err = e.near.Write(make([]byte, 1<<20))
			}
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			e := relayed(t)
			test.before(e)
			e.leave()
			e.ends()
		})
	}
}

// Once the endpoint has ended, nothing more goes to it, and that can be proved.
func TestNothingGoesOnAfterTheEnd(t *testing.T) {
	e := relayed(t)
	_, _ = io.WriteString(e.near, "one")
	if _, err := io.ReadFull(e.far, make([]byte, 3)); err != nil {
		t.Fatal(err)
	}
	forwarded := e.relay.Forwarded()
	if forwarded != 3 || e.relay.Refused(forwarded) {
		t.Errorf("%d bytes went on, refused: %v; want 3 of an open connection", forwarded, e.relay.Refused(forwarded))
	}
	_ = e.far.Close()
	e.reads(e.near, "")
	if !e.relay.Refused(forwarded) || e.relay.Refused(2) {
		t.Error("what comes after the end is not known as refused, or what came before is")
	}
	if _, err := io.WriteString(e.near, "two"); !errors.Is(err, syscall.EPIPE) {
		t.Errorf("writing after the end: %v; want a broken pipe", err)
	}
}

// A stream that is cut does not end as one that has ended.
func TestATruncatedStream(t *testing.T) {
	e := relayed(t)
	_, _ = io.WriteString(e.far, "half an ans")
	_ = e.tcp.Close() // without close_notify
	e.reads(e.near, "half an ans")
	if err := e.relay.End(); err == io.EOF || err == nil {
		t.Errorf("the end is %v; want an error", err)
	}
}

func TestSilence(t *testing.T) {
	e := relayed(t)
	// TLS 1.3 tickets come after the handshake, and are read by the relay.
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for !e.relay.Silent() {
		<-tick.C
	}
	_ = e.far.Close()
	for e.relay.Silent() {
		<-tick.C
	}
}

func TestAHandshakeIsBounded(t *testing.T) {
	client, server := tcppair.New(t)
	defer server.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := tlsrelay.Handshake(ctx, client, &tls.Config{ServerName: "orders"}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v; want the deadline", err)
	}
	if _, err := client.Write(nil); !errors.Is(err, net.ErrClosed) {
		t.Errorf("the connection is still open: %v", err)
	}
}
