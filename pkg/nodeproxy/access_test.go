package nodeproxy_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/weft-mesh/weft/pkg/mesh"
	"github.com/weft-mesh/weft/pkg/nodeproxy"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

// The pods of a guarded world by their addresses; each is of the ServiceAccount
// of its name. The endpoints are all at 127.0.0.1.
const (
	webPod, otherPod, stranger = "127.0.0.2", "127.0.0.3", "127.0.0.9"
)

// newGuarded is a world in which the mode holds and web may call orders.
func newGuarded(t *testing.T, mode mesh.AccessMode) *world {
	return newWorld(t, nodeproxy.Config{}).guard(mode)
}

func (w *world) guard(mode mesh.AccessMode) *world {
	w.Access.Mode = mode
	for name, ip := range map[string]string{"orders": "127.0.0.1", "web": webPod, "other": otherPod} {
		w.Pods[shop(name)] = mesh.PodInput{IPs: []netip.Addr{netip.MustParseAddr(ip)}, ServiceAccount: name, OwnerKind: "Deployment", OwnerName: name}
	}
	delete(w.Pods, shop("caller-1"))
	w.allow("TCPRoute", "UDPRoute")
	w.TCPRoutes[shop("all")] = mesh.PortRouteInput{Ref: mesh.Ref{Kind: "TCPRoute", Namespace: "shop", Name: "all"}}
	w.UDPRoutes[shop("all")] = mesh.PortRouteInput{Ref: mesh.Ref{Kind: "UDPRoute", Namespace: "shop", Name: "all"}}
	w.RouteGroups[shop("all")] = mesh.RouteGroupInput{Ref: mesh.Ref{Kind: "HTTPRouteGroup", Namespace: "shop", Name: "all"}, Matches: []mesh.RequestMatch{{Name: "any"}}}
	return w
}

// allow lets web call orders by rules of these kinds; none revokes it.
func (w *world) allow(kinds ...string) {
	target := mesh.TargetInput{
		Ref:         mesh.Ref{Kind: "TrafficTarget", Namespace: "shop", Name: "web"},
		Destination: mesh.Subject{Kind: "ServiceAccount", Name: "orders"},
		Sources:     []mesh.Subject{{Kind: "ServiceAccount", Namespace: "shop", Name: "web"}},
	}
	for _, kind := range kinds {
		target.Rules = append(target.Rules, mesh.TargetRule{Kind: kind, Name: "all"})
	}
	w.Targets[shop("web")] = target
}

// dialer dials from a pod's address.
func dialer(pod, network string) *net.Dialer {
	ip := net.ParseIP(pod)
	if network == "udp" {
		return &net.Dialer{LocalAddr: &net.UDPAddr{IP: ip}, Timeout: 10 * time.Second}
	}
	return &net.Dialer{LocalAddr: &net.TCPAddr{IP: ip}, Timeout: 10 * time.Second}
}

