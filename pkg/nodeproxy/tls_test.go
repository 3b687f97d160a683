package nodeproxy_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/weft-mesh/weft/pkg/mesh"
	"github.com/weft-mesh/weft/pkg/nodeproxy"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

// Requests of all sizes arrive over TLS 1.3 and 1.2.
func TestTLS(t *testing.T) {
	each(t, policyVersions, func(t *testing.T, http2 bool) {
		ca := authority(t)
		w := newWorld(t, nodeproxy.Config{})
		certificate := *issued(t, ca, inCluster)
		at := w.secured(ca, secure(t, &certificate, seen),
			secureBy(t, &tls.Config{Certificates: []tls.Certificate{certificate}, NextProtos: []string{"h2", "http/1.1"}, MaxVersion: tls.VersionTLS12}, seen))
		w.publish()
		c, version := client(t, http2), map[bool]string{false: "HTTP/1.1", true: "HTTP/2.0"}[http2]
		for _, size := range []int{0, 1, 40 << 10, 3 << 20, 0, 1, 40 << 10, 3 << 20} {
			res, err := c.Post("http://"+at+"/", "", bytes.NewReader(make([]byte, size)))
			if err != nil {
				t.Fatal(err)
			}
			content, _ := io.ReadAll(res.Body)
			_ = res.Body.Close()
			want := fmt.Sprintf("%s sni=%s body=%d", version, inCluster, size)
			if res.StatusCode != 200 || string(content) != want {
				t.Errorf("got %d %q; want %q", res.StatusCode, content, want)
			}
		}
	})
}

// An answer arrives whole, however large and slowly read.
func TestTLSCarriesALargeAnswer(t *testing.T) {
	each(t, policyVersions, func(t *testing.T, http2 bool) {
		ca := authority(t)
		w := newWorld(t, nodeproxy.Config{})
		content := make([]byte, 8<<20)
		_, _ = rand.Read(content)
		at := w.secured(ca, secure(t, issued(t, ca, inCluster), func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(content) }))
		w.publish()
		if _, got := get(t, client(t, http2), "http://"+at); got != string(content) {
			t.Errorf("%d bytes came back; want %d, the same", len(got), len(content))
		}
	})
}

// A further connection to an endpoint resumes the session of one before it.
func TestTLSResumes(t *testing.T) {
	ca := authority(t)
	w := newWorld(t, nodeproxy.Config{})
	var resumed, conns atomic.Int64
	at := w.secured(ca, secure(t, issued(t, ca, inCluster), func(_ http.ResponseWriter, r *http.Request) {
		conns.Add(1)
		if r.TLS.DidResume {
			resumed.Add(1)
		}
	}))
	w.publish()
	for range 4 { // a POST takes no connection that was just used
		res, err := client(t, false).Post("http://"+at+"/", "", nil)
		if err != nil {
			t.Fatal(err)
		}
		_ = res.Body.Close()
	}
	if resumed.Load() < 2 {
		t.Errorf("%d of %d connections resumed a session", resumed.Load(), conns.Load())
	}
}

// The name may be another one, and the CA the system's: which does not vouch
// for a CA of the test's own.
func TestTLSServerNameAndSystemRoots(t *testing.T) {
	ca := authority(t)
	w := newWorld(t, nodeproxy.Config{})
	at := w.secured(ca, secure(t, issued(t, ca, "api.example.com"), seen))
	w.annotate("orders", "scheme", "https", "tls-ca-secret", "orders-ca", "tls-server-name", "api.example.com")
	w.publish()
	if res, content := get(t, client(t, false), "http://"+at); res.StatusCode != 200 || !strings.Contains(content, "sni=api.example.com") {
		t.Errorf("got %d %q", res.StatusCode, content)
	}
	w.annotate("orders", "scheme", "https", "tls-server-name", "api.example.com")
	w.publish()
	w.refused(client(t, false), at, 502, "tls-failed")
}

