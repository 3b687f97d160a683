package local

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/interop"
	testgrpc "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/status"
)

// guarded is a mesh with pods at loopback addresses of their own and a file of
// rules that each case writes anew.
//
// The Service orders is the pod orders of the account orders, and so are canary
// and beta; they have the ports web 80, grpc 81, tcp 82 and udp 83, which the pod
// serves on 8080 and on.
type guarded struct {
	*process
	pods  map[string]netip.Addr
	cases int
}

// accounts are the pods that call or serve, as namespace/account. The name of a
// pod is that of its account.
var accounts = []string{"shop/web", "shop/other", "batch/job", "shop/orders", "shop/canary", "shop/beta"}

func newGuarded(t *testing.T, mode string) *guarded {
	t.Helper()
	_, last := ownRange() // its addresses are the pods'
	g := &guarded{pods: map[string]netip.Addr{}}
	at, text := last.As4(), ""
	for i, name := range accounts {
		namespace, account, _ := strings.Cut(name, "/")
		at[3] = byte(i + 1)
		g.pods[account] = netip.AddrFrom4(at)
		text += pod(namespace, account, account, at)
	}
	at[3] = 200
	g.pods["stranger"] = netip.AddrFrom4(at)
	for _, name := range []string{"orders", "canary", "beta"} {
		g.serve(t, name)
		text += g.service(name)
	}
	g.process = start(t, map[string]string{"world.yaml": text, "rules.yaml": ""}, "--access.mode="+mode)
	return g
}

func pod(namespace, name, account string, at [4]byte, more ...string) string {
	return fmt.Sprintf(`---
{apiVersion: v1, kind: Pod, metadata: {namespace: %s, name: %s, labels: {app: %s}}, spec: {serviceAccountName: %s}, status: {phase: Running, podIP: %s%s}}
`, namespace, name, name, account, netip.AddrFrom4(at), strings.Join(more, ""))
}

// service is a Service of one pod.
func (g *guarded) service(name string) string {
	return fmt.Sprintf(`---
{apiVersion: v1, kind: Service, metadata: {namespace: shop, name: %[1]s}, spec: {type: ClusterIP, clusterIP: 10.96.0.7, ports: [
  {name: http-web, port: 80, targetPort: web}, {name: grpc, port: 81}, {name: tcp, port: 82}, {name: udp, port: 83, protocol: UDP}]}}
---
{apiVersion: discovery.k8s.io/v1, kind: EndpointSlice, metadata: {namespace: shop, name: %[1]s, labels: {kubernetes.io/service-name: %[1]s}}, addressType: IPv4,
 endpoints: [{addresses: [%[2]s], conditions: {ready: true}}],
 ports: [{name: http-web, port: 8080}, {name: grpc, port: 8081}, {name: tcp, port: 8082}, {name: udp, port: 8083, protocol: UDP}]}
`, name, g.pods[name])
}

// serve makes a pod answer with its name.
func (g *guarded) serve(t *testing.T, name string) {
	t.Helper()
	listen := func(port uint16) net.Listener {
		l, err := net.Listen("tcp", netip.AddrPortFrom(g.pods[name], port).String())
		if err != nil {
			t.Fatal(err)
		}
		return l
	}
	web := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, name) }))
	_ = web.Listener.Close()
	web.Listener = listen(8080)
	web.Config.Protocols = new(http.Protocols)
	web.Config.Protocols.SetHTTP1(true)
	web.Config.Protocols.SetUnencryptedHTTP2(true)
	web.Start()
	t.Cleanup(web.Close)
	server := grpc.NewServer()
	testgrpc.RegisterTestServiceServer(server, interop.NewTestServer())
	go func() { _ = server.Serve(listen(8081)) }()
	t.Cleanup(server.Stop)
	tcp := listen(8082)
	go func() {
		for c, err := tcp.Accept(); err == nil; c, err = tcp.Accept() {
			_, _ = io.WriteString(c, name)
			_ = c.Close()
		}
	}()
	t.Cleanup(func() { _ = tcp.Close() })
	udp, err := net.ListenPacket("udp", netip.AddrPortFrom(g.pods[name], 8083).String())
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		buffer := make([]byte, 16)
		for _, from, err := udp.ReadFrom(buffer); err == nil; _, from, err = udp.ReadFrom(buffer) {
			_, _ = udp.WriteTo([]byte(name), from)
		}
	}()
	t.Cleanup(func() { _ = udp.Close() })
}

// apply makes the rules what the text says, and waits until they are live.
func (g *guarded) apply(t *testing.T, text string) {
	t.Helper()
	g.cases++
	mark := fmt.Sprint("case-", g.cases)
	g.write("rules.yaml", text+fmt.Sprintf(`
---
{apiVersion: split.smi-spec.io/v1alpha2, kind: TrafficSplit, metadata: {namespace: shop, name: %s}, spec: {service: nothing, backends: [{service: nothing, weight: 1}]}}
`, mark))
	await(t, "the rules are live", func() bool { return slices.Contains(g.problems(), "TrafficSplit shop/"+mark+" RootNotFound") })
}