func dialFrom(t *testing.T, pod, network, at string) net.Conn {
	t.Helper()
	c, err := dialer(pod, network).Dial(network, at)
	if errors.Is(err, syscall.ECONNRESET) {
		c, err = wasReset(t) // refused so soon that connecting had not ended
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	_ = c.SetDeadline(time.Now().Add(20 * time.Second))
	return c
}

func clientFrom(t *testing.T, pod string, http2 bool) *http.Client {
	c := client(t, http2)
	c.Transport.(*http.Transport).DialContext = dialer(pod, "tcp").DialContext
	return c
}

func grpcFrom(t *testing.T, pod, at string) grpc.ClientStream {
	t.Helper()
	dial := func(ctx context.Context, at string) (net.Conn, error) {
		return dialer(pod, "tcp").DialContext(ctx, "tcp", at)
	}
	c, err := grpc.NewClient("passthrough:///"+at, grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithContextDialer(dial))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	t.Cleanup(cancel)
	s, err := c.NewStream(ctx, &grpc.StreamDesc{ClientStreams: true, ServerStreams: true}, "/any.Service/Method")
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// echoes tells whether a connection says back what it hears.
func echoes(c net.Conn) bool {
	if _, err := c.Write([]byte("hello")); err != nil {
		return false
	}
	_, err := io.ReadFull(c, make([]byte, 5))
	return err == nil
}

func TestAccessIsEnforcedOnEachProtocol(t *testing.T) {
	for _, mode := range []mesh.AccessMode{mesh.AccessOff, mesh.AccessAudit, mesh.AccessEnforce} {
		t.Run(mode.String(), func(t *testing.T) {
			w := newGuarded(t, mode)
			hello := backend(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "hello") })
			h1, h2 := w.service("h1", "http", hello), w.service("h2", "", hello)
			mixed := w.service("mixed", "h2c", hello)
			grpcAt := w.service("grpc", "grpc", grpcEcho(t))
			tcp := w.service("tcp", "tcp", tcpBackend(t, echo))
			udp := w.transport(mesh.UDP, "udp", "", udpBackend(t, same))
			w.publish()
			for _, pod := range []string{webPod, otherPod, stranger} {
				passes := pod == webPod || mode != mesh.AccessEnforce
				for at, http2 := range map[string]bool{h1: false, h2: true, mixed: false} {
					res, body := get(t, clientFrom(t, pod, http2), "http://"+at)
					if passes != (res.StatusCode == 200) || !passes && (res.StatusCode != 403 || res.Header.Get("Weft-Reason") != "access-denied") {
						t.Errorf("%s, HTTP/2 %v: %s %s", pod, http2, res.Status, body)
					}
				}
				s := grpcFrom(t, pod, grpcAt)
				_ = s.CloseSend()
				if err := s.RecvMsg(&wrapperspb.BytesValue{}); passes != errors.Is(err, io.EOF) || !passes && status.Code(err) != codes.PermissionDenied {
					t.Errorf("%s: gRPC says %v", pod, err)
				}
				if got := echoes(dialFrom(t, pod, "tcp", tcp)); got != passes {
					t.Errorf("%s: TCP echoes %v", pod, got)
				}
				c := dialFrom(t, pod, "udp", udp)
				if passes {
					exchange(t, c, []byte("hello"))
				} else if _, err := c.Write([]byte("hello")); err != nil || silent(c) != nil {
					t.Errorf("%s: UDP answers", pod)
				}
			}
			want := 6.0 // for each of other and stranger
			if mode == mesh.AccessOff {
				want = 0
			}
			for reason, source := range map[string]string{"not-allowed": "other", "unknown-source": "unknown"} {
				labels := map[string]string{"mode": mode.String(), "reason": reason, "source_workload": source, "destination_service_account": "orders"}
				// A datagram of somebody unknown is judged once it was waited for news of him.
				eventually(t, fmt.Sprintf("%v calls are counted as %s", want, reason), func() bool {
					return w.count("weft_access_denied_total", labels) >= want
				})
				if got := w.count("weft_access_denied_total", labels); got != want {
					t.Errorf("%v calls were counted as %s; want %v", got, reason, want)
				}
			}
		})
	}
}

// silent is nil where nothing comes for a moment.
func silent(c net.Conn) error {
	_ = c.SetReadDeadline(time.Now().Add(100 * time.Millisecond))
	if n, err := c.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
		return fmt.Errorf("%d bytes, %w", n, err)
	}
	return nil
}

// lives are calls on their way, by what they are; each tells its end.
type lives map[string]chan error

func (l lives) add(what string, f func() error) {
	done := make(chan error, 1)
	l[what] = done
	go func() { done <- f() }()
}

// ask makes a request that is answered by a refusal only.
func ask(c *http.Client, at string) error {
	res, err := c.Get("http://" + at + "/slow")
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if reason := res.Header.Get("Weft-Reason"); reason != "" {
		return errors.New(reason)
	}
	return nil
}