// An endpoint that does not prove to be the Service gets no byte of a request.
func TestTLSThatDoesNotVerify(t *testing.T) {
	ca := authority(t)
	var asked atomic.Int64
	count := func(w http.ResponseWriter, r *http.Request) { asked.Add(1) }
	for _, test := range []struct {
		name, at, says string
	}{
		{"another CA", secure(t, issued(t, authority(t), inCluster), count), "signed by unknown authority"},
		{"another name", secure(t, issued(t, ca, "payments.shop.svc"), count), "not orders.shop.svc"},
		{"expired", secure(t, expired(t, ca), count), "expired"},
		{"no TLS", backend(t, count), "not look like a TLS handshake"},
		{"closes", tcpBackend(t, func(c *net.TCPConn) { _, _ = c.Read(make([]byte, 1<<10)) }), "no TLS with the endpoint"},
	} {
		for _, http2 := range policyVersions {
			t.Run(fmt.Sprint(test.name, " ", http2), func(t *testing.T) {
				w := newWorld(t, nodeproxy.Config{})
				at := w.secured(ca, test.at)
				w.publish()
				res, content := get(t, client(t, http2), "http://"+at)
				if res.StatusCode != 502 || res.Header.Get("Weft-Reason") != "tls-failed" || !strings.Contains(content, test.says) {
					t.Errorf("got %d %s %q; want 502 tls-failed and %q", res.StatusCode, res.Header.Get("Weft-Reason"), content, test.says)
				}
				if n := w.count("weft_refusals_total", map[string]string{"reason": "tls-failed"}); n != 1 {
					t.Errorf("%v refusals are counted; want 1", n)
				}
				problems := w.proxy.Problems()
				if len(problems) != 1 || problems[0].Reason != nodeproxy.EndpointNotVerified || problems[0].Object.Name != "orders" ||
					!strings.HasPrefix(problems[0].Message, "port 80: 1 of 1 endpoints do not prove to be "+inCluster) {
					t.Errorf("the problems are %v", problems)
				}
			})
		}
	}
	if asked.Load() != 0 {
		t.Errorf("endpoints that did not prove who they are saw %d requests", asked.Load())
	}
}

// The problem is over with the next call to which the endpoint proves itself.
func TestTLSThatVerifiesAgainIsNoProblem(t *testing.T) {
	ca := authority(t)
	w := newWorld(t, nodeproxy.Config{})
	var certificate atomic.Pointer[tls.Certificate]
	certificate.Store(issued(t, authority(t), inCluster))
	at := w.secured(ca, secureBy(t, &tls.Config{
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return certificate.Load(), nil },
	}, seen))
	w.publish()
	c := client(t, false)
	w.refused(c, at, 502, "tls-failed")
	certificate.Store(issued(t, ca, inCluster))
	eventually(t, "the endpoint serves again", func() bool {
		res, _ := get(t, c, "http://"+at)
		return res.StatusCode == 200
	})
	if problems := w.proxy.Problems(); len(problems) != 0 {
		t.Errorf("the problems are %v", problems)
	}
}

// A second endpoint that does verify serves the call.
func TestTLSGoesToAnEndpointThatVerifies(t *testing.T) {
	each(t, policyVersions, func(t *testing.T, http2 bool) {
		ca := authority(t)
		w := newWorld(t, nodeproxy.Config{})
		at := w.secured(ca, backend(t, seen), secure(t, issued(t, ca, inCluster), seen))
		w.publish()
		for range 8 {
			if res, content := get(t, client(t, http2), "http://"+at); res.StatusCode != 200 {
				t.Errorf("got %d %q", res.StatusCode, content)
			}
		}
	})
}

// An endpoint that stalls in the handshake costs one attempt's time.
func TestTLSHandshakeThatStalls(t *testing.T) {
	each(t, policyVersions, func(t *testing.T, http2 bool) {
		w := newWorld(t, nodeproxy.Config{})
		end := make(chan struct{})
		at := w.secured(authority(t), tcpBackend(t, func(*net.TCPConn) { <-end }))
		t.Cleanup(func() { close(end) })
		w.annotate("orders", "scheme", "https", "tls-ca-secret", "orders-ca", "connect-timeout", "100ms")
		w.publish()
		began := time.Now()
		w.refused(client(t, http2), at, 504, "upstream-timeout")
		if took := time.Since(began); took < 100*time.Millisecond || took > 3*time.Second {
			t.Errorf("the answer came after %v", took)
		}
	})
}

