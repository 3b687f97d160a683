package http1_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/weft-mesh/weft/pkg/mesh"
	"github.com/weft-mesh/weft/pkg/nodeproxy/http1"
)

// sticky is a world of four endpoints that tell their names, where what X-User
// says keeps its endpoint.
func sticky(t *testing.T, policy mesh.Policy) *world {
	t.Helper()
	var endpoints []string
	for i := range 4 {
		endpoints = append(endpoints, newOrigin(t, func(c *net.TCPConn, in *bufio.Reader) {
			for {
				r, err := http.ReadRequest(in)
				if err != nil {
					return
				}
				_, _ = io.Copy(io.Discard, r.Body)
				_, _ = fmt.Fprintf(c, "HTTP/1.1 200 OK\r\nServer-Name: %d\r\nContent-Length: 0\r\n\r\n", i)
			}
		}).at)
	}
	w := newWorld(t, http1.Config{})
	m := w.mesh(endpoints...)
	policy.StickyHeader = "X-User"
	m.Services[0].Ports[0].Policy = &policy
	w.bind(m)
	return w
}

// expectOne makes requests and expects one endpoint to answer all of them. A
// body is sent when the proxy has read the head, and asked for it.
func expectOne(t *testing.T, w *world, head, body string) {
	t.Helper()
	c := w.dial()
	in, met := bufio.NewReader(c), map[string]int{}
	for range 12 {
		_, _ = io.WriteString(c, head)
		r, err := http.ReadResponse(in, nil)
		if err == nil && r.StatusCode == http.StatusContinue {
			_, _ = io.WriteString(c, body)
			r, err = http.ReadResponse(in, nil)
		}
		if err != nil {
			t.Fatal(err)
		}
		met[r.Header.Get("Server-Name")]++
	}
	if len(met) != 1 {
		t.Errorf("one user came to %v", met)
	}
}

// A request whose body comes behind its head goes where its head says: the body
// takes the memory that the head was read into.
func TestABodyThatComesLaterKeepsItsEndpoint(t *testing.T) {
	w := sticky(t, mesh.DefaultPolicy())
	const head = "POST / HTTP/1.1\r\nHost: h\r\nX-User: 7\r\nExpect: 100-continue\r\nContent-Length: 200\r\n\r\n"
	expectOne(t, w, head, strings.Repeat("b", 200))
}

func TestAHeaderThatIsRemovedStillSteers(t *testing.T) {
	policy := mesh.DefaultPolicy()
	policy.RequestHeadersRemove = []string{"X-User"}
	expectOne(t, sticky(t, policy), "GET / HTTP/1.1\r\nHost: h\r\nX-User: 7\r\n\r\n", "")
}