// found are the problems of the rules, without what apply needs.
func (g *guarded) found() []string {
	return slices.DeleteFunc(g.problems(), func(p string) bool { return strings.HasPrefix(p, "TrafficSplit shop/case-") })
}

// call makes a call and tells what came of it. It is written as
//
//	web GET /items x-user:anne      by HTTP/1.1 and h2c, which must agree
//	web grpc                        a unary call
//	web tcp, web udp
//
// and the answer is "200 orders", "403 access-denied", the name of a gRPC code,
// "orders" or "nothing".
func (g *guarded) call(t *testing.T, what string) string {
	t.Helper()
	fields := strings.Fields(what)
	from := g.pods[fields[0]]
	switch fields[1] {
	case "grpc":
		return g.grpc(t, from)
	case "tcp":
		return heard(g.dial(t, from, "tcp", "82"))
	case "udp":
		return heard(g.dial(t, from, "udp", "83"))
	}
	one := g.http1(t, from, fields[1:])
	if two := g.http2(t, from, fields[1:]); two != one {
		return fmt.Sprintf("HTTP/1.1: %s, HTTP/2: %s", one, two)
	}
	return one
}

// at is where a port of orders is.
func (g *guarded) at(port string) string {
	n, _ := strconv.Atoi(port)
	return g.address(fmt.Sprint("orders.shop.mesh:", n+offset))
}

func (g *guarded) dial(t *testing.T, from netip.Addr, network, port string) net.Conn {
	t.Helper()
	var local net.Addr = &net.TCPAddr{IP: from.AsSlice()}
	if network == "udp" {
		local = &net.UDPAddr{IP: from.AsSlice()}
	}
	c, err := (&net.Dialer{LocalAddr: local, Timeout: patience}).Dial(network, g.at(port))
	if errors.Is(err, syscall.ECONNRESET) {
		return nil // refused so soon that connecting has not ended yet
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// heard is what a server says first; over UDP, which answers only, within a moment.
func heard(c net.Conn) string {
	if c == nil {
		return "nothing"
	}
	wait := patience
	if c.RemoteAddr().Network() == "udp" {
		wait = 150 * time.Millisecond
		_, _ = c.Write([]byte("who"))
	}
	_ = c.SetReadDeadline(time.Now().Add(wait))
	buffer := make([]byte, 16)
	n, err := c.Read(buffer)
	if err != nil && n == 0 && (wait != patience || !errors.Is(err, os.ErrDeadlineExceeded)) {
		return "nothing"
	}
	return string(buffer[:n])
}

// http1 sends a request as it is written: method, path, headers.
func (g *guarded) http1(t *testing.T, from netip.Addr, fields []string) string {
	t.Helper()
	c := g.dial(t, from, "tcp", "80")
	defer c.Close()
	head := fields[0] + " " + fields[1] + " HTTP/1.1\r\nHost: orders.shop.mesh\r\nConnection: close\r\n"
	for _, header := range fields[2:] {
		head += header + "\r\n"
	}
	if _, err := io.WriteString(c, head+"\r\n"); err != nil {
		t.Fatal(err)
	}
	response, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		return err.Error()
	}
	return told(response)
}

func (g *guarded) http2(t *testing.T, from netip.Addr, fields []string) string {
	t.Helper()
	transport := &http.Transport{Protocols: new(http.Protocols), DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
		return (&net.Dialer{LocalAddr: &net.TCPAddr{IP: from.AsSlice()}}).DialContext(ctx, network, g.at("80"))
	}}
	transport.Protocols.SetUnencryptedHTTP2(true)
	defer transport.CloseIdleConnections()
	r := newRequest(t, "http://orders.shop.mesh/")
	r.Method, r.URL.Path = fields[0], ""
	r.URL.Opaque = fields[1]
	for _, header := range fields[2:] {
		name, value, _ := strings.Cut(header, ":")
		r.Header.Add(name, value)
	}
	response, err := transport.RoundTrip(r)
	if err != nil {
		return err.Error()
	}
	return told(response)
}

// told is what a response says: the status, and who answered or why nobody did.
func told(response *http.Response) string {
	defer response.Body.Close()
	if reason := response.Header.Get("Weft-Reason"); reason != "" {
		return fmt.Sprint(response.StatusCode, " ", reason)
	}
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return err.Error()
	}
	return strings.TrimSpace(fmt.Sprint(response.StatusCode, " ", string(body)))
}

func (g *guarded) grpc(t *testing.T, from netip.Addr) string {
	t.Helper()
	dial := func(ctx context.Context, _ string) (net.Conn, error) {
		return (&net.Dialer{LocalAddr: &net.TCPAddr{IP: from.AsSlice()}}).DialContext(ctx, "tcp", g.at("81"))
	}
	c, err := grpc.NewClient("passthrough:///orders", grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithContextDialer(dial))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	_, err = testgrpc.NewTestServiceClient(c).EmptyCall(ctx, &testgrpc.Empty{})
	return status.Code(err).String()
}
