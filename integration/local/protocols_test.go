package local

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	testgrpc "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

// shop is a mesh of one Service per protocol.
func shop(t *testing.T) *process {
	t.Helper()
	web := echoHTTP(t, "v1")
	upper := serveTCP(t, func(conn *net.TCPConn) {
		all, _ := io.ReadAll(conn) // until the client has closed its half
		_, _ = conn.Write(bytes.ToUpper(all))
	})
	early := serveTCP(t, func(conn *net.TCPConn) {
		_, _ = io.WriteString(conn, "hello\n") // speaks first, and is the first to end
		_ = conn.CloseWrite()
		_, _ = io.Copy(io.Discard, conn)
	})
	return start(t, map[string]string{
		"http.yaml": service(t, "orders", port{name: "http", number: 80, at: []netip.AddrPort{web}},
			port{name: "plain", number: 81, at: []netip.AddrPort{web}}),
		"grpc.yaml": service(t, "ledger", port{name: "grpc", number: 80, at: []netip.AddrPort{serveGRPC(t)}}),
		"tcp.yaml": service(t, "upper", port{name: "tcp", number: 7, at: []netip.AddrPort{upper}},
			port{name: "guess", number: 8, at: []netip.AddrPort{upper}}) + service(t, "early", port{name: "guess", number: 9, at: []netip.AddrPort{early}}),
		"udp.yaml": service(t, "echo", port{name: "udp", number: 53, udp: true, at: []netip.AddrPort{echoUDP(t)}},
			port{name: "tcp", number: 53, at: []netip.AddrPort{upper}}),
	})
}

func TestEveryProtocolGoesThrough(t *testing.T) {
	p := shop(t)
	for name, test := range map[string]func(*testing.T, *process){
		"table": tableIsSorted, "dns": namesResolve, "http1": http1, "h2c": h2c, "grpc": grpcStreams,
		"websocket": webSocket, "tcp half-close": halfClose, "server first": serverFirst, "udp": udp,
	} {
		t.Run(name, func(t *testing.T) { test(t, p) })
	}
	if problems := p.problems(); len(problems) > 0 {
		t.Errorf("problems: %v", problems)
	}
}

func tableIsSorted(t *testing.T, p *process) {
	prefix := p.prefix()
	want := []string{
		"early.shop.mesh " + prefix + "1:8009 detect",
		"echo.shop.mesh " + prefix + "2:8053 tcp",
		"echo.shop.mesh " + prefix + "2:8053 udp",
		"ledger.shop.mesh " + prefix + "3:8080 http2",
		"orders.shop.mesh " + prefix + "4:8080 http",
		"orders.shop.mesh " + prefix + "4:8081 detect",
		"upper.shop.mesh " + prefix + "5:8007 tcp",
		"upper.shop.mesh " + prefix + "5:8008 detect",
	}
	if diff := cmp.Diff(want, p.table); diff != "" {
		t.Error(diff)
	}
}

func namesResolve(t *testing.T, p *process) {
	for _, network := range []string{"udp", "tcp"} {
		resolver := net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, network, p.dns)
		}}
		got, err := resolver.LookupHost(t.Context(), "orders.shop.mesh.")
		if err != nil {
			t.Fatal(err)
		}
		host, _, _ := net.SplitHostPort(p.address("orders.shop.mesh:8080"))
		if diff := cmp.Diff([]string{host}, got); diff != "" {
			t.Error(diff)
		}
		_, err = resolver.LookupHost(t.Context(), "absent.shop.mesh.")
		if dnsError, ok := err.(*net.DNSError); !ok || !dnsError.IsNotFound {
			t.Errorf("an absent name: %v", err)
		}
	}
}