// stuck answers no request, but takes WebSockets.
func stuck(t *testing.T, began chan<- struct{}) string {
	return backend(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/ws" {
			if c, err := websocket.Accept(w, r, &websocket.AcceptOptions{InsecureSkipVerify: true}); err == nil {
				_, _, _ = c.Read(r.Context())
			}
			return
		}
		began <- struct{}{}
		<-r.Context().Done()
	})
}

func TestRevokedAccessEndsWhatIsLive(t *testing.T) {
	w := newGuarded(t, mesh.AccessEnforce)
	w.allow("HTTPRouteGroup")
	began := make(chan struct{}, 3)
	slow := stuck(t, began)
	h1, h2 := w.service("h1", "http", slow), w.service("h2", "", slow)
	mixed := w.service("mixed", "h2c", slow)
	grpcAt := w.service("grpc", "grpc", grpcEcho(t))
	w.publish()

	live := lives{}
	c1, c2, c3 := clientFrom(t, webPod, false), clientFrom(t, webPod, true), clientFrom(t, webPod, false)
	live.add("HTTP/1", func() error { return ask(c1, h1) })
	live.add("HTTP/2", func() error { return ask(c2, h2) })
	live.add("HTTP/1 to HTTP/2", func() error { return ask(c3, mixed) })
	for range 3 {
		<-began
	}
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	socket, _, err := websocket.Dial(ctx, "ws://"+h1+"/ws", &websocket.DialOptions{HTTPClient: clientFrom(t, webPod, false)})
	if err != nil {
		t.Fatal(err)
	}
	live.add("WebSocket", func() error { _, _, err := socket.Read(ctx); return err })
	stream := grpcFrom(t, webPod, grpcAt)
	if err := errors.Join(stream.SendMsg(&wrapperspb.BytesValue{}), stream.RecvMsg(&wrapperspb.BytesValue{})); err != nil {
		t.Fatal(err)
	}
	live.add("gRPC", func() error { return stream.RecvMsg(&wrapperspb.BytesValue{}) })
	w.allow()
	revoked := time.Now()
	w.publish()
	for what, done := range live {
		select {
		case err := <-done:
			if took := time.Since(revoked); err == nil || took > time.Second {
				t.Errorf("%s ended after %v with %v", what, took, err)
			}
		case <-time.After(10 * time.Second):
			t.Errorf("%s goes on", what)
		}
	}
}

// A request that waits to be tried again is at no endpoint when access is revoked.
func TestRevokedAccessEndsWhatWaitsForARetry(t *testing.T) {
	each(t, policyVersions, revokedWhileItWaits)
}

func revokedWhileItWaits(t *testing.T, http2 bool) {
	w := newGuarded(t, mesh.AccessEnforce)
	w.allow("HTTPRouteGroup")
	var met atomic.Int64
	endpoint := says(t, http.StatusServiceUnavailable, &met)
	at := w.service("orders", "", endpoint)
	w.annotate("orders", "retry-attempts", "2", "retry-on", "503", "retry-backoff", "4s", "retry-budget-min", "100")
	w.publish()
	answer := make(chan string, 1)
	go func() {
		res, err := clientFrom(t, webPod, http2).Get("http://" + at)
		if err != nil {
			answer <- err.Error()
			return
		}
		_ = res.Body.Close()
		answer <- res.Header.Get("Weft-Reason")
	}()
	eventually(t, "the first try is over", func() bool {
		states := w.proxy.States([]netip.AddrPort{netip.MustParseAddrPort(endpoint)})
		return met.Load() == 1 && len(states) == 1 && states[0].Load == 0
	})
	w.allow()
	w.publish()
	if got := <-answer; got != "access-denied" || met.Load() != 1 {
		t.Errorf("%q after the endpoint was asked %d times; want access-denied after one", got, met.Load())
	}
}