// A CA that is not known lets nobody be believed; that it is there is live.
func TestTLSCAComesAndIsRotated(t *testing.T) {
	each(t, policyVersions, func(t *testing.T, http2 bool) {
		old, young := authority(t), authority(t)
		w := newWorld(t, nodeproxy.Config{})
		var certificate atomic.Pointer[tls.Certificate]
		certificate.Store(issued(t, old, inCluster))
		at := w.secured(old, secureBy(t, &tls.Config{
			NextProtos:     []string{"h2", "http/1.1"},
			GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return certificate.Load(), nil },
		}, seen))
		delete(w.CAs, shop("orders-ca"))
		w.publish()
		c := client(t, http2)
		if _, content := get(t, c, "http://"+at); !strings.Contains(content, "CA that should vouch for it is not known") {
			t.Errorf("without the Secret the answer is %q", content)
		}
		w.CAs[shop("orders-ca")] = mesh.CAInput{PEM: string(old.Certificate)}
		w.publish()
		if res, content := get(t, c, "http://"+at); res.StatusCode != 200 {
			t.Fatalf("with the CA: %d %q", res.StatusCode, content)
		}
		// Connections that the old CA vouched for are used no more.
		w.CAs[shop("orders-ca")] = mesh.CAInput{PEM: string(young.Certificate)}
		w.publish()
		w.refused(c, at, 502, "tls-failed")
		certificate.Store(issued(t, young, inCluster))
		if res, content := get(t, c, "http://"+at); res.StatusCode != 200 {
			t.Errorf("with the new CA: %d %q", res.StatusCode, content)
		}
	})
}

// A client in HTTP/2 needs an endpoint that agrees to it; one in HTTP/1.1 does not.
func TestTLSWithoutHTTP2(t *testing.T) {
	ca := authority(t)
	w := newWorld(t, nodeproxy.Config{})
	at := w.secured(ca, secureBy(t, &tls.Config{Certificates: []tls.Certificate{*issued(t, ca, inCluster)}}, seen))
	w.publish()
	w.refused(client(t, true), at, 502, "tls-failed")
	if res, content := get(t, client(t, false), "http://"+at); res.StatusCode != 200 {
		t.Errorf("HTTP/1.1 gets %d %q", res.StatusCode, content)
	}
}

func TestTLSWithGRPC(t *testing.T) {
	ca := authority(t)
	for _, test := range []struct {
		name string
		want codes.Code
	}{{inCluster, codes.OK}, {"payments.shop.svc", codes.Unavailable}} {
		t.Run(test.name, func(t *testing.T) {
			w := newWorld(t, nodeproxy.Config{})
			certificate := issued(t, ca, test.name)
			at := w.secured(ca, grpcServer(t, echoMessages, grpc.Creds(credentials.NewServerTLSFromCert(certificate))))
			w.publish()
			ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
			defer cancel()
			s := grpcStream(t, at, ctx)
			_ = s.SendMsg(wrapperspb.Bytes(make([]byte, 100_000)))
			_ = s.CloseSend()
			var got wrapperspb.BytesValue
			err := s.RecvMsg(&got)
			if status.Code(err) != test.want || test.want == codes.OK && len(got.Value) != 100_000 {
				t.Errorf("got %d bytes, %v; want %v", len(got.Value), err, test.want)
			}
			if reason := strings.Join(s.Trailer()["weft-reason"], ""); test.want != codes.OK && reason != "tls-failed" {
				t.Errorf("the reason is %q, of %v", reason, err)
			}
		})
	}
}

func echoMessages(s grpc.ServerStream) error {
	var m wrapperspb.BytesValue
	if err := s.RecvMsg(&m); err != nil {
		return err
	}
	return s.SendMsg(&m)
}

// An answer without a length that is cut is not taken for a whole one: only TLS
// itself may say that it is the end.
func TestTLSAnswerThatIsCut(t *testing.T) {
	ca := authority(t)
	certificate := issued(t, ca, inCluster)
	for _, whole := range []bool{true, false} {
		w := newWorld(t, nodeproxy.Config{})
		at := w.secured(ca, tcpBackend(t, func(c *net.TCPConn) {
			far := tls.Server(c, &tls.Config{Certificates: []tls.Certificate{*certificate}})
			if _, err := http.ReadRequest(bufio.NewReader(far)); err != nil {
				return
			}
			_, _ = io.WriteString(far, "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nsome")
			if whole {
				_ = far.Close()
			}
		}))
		w.publish()
		res, err := client(t, false).Get("http://" + at)
		if err != nil {
			t.Fatal(err)
		}
		content, err := io.ReadAll(res.Body)
		_ = res.Body.Close()
		if string(content) != "some" || (err == nil) != whole {
			t.Errorf("whole: %v; got %q, %v", whole, content, err)
		}
	}
}

