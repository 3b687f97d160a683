package explain

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"os"
	"slices"
	"sync"
	"testing"

	"github.com/weft-mesh/weft/pkg/admin"
	"github.com/weft-mesh/weft/pkg/control"
	"github.com/weft-mesh/weft/pkg/mesh"
	"github.com/weft-mesh/weft/pkg/node"
)

const (
	meshes       = 200
	callsOfEach  = 50
	callsAtATime = 8
)

// feed is a source of whole meshes.
type feed chan *mesh.Inputs

// Run emits each in turn.
func (f feed) Run(ctx context.Context, emit func(mesh.Change)) error {
	synced := true
	for {
		select {
		case <-ctx.Done():
			return nil
		case in := <-f:
			emit(mesh.Change{Apply: func(to *mesh.Inputs) { *to = *in }, Synced: synced})
			synced = false
		}
	}
}

// data is a running data plane.
type data struct {
	*world
	admin     string
	feed      feed
	published chan uint64
}

// serve starts a data plane, and the pods behind it, which say who they are.
func serve(t *testing.T, w *world) *data {
	t.Helper()
	for i := range pods {
		pod := w.address(i + 1).String()
		server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Pod", pod) }))
		l, err := net.Listen("tcp", fmt.Sprint(pod, ":", podPort))
		if err != nil {
			t.Fatal(err)
		}
		_ = server.Listener.Close()
		server.Listener = l
		server.Start()
		t.Cleanup(server.Close)
	}
	d := &data{world: w, feed: make(feed), published: make(chan uint64, meshes)}
	n, err := node.New(node.Config{Source: d.feed, Published: func(s *control.Snapshot) { d.published <- s.Generation }})
	if err != nil {
		t.Fatal(err)
	}
	d.admin = n.AdminAddr().String()
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- n.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return d
}

// TestExplainAgreesWithTheDataPlane makes 10,000 calls in 200 meshes: each must
// end in one of the ways that explain had named.
func TestExplainAgreesWithTheDataPlane(t *testing.T) {
	seed := rand.Uint64()
	id := os.Getpid()
	d := serve(t, &world{Rand: rand.New(rand.NewPCG(seed, 0)), base: [3]byte{127, byte(20 + id>>8%64), byte(id)}})
	ends := map[string]int{}
	var mu sync.Mutex // guards ends
	for range meshes {
		d.feed <- d.inputs()
		<-d.published
		calls := make(chan call)
		var callers sync.WaitGroup
		for range callsAtATime {
			callers.Go(func() {
				for c := range calls {
					end := d.check(t, c)
					mu.Lock()
					ends[end]++
					mu.Unlock()
				}
			})
		}
		for range callsOfEach {
			calls <- d.call()
		}
		close(calls)
		callers.Wait()
		if t.Failed() {
			t.Fatalf("the meshes of seed %d", seed)
		}
	}
	t.Logf("calls by their end: %v", ends)
	for _, end := range []string{"served", "access-denied", "no-endpoints", "no-backend", "path-ambiguous"} {
		if ends[end] < meshes*callsOfEach/1000 {
			t.Errorf("only %d calls ended in %s: the meshes do not show it", ends[end], end)
		}
	}
}

// check compares one call with its explanation and tells how it ended.
func (d *data) check(t *testing.T, c call) string {
	said, err := d.explain(c)
	if err != nil {
		t.Errorf("%+v: %v", c, err)
		return ""
	}
	response, err := d.do(c)
	if err != nil {
		t.Errorf("%+v: %v", c, err)
		return ""
	}
	reason, pod := response.Header.Get("Weft-Reason"), response.Header.Get("Pod")
	for _, o := range said.Outcomes {
		switch {
		case string(o.Reason) != reason:
		case reason != "" && o.Reason.Status() == response.StatusCode:
			return reason
		case reason == "" && slices.ContainsFunc(o.Endpoints, func(e netip.AddrPort) bool { return e.Addr().String() == pod }):
			return "served"
		}
	}
	text, _ := json.MarshalIndent(said, "", " ")
	t.Errorf("%+v: %d %q %q; explain said\n%s", c, response.StatusCode, reason, pod, text)
	return ""
}

// explain asks what would become of a call.
func (d *data) explain(c call) (said admin.Explained, err error) {
	q := url.Values{"from": {d.address(c.from).String()}, "to": {c.to.String()}, "method": {c.method}, "path": {c.path}, "host": {"any"}}
	if c.x != "" {
		q.Set("header", "X: "+c.x)
	}
	response, err := http.Get("http://" + d.admin + "/api/explain?" + q.Encode())
	if err != nil {
		return said, err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(response.Body)
		return said, fmt.Errorf("explain: %d %s", response.StatusCode, text)
	}
	return said, json.NewDecoder(response.Body).Decode(&said)
}

// do makes a call, byte for byte.
func (d *data) do(c call) (*http.Response, error) {
	last := firstMesh + slices.Index([]string{"a", "b", "c"}, c.to.Name)
	if c.to.Namespace == namespace(1) {
		last += 3
	}
	dialer := net.Dialer{LocalAddr: &net.TCPAddr{IP: d.address(c.from).AsSlice()}}
	conn, err := dialer.Dial("tcp", netip.AddrPortFrom(d.address(last), meshPort).String())
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	x := ""
	if c.x != "" {
		x = "X: " + c.x + "\r\n"
	}
	if _, err := fmt.Fprintf(conn, "%s %s HTTP/1.1\r\nHost: any\r\n%sContent-Length: 0\r\n\r\n", c.method, c.path, x); err != nil {
		return nil, err
	}
	response, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		return nil, err
	}
	return response, response.Body.Close()
}