// A request that is refused once its body has come leaves nothing behind at the
// endpoint that was chosen for it.
func TestRevokedAccessLeavesNoLoad(t *testing.T) {
	w := newGuarded(t, mesh.AccessEnforce)
	w.allow("HTTPRouteGroup")
	var met atomic.Int64
	endpoint := says(t, http.StatusOK, &met)
	at := w.service("orders", "http", endpoint)
	w.publish()
	c := dialFrom(t, webPod, "tcp", at)
	answers := bufio.NewReader(c)
	say := func(text string, status int) {
		_, _ = io.WriteString(c, text)
		res, err := http.ReadResponse(answers, nil)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, res.Body)
		if res.StatusCode != status || res.Close {
			t.Fatalf("got %s, close %v; want %d", res.Status, res.Close, status)
		}
	}
	say("POST / HTTP/1.1\r\nHost: orders\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\n", http.StatusContinue)
	w.allow()
	w.publish()
	say("x", http.StatusForbidden)
	say("GET / HTTP/1.1\r\nHost: orders\r\n\r\n", http.StatusForbidden)
	if state := w.proxy.States([]netip.AddrPort{netip.MustParseAddrPort(endpoint)})[0]; state.Load != 0 || met.Load() != 0 {
		t.Errorf("%+v, met %d times", state, met.Load())
	}
}

func TestRevokedAccessEndsRelaysAndSessions(t *testing.T) {
	w := newGuarded(t, mesh.AccessEnforce)
	tcp := w.service("tcp", "tcp", tcpBackend(t, echo))
	udp := w.transport(mesh.UDP, "udp", "", udpBackend(t, same))
	w.publish()
	c, u := dialFrom(t, webPod, "tcp", tcp), dialFrom(t, webPod, "udp", udp)
	if !echoes(c) || !echoes(u) {
		t.Fatal("no echo while allowed")
	}
	delete(w.Pods, shop("web")) // its address is nobody's now
	revoked := time.Now()
	w.publish()
	if _, err := c.Read(make([]byte, 1)); err == nil || time.Since(revoked) > time.Second {
		t.Errorf("the relay ended after %v with %v", time.Since(revoked), err)
	}
	eventually(t, "the session ends", func() bool { return w.count("weft_udp_sessions", nil) == 0 })
	if _, err := u.Write([]byte("x")); err != nil || silent(u) != nil {
		t.Error("UDP goes on")
	}
}

// A match that is written anew in the same words lets go on what it let begin;
// one that is gone does not.
func TestRulesThatStayEndNothing(t *testing.T) {
	w := newGuarded(t, mesh.AccessEnforce)
	w.allow("HTTPRouteGroup")
	began, end := make(chan struct{}), make(chan struct{})
	at := w.service("orders", "http", backend(t, func(w http.ResponseWriter, r *http.Request) {
		began <- struct{}{}
		select {
		case <-end:
		case <-r.Context().Done():
		}
		_, _ = io.WriteString(w, "done")
	}))
	group := func(matches ...mesh.RequestMatch) {
		w.RouteGroups[shop("all")] = mesh.RouteGroupInput{Ref: w.RouteGroups[shop("all")].Ref, Matches: matches}
		w.publish()
	}
	stays := func() mesh.RequestMatch {
		return mesh.RequestMatch{Name: "stays", Path: "/st.y", Methods: []string{"GET"}, Headers: []mesh.HeaderMatch{{Name: "user-agent", Value: "Go.*"}}}
	}
	group(stays(), mesh.RequestMatch{Name: "goes", Path: "/g.es"})
	ask := func(path string) <-chan string {
		answer := make(chan string, 1)
		go func() {
			res, err := clientFrom(t, webPod, false).Get("http://" + at + path)
			if err != nil {
				answer <- err.Error()
				return
			}
			defer res.Body.Close()
			body, _ := io.ReadAll(res.Body)
			answer <- string(body)
		}()
		<-began
		return answer
	}
	stayed, gone := ask("/stay"), ask("/goes")
	group(mesh.RequestMatch{Name: "new", Path: "/n[a-z]w"}, stays())
	if body := <-gone; body == "done" {
		t.Error("what no match allows any more went on")
	}
	close(end)
	if body := <-stayed; body != "done" {
		t.Errorf("what is still allowed ended: %s", body)
	}
}

