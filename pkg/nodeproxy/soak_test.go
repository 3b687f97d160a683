package nodeproxy_test

import (
	"bufio"
	"bytes"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"sync"
	"testing"
	"testing/iotest"
	"time"

	"github.com/weft-mesh/weft/pkg/nodeproxy"
	"github.com/weft-mesh/weft/pkg/nodeproxy/l4"
	"github.com/weft-mesh/weft/pkg/nodeproxy/limits"
)

// TestSoak sends random bytes and requests in random pieces through TCP, HTTP/1.1
// and HTTP/2 at once. Clients leave at random moments. Whatever arrives is what
// was sent, and all of it where nobody left. WEFT_MUCH=1 makes it long.
func TestSoak(t *testing.T) {
	w := newWorld(t, nodeproxy.Config{Limits: limits.Limits{ConnectTimeout: 20 * time.Second}}) // the machine may be busy
	origin := backend(t, func(w http.ResponseWriter, r *http.Request) {
		var whole bytes.Buffer // of HTTP/1: an answer before it is whole ends the connection
		if r.ProtoMajor == 1 {
			_, _ = io.Copy(&whole, r.Body)
		}
		_, _ = io.Copy(w, io.MultiReader(&whole, r.Body))
	})
	calls := map[string]func(*soaker){w.service("tcp", "tcp", tcpBackend(t, echo)): (*soaker).stream}
	calls[w.service("http1", "http", origin)] = (*soaker).pipeline
	calls[w.service("http2", "h2c", origin)] = (*soaker).post
	w.publish()
	rounds := map[bool]int{false: 30, true: 1000}[os.Getenv("WEFT_MUCH") != ""]
	var running sync.WaitGroup
	for at, call := range calls {
		for seed := range uint64(8) {
			s := &soaker{t, rand.New(rand.NewPCG(seed, 0)), at, client(t, true)}
			s.client.Timeout = 2 * time.Minute // for all the pieces of a body, on a busy machine
			running.Go(func() {
				for range rounds {
					call(s)
				}
			})
		}
	}
	running.Wait()
	w.drain(10 * time.Second)
}

const ends, breaksOff = 2, 3 // what a caller's connection does when all is said; less is nothing

// soaker is one caller.
type soaker struct {
	*testing.T
	*rand.Rand
	at     string
	client *http.Client
}

// bytes returns random bytes: few, some or many.
func (s *soaker) bytes() []byte {
	b := make([]byte, s.IntN(1<<(4+s.IntN(18))))
	_, _ = rand.NewChaCha8([32]byte{byte(s.Uint32())}).Read(b)
	return b
}

// cut returns bytes in pieces of random sizes.
func (s *soaker) cut(b []byte) io.Reader {
	var pieces []io.Reader
	for n := 0; len(b) > 0; b = b[n:] {
		n = min(len(b), 1+s.IntN(1<<s.IntN(19)))
		pieces = append(pieces, bytes.NewReader(b[:n]))
	}
	return io.MultiReader(pieces...)
}

// check compares what came with what was to come; left tells that it may be cut.
func (s *soaker) check(got, want []byte, left bool, err error) {
	if !bytes.HasPrefix(want, got) || !left && (err != nil || len(got) < len(want)) {
		s.Errorf("%s: %d bytes of %d came; %v", s.at, len(got), len(want), err)
	}
}

// talk sends bytes over a connection of its own, and reads meanwhile.
func (s *soaker) talk(b []byte, fate int, read func(io.Reader)) {
	c, pieces := dial(s.T, s.at), s.cut(b)
	var saying sync.WaitGroup
	saying.Go(func() {
		_, _ = io.Copy(struct{ io.Writer }{c}, pieces)
		if fate == ends {
			_ = c.CloseWrite()
		} else if fate == breaksOff {
			l4.Reset(c)
		}
	})
	read(c)
	_ = c.Close()
	saying.Wait()
}

// stream has a TCP stream come back.
func (s *soaker) stream() {
	b, fate := s.bytes(), max(ends, s.IntN(4))
	s.talk(b, fate, func(c io.Reader) {
		got, err := io.ReadAll(c)
		s.check(got, b, fate == breaksOff, err)
	})
}

// pipeline has the bodies of a few requests come back that are sent at once.
func (s *soaker) pipeline() {
	var raw bytes.Buffer
	bodies, fate := make([][]byte, 1+s.IntN(4)), s.IntN(4)
	for i := range bodies {
		bodies[i] = s.bytes()
		q, _ := http.NewRequest(http.MethodPost, "http://"+s.at, s.cut(bodies[i]))
		q.ContentLength = []int64{-1, int64(len(bodies[i]))}[s.IntN(2)]
		_ = q.Write(&raw)
	}
	// A client that ends its stream may be taken for one that leaves.
	s.talk(raw.Bytes(), fate, func(c io.Reader) {
		in := bufio.NewReader(c)
		for _, b := range bodies {
			got, err := answer(http.ReadResponse(in, nil))
			s.check(got, b, fate >= ends, err)
		}
	})
}

// answer reads the body of an answer.
func answer(res *http.Response, err error) ([]byte, error) {
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	return io.ReadAll(res.Body)
}

// post has a body come back by HTTP/2.
func (s *soaker) post() {
	b, left := s.bytes(), s.IntN(4) == 0
	q, _ := http.NewRequest(http.MethodPost, "http://"+s.at, s.cut(b))
	if left {
		q.Body = io.NopCloser(io.MultiReader(io.LimitReader(q.Body, s.Int64N(int64(len(b)+1))), iotest.ErrReader(io.ErrUnexpectedEOF)))
	}
	got, err := answer(s.client.Do(q))
	s.check(got, b, left, err)
}