// No POST is lost or doubled where the endpoint closes connections as soon as
// they are idle.
func TestTLSPostsArriveOnce(t *testing.T) {
	each(t, policyVersions, func(t *testing.T, http2 bool) {
		ca := authority(t)
		var mu sync.Mutex
		arrived := map[string]int{}
		at := func(w http.ResponseWriter, r *http.Request) {
			number, _ := io.ReadAll(r.Body)
			mu.Lock()
			defer mu.Unlock()
			arrived[string(number)]++
		}
		l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{*issued(t, ca, inCluster)}, NextProtos: []string{"h2", "http/1.1"}})
		if err != nil {
			t.Fatal(err)
		}
		listen := serveOn(t, l, &http.Server{Handler: http.HandlerFunc(at), IdleTimeout: 2 * time.Millisecond})
		w := newWorld(t, nodeproxy.Config{})
		proxy := w.secured(ca, listen)
		w.publish()
		const callers, calls = 4, 100
		var calling sync.WaitGroup
		for caller := range callers {
			c := client(t, http2)
			calling.Go(func() {
				for i := range calls {
					number := fmt.Sprint(caller, "/", i)
					res, err := c.Post("http://"+proxy, "", strings.NewReader(number))
					if err != nil || res.StatusCode != 200 {
						t.Errorf("POST %s: %v, %v", number, res, err)
						continue
					}
					_ = res.Body.Close()
				}
			})
		}
		calling.Wait()
		mu.Lock()
		defer mu.Unlock()
		if len(arrived) != callers*calls {
			t.Errorf("%d of %d POSTs arrived", len(arrived), callers*calls)
		}
		for number, n := range arrived {
			if n != 1 {
				t.Errorf("POST %s arrived %d times", number, n)
			}
		}
	})
}

func TestTLSCarriesWebSocket(t *testing.T) {
	ca := authority(t)
	w := newWorld(t, nodeproxy.Config{})
	at := w.secured(ca, secure(t, issued(t, ca, inCluster), func(w http.ResponseWriter, r *http.Request) {
		c, err := websocket.Accept(w, r, &websocket.AcceptOptions{InsecureSkipVerify: true})
		if err != nil {
			return
		}
		kind, content, err := c.Read(r.Context())
		if err == nil {
			_ = c.Write(r.Context(), kind, content)
		}
		_, _, _ = c.Read(r.Context())
	}))
	w.publish()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	c, _, err := websocket.Dial(ctx, "ws://"+at+"/room", &websocket.DialOptions{HTTPClient: client(t, false)})
	if err != nil {
		t.Fatal(err)
	}
	_ = c.Write(ctx, websocket.MessageText, []byte("hello"))
	if _, got, err := c.Read(ctx); err != nil || string(got) != "hello" {
		t.Errorf("got %q, %v", got, err)
	}
	if err := c.Close(websocket.StatusNormalClosure, "bye"); err != nil {
		t.Errorf("close: %v", err)
	}
}

// A client of HTTP/1.1 reaches an endpoint that speaks HTTP/2 over TLS, and
// copies go over TLS as well.
func TestTLSWithTranslationAndCopies(t *testing.T) {
	ca := authority(t)
	for _, protocol := range []string{"http2", "http"} {
		w := newWorld(t, nodeproxy.Config{})
		copied := make(chan string, 1)
		w.service("copies", "http", secure(t, issued(t, ca, inCluster), func(_ http.ResponseWriter, r *http.Request) { copied <- r.TLS.ServerName }))
		at := w.secured(ca, secure(t, issued(t, ca, inCluster), seen))
		input := w.Services[shop("orders")]
		input.Ports[0].AppProtocol = protocol
		w.annotate("orders", "scheme", "https", "tls-ca-secret", "orders-ca", "mirror", "copies")
		w.publish()
		version := map[string]string{"http2": "HTTP/2.0", "http": "HTTP/1.1"}[protocol]
		if res, content := get(t, client(t, false), "http://"+at); res.StatusCode != 200 || !strings.HasPrefix(content, version+" sni="+inCluster) {
			t.Errorf("%s: got %d %q", protocol, res.StatusCode, content)
		}
		if name := <-copied; name != inCluster {
			t.Errorf("%s: the copy was sent to %q", protocol, name)
		}
	}
}

// One address that two Services speak to in two ways shares no connection.
func TestTLSAndPlainDoNotMix(t *testing.T) {
	ca := authority(t)
	w := newWorld(t, nodeproxy.Config{})
	endpoint := secure(t, issued(t, ca, inCluster), seen)
	at := w.secured(ca, endpoint)
	plain := w.service("plain", "http", endpoint)
	w.publish()
	c := client(t, false)
	for range 3 {
		if res, content := get(t, c, "http://"+at); res.StatusCode != 200 || !strings.Contains(content, "sni=") {
			t.Errorf("over TLS: %d %q", res.StatusCode, content)
		}
		if res, content := get(t, c, "http://"+plain); res.StatusCode != 400 {
			t.Errorf("without TLS: %d %q; want what a TLS server says to that", res.StatusCode, content)
		}
	}
}