// exchange posts a megabyte and returns the answer's headers.
func exchange(t *testing.T, transport http.RoundTripper, url string) http.Header {
	t.Helper()
	body := bytes.Repeat([]byte("0123456789abcdef"), 1<<16)
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("X-Forwarded-For", "10.9.8.7")
	response, err := transport.RoundTrip(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	back, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	if response.StatusCode != http.StatusOK || !bytes.Equal(back, body) {
		t.Errorf("%s: %s, %d bytes of %d came back", url, response.Status, len(back), len(body))
	}
	return response.Header
}

func seen(h http.Header) string {
	return strings.Join([]string{h.Get("Seen-Proto"), h.Get("Seen-Host"), h.Get("Seen-Forwarded")}, " ")
}

func http1(t *testing.T, p *process) {
	transport := p.transport()
	for _, url := range []string{"http://orders.shop.mesh:8080/", "http://orders.shop.mesh:8081/"} {
		for range 3 {
			want := "HTTP/1.1 " + url[len("http://"):len(url)-1] + " [10.9.8.7, 127.0.0.1]"
			if got := seen(exchange(t, transport, url)); got != want {
				t.Errorf("the endpoint saw %q, want %q", got, want)
			}
		}
	}
	// Hop-by-hop fields end here, also those that Connection names (RFC 9110 §7.6.1).
	conn, err := net.Dial("tcp", p.address("orders.shop.mesh:8080"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprint(conn, "GET / HTTP/1.1\r\nHost: any.host\r\nConnection: close, X-Named\r\nX-Named: 1\r\nKeep-Alive: 5\r\n\r\n")
	all, err := io.ReadAll(conn)
	if err != nil {
		t.Fatal(err)
	}
	text := strings.ToLower(string(all))
	if !strings.HasPrefix(text, "http/1.1 200") || !strings.Contains(text, "seen-host: any.host\r\n") || !strings.Contains(text, "seen-hop: \r\n") {
		t.Errorf("answer: %s", all)
	}
}

func h2c(t *testing.T, p *process) {
	transport := p.transport()
	transport.Protocols = new(http.Protocols)
	transport.Protocols.SetUnencryptedHTTP2(true)
	for _, url := range []string{"http://orders.shop.mesh:8080/", "http://orders.shop.mesh:8081/"} {
		want := "HTTP/2.0 " + url[len("http://"):len(url)-1] + " [10.9.8.7, 127.0.0.1]"
		if got := seen(exchange(t, transport, url)); got != want {
			t.Errorf("the endpoint saw %q, want %q", got, want)
		}
	}
}

func grpcStreams(t *testing.T, p *process) {
	conn, err := grpc.NewClient(p.address("ledger.shop.mesh:8080"), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	client := testgrpc.NewTestServiceClient(conn)
	ctx := metadata.AppendToOutgoingContext(t.Context(), "x-grpc-test-echo-trailing-bin", "\x01\x02")
	stream, err := client.FullDuplexCall(ctx)
	if err != nil {
		t.Fatal(err)
	}
	for _, size := range []int32{1, 31415, 9} { // each answer comes before the next request goes
		request := &testgrpc.StreamingOutputCallRequest{ResponseParameters: []*testgrpc.ResponseParameters{{Size: size}}}
		if err := stream.Send(request); err != nil {
			t.Fatal(err)
		}
		answer, err := stream.Recv()
		if err != nil {
			t.Fatal(err)
		}
		if got := len(answer.GetPayload().GetBody()); got != int(size) {
			t.Errorf("%d bytes, want %d", got, size)
		}
	}
	if err := stream.CloseSend(); err != nil {
		t.Fatal(err)
	}
	if _, err := stream.Recv(); err != io.EOF {
		t.Errorf("after the last message: %v", err)
	}
	if got := stream.Trailer().Get("x-grpc-test-echo-trailing-bin"); len(got) != 1 || got[0] != "\x01\x02" {
		t.Errorf("trailer %q", got)
	}
	_, err = client.UnaryCall(t.Context(), &testgrpc.SimpleRequest{ResponseStatus: &testgrpc.EchoStatus{Code: int32(codes.DataLoss), Message: "gone"}})
	if s := status.Convert(err); s.Code() != codes.DataLoss || s.Message() != "gone" {
		t.Errorf("status %v", s)
	}
}

func webSocket(t *testing.T, p *process) {
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for _, address := range []string{"orders.shop.mesh:8080", "orders.shop.mesh:8081"} {
		conn, _, err := websocket.Dial(ctx, "ws://"+p.address(address)+"/ws", nil)
		if err != nil {
			t.Fatal(err)
		}
		for _, message := range []string{"one", "two"} {
			if err := conn.Write(ctx, websocket.MessageText, []byte(message)); err != nil {
				t.Fatal(err)
			}
			if _, got, err := conn.Read(ctx); err != nil || string(got) != message {
				t.Errorf("got %q, %v", got, err)
			}
		}
		if err := conn.Close(websocket.StatusNormalClosure, ""); err != nil {
			t.Errorf("closing: %v", err)
		}
	}
}

func dialTCP(t *testing.T, address string) *net.TCPConn {
	t.Helper()
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	return conn.(*net.TCPConn)
}

func halfClose(t *testing.T, p *process) {
	for _, address := range []string{"upper.shop.mesh:8007", "upper.shop.mesh:8008", "echo.shop.mesh:8053"} {
		conn := dialTCP(t, p.address(address))
		if _, err := io.WriteString(conn, "the whole request"); err != nil {
			t.Fatal(err)
		}
		if err := conn.CloseWrite(); err != nil {
			t.Fatal(err)
		}
		if got, err := io.ReadAll(conn); err != nil || string(got) != "THE WHOLE REQUEST" {
			t.Errorf("%s: got %q, %v", address, got, err)
		}
	}
}

func serverFirst(t *testing.T, p *process) {
	conn := dialTCP(t, p.address("early.shop.mesh:8009"))
	if got, err := io.ReadAll(conn); err != nil || string(got) != "hello\n" {
		t.Fatalf("got %q, %v", got, err)
	}
	// The server has closed its half only: the client's is still taken.
	if _, err := conn.Write(bytes.Repeat([]byte("x"), 1<<16)); err != nil {
		t.Errorf("writing after the server's end: %v", err)
	}
}

func udp(t *testing.T, p *process) {
	for client := range 2 {
		conn, err := net.Dial("udp", p.address("echo.shop.mesh:8053"))
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
			t.Fatal(err)
		}
		for i := range 3 {
			said := fmt.Sprintf("client %d, datagram %d", client, i)
			if _, err := io.WriteString(conn, said); err != nil {
				t.Fatal(err)
			}
			buffer := make([]byte, 2048)
			n, err := conn.Read(buffer)
			if got := string(buffer[:n]); err != nil || got != "echo "+said {
				t.Errorf("got %q, %v", got, err)
			}
		}
	}
}