func TestACallerThatNobodyKnowsWaitsForTheWatch(t *testing.T) {
	w := newGuarded(t, mesh.AccessEnforce)
	at := w.service("orders", "http", backend(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "hello") }))
	web := w.Pods[shop("web")]
	delete(w.Pods, shop("web"))
	w.publish()
	c := dialFrom(t, webPod, "tcp", at)
	if _, err := io.WriteString(c, "GET / HTTP/1.1\r\nHost: orders\r\nConnection: close\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	w.Pods[shop("web")] = web
	w.publish()
	answer, err := io.ReadAll(c)
	if err != nil || !strings.HasPrefix(string(answer), "HTTP/1.1 200") {
		t.Errorf("%s, %v", answer, err)
	}
	began := time.Now()
	if res, _ := get(t, clientFrom(t, stranger, false), "http://"+at); res.StatusCode != 403 || time.Since(began) < 100*time.Millisecond {
		t.Errorf("a stranger got %s after %v", res.Status, time.Since(began))
	}
	began = time.Now()
	if res, _ := get(t, clientFrom(t, otherPod, false), "http://"+at); res.StatusCode != 403 || time.Since(began) > 90*time.Millisecond {
		t.Errorf("a pod that may not call got %s after %v", res.Status, time.Since(began))
	}
}

func TestADatagramOfACallerThatNobodyKnowsWaitsForTheWatch(t *testing.T) {
	w := newGuarded(t, mesh.AccessEnforce)
	at := w.transport(mesh.UDP, "udp", "", udpBackend(t, same))
	web := w.Pods[shop("web")]
	delete(w.Pods, shop("web"))
	w.publish()
	u := dialFrom(t, webPod, "udp", at)
	if _, err := u.Write([]byte("hello")); err != nil {
		t.Fatal(err)
	}
	w.Pods[shop("web")] = web
	w.publish()
	if _, err := io.ReadFull(u, make([]byte, 5)); err != nil {
		t.Errorf("its first datagram was lost: %v", err)
	}
	refused := func() float64 { return w.count("weft_refusals_total", map[string]string{"reason": "access-denied"}) }
	before, began := refused(), time.Now()
	if _, err := dialFrom(t, stranger, "udp", at).Write([]byte("hello")); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the stranger's datagram is dropped", func() bool { return refused() == before+1 })
	if took := time.Since(began); took < 100*time.Millisecond {
		t.Errorf("it was dropped after %v", took)
	}
}

func TestASilentClientThatMayOnlyMakeRequests(t *testing.T) {
	w := newGuarded(t, mesh.AccessEnforce)
	w.allow("HTTPRouteGroup")
	at := w.service("orders", "", backend(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "hello") }))
	w.publish()
	c := dialFrom(t, webPod, "tcp", at)
	if err := silent(c); err != nil { // for as long as detection waits
		t.Fatal(err)
	}
	if err := silent(c); err != nil {
		t.Fatal(err)
	}
	_ = c.SetDeadline(time.Now().Add(10 * time.Second))
	if _, err := io.WriteString(c, "GET / HTTP/1.1\r\nHost: orders\r\nConnection: close\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	if answer, err := io.ReadAll(c); err != nil || !strings.HasPrefix(string(answer), "HTTP/1.1 200") {
		t.Errorf("%s, %v", answer, err)
	}
	opaque := dialFrom(t, webPod, "tcp", at)
	if echoes(opaque) {
		t.Error("bytes that are no request went through")
	}
}
