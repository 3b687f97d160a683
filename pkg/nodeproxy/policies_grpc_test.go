package nodeproxy_test

import (
	"context"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/weft-mesh/weft/pkg/nodeproxy"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/emptypb"
)

// grpcCall makes one unary call and returns its code.
func grpcCall(t *testing.T, at string, timeout time.Duration) codes.Code {
	t.Helper()
	c, err := grpc.NewClient("passthrough:///"+at, grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithDisableRetry())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	return status.Code(c.Invoke(ctx, "/any.Service/Method", &emptypb.Empty{}, &emptypb.Empty{}))
}

// grpcSays is a gRPC server that answers each call with a code.
func grpcSays(t *testing.T, code codes.Code, count *atomic.Int64) string {
	return grpcServer(t, func(s grpc.ServerStream) error {
		count.Add(1)
		_ = s.RecvMsg(&emptypb.Empty{})
		if code == codes.OK {
			return s.SendMsg(&emptypb.Empty{})
		}
		return status.Error(code, "as asked")
	})
}

func grpcServer(t *testing.T, serve func(grpc.ServerStream) error, options ...grpc.ServerOption) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := grpc.NewServer(append(options, grpc.UnknownServiceHandler(func(_ any, s grpc.ServerStream) error { return serve(s) }))...)
	served := make(chan struct{})
	go func() {
		defer close(served)
		_ = server.Serve(l)
	}()
	t.Cleanup(func() {
		server.Stop()
		<-served
	})
	return l.Addr().String()
}

func TestGRPCPolicies(t *testing.T) {
	w := newWorld(t, nodeproxy.Config{})
	var bad, good, stalls atomic.Int64
	at := w.service("orders", "grpc", grpcSays(t, codes.Unavailable, &bad), grpcSays(t, codes.OK, &good))
	slow := w.service("carts", "grpc", grpcServer(t, func(s grpc.ServerStream) error {
		stalls.Add(1)
		<-s.Context().Done()
		return nil
	}))
	limited := w.service("bills", "grpc", grpcSays(t, codes.OK, &good))
	w.annotate("orders", "retry-attempts", "3", "retry-on", "unavailable", "retry-budget", "100", "retry-budget-min", "100")
	w.annotate("carts", "timeout", "100ms")
	w.annotate("bills", "ratelimit-average", "1", "ratelimit-period", "1h")
	w.publish()
	for range 20 {
		if code := grpcCall(t, at, 10*time.Second); code != codes.OK {
			t.Fatalf("a code that is retried came through: %v", code)
		}
	}
	if bad.Load() == 0 {
		t.Error("the bad endpoint was never met")
	}
	if code := grpcCall(t, slow, 10*time.Second); code != codes.DeadlineExceeded {
		t.Errorf("a call that takes too long ended with %v", code)
	}
	_ = grpcCall(t, limited, 10*time.Second)
	if code := grpcCall(t, limited, 10*time.Second); code != codes.ResourceExhausted {
		t.Errorf("a call too many ended with %v", code)
	}
}

// A caller's own deadline ends the call at the endpoint, whoever else still waits.
func TestGRPCTimeoutOfTheCaller(t *testing.T) {
	w := newWorld(t, nodeproxy.Config{})
	ended := make(chan struct{}, 1)
	at := w.service("orders", "grpc", backend(t, func(_ http.ResponseWriter, r *http.Request) {
		<-r.Context().Done()
		ended <- struct{}{}
	}))
	w.annotate("orders", "timeout", "1h")
	w.publish()
	request, err := http.NewRequest(http.MethodPost, "http://"+at+"/any.Service/Method", strings.NewReader("\x00\x00\x00\x00\x00"))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Content-Type", "application/grpc")
	request.Header.Set("Grpc-Timeout", "50m")
	res, err := client(t, true).Do(request)
	if err != nil {
		t.Fatal(err)
	}
	_ = res.Body.Close()
	if got := res.Header.Get("Grpc-Status"); got != "4" {
		t.Errorf("grpc-status is %q; want 4", got)
	}
	<-ended
}
