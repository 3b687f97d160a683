package nodeproxy_test

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"github.com/weft-mesh/weft/pkg/nodeproxy"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/types/known/emptypb"
)

// grpcWorld is a Service that speaks gRPC, with policies.
func grpcWorld(t *testing.T, policies []string, endpoints ...string) (w *world, at string) {
	w = newWorld(t, nodeproxy.Config{})
	at = w.service("orders", "grpc", endpoints...)
	w.annotate("orders", policies...)
	w.publish()
	return w, at
}

// codesOf makes calls and counts the codes that they end with.
func codesOf(t *testing.T, at string, calls int) map[codes.Code]int {
	out := map[codes.Code]int{}
	for range calls {
		out[grpcCall(t, at, 10*time.Second)]++
	}
	return out
}

func TestGRPCTimeoutOfATry(t *testing.T) {
	stalls := grpcServer(t, func(s grpc.ServerStream) error {
		<-s.Context().Done()
		return nil
	})
	_, at := grpcWorld(t, []string{"per-try-timeout", "100ms"}, stalls)
	if code := grpcCall(t, at, 10*time.Second); code != codes.Unavailable {
		t.Errorf("a call whose try stalls ended with %v", code)
	}
}

func TestGRPCCircuitBreaker(t *testing.T) {
	var met atomic.Int64
	w, at := grpcWorld(t, []string{"circuit-breaker-expression", "ResponseCodeRatio(500, 600, 0, 600) > 0.5", "circuit-breaker-open", "1h"}, grpcSays(t, codes.Internal, &met))
	eventually(t, "the circuit opens", func() bool { return grpcCall(t, at, 10*time.Second) == codes.Unavailable })
	before := met.Load()
	if code := grpcCall(t, at, 10*time.Second); code != codes.Unavailable || met.Load() != before {
		t.Errorf("an open circuit gave %v, and the endpoint met %d calls more", code, met.Load()-before)
	}
	w.told("weft_circuit_breaker", "orders", 1, "state", "open")
}

// The endpoint's answers of a client's own mistake open no circuit.
func TestGRPCCircuitStaysClosed(t *testing.T) {
	var met atomic.Int64
	_, at := grpcWorld(t, []string{"circuit-breaker-expression", "ResponseCodeRatio(500, 600, 0, 600) > 0.1"}, grpcSays(t, codes.NotFound, &met))
	if got := codesOf(t, at, 50); got[codes.NotFound] != 50 {
		t.Errorf("calls ended with %v", got)
	}
}

func TestGRPCMaxRequests(t *testing.T) {
	began, goOn := make(chan struct{}), make(chan struct{})
	_, at := grpcWorld(t, []string{"max-requests", "1"}, grpcServer(t, func(s grpc.ServerStream) error {
		began <- struct{}{}
		<-goOn
		return s.SendMsg(&emptypb.Empty{})
	}))
	first := make(chan codes.Code, 1)
	go func() { first <- grpcCall(t, at, 20*time.Second) }()
	<-began
	if code := grpcCall(t, at, 10*time.Second); code != codes.Unavailable {
		t.Errorf("a call too many ended with %v", code)
	}
	close(goOn)
	if code := <-first; code != codes.OK {
		t.Errorf("the first call ended with %v", code)
	}
}

func TestGRPCOutlierEjection(t *testing.T) {
	var bad, good atomic.Int64
	w, at := grpcWorld(t, []string{"outlier-consecutive-5xx", "3"}, grpcSays(t, codes.Unavailable, &bad), grpcSays(t, codes.OK, &good), grpcSays(t, codes.OK, &good))
	eventually(t, "the endpoint that fails is ejected", func() bool {
		_ = grpcCall(t, at, 10*time.Second)
		return w.count("weft_ejected_endpoints", w.labelled("orders")) == 1
	})
	before := bad.Load()
	if got := codesOf(t, at, 30); got[codes.OK] != 30 || bad.Load() != before {
		t.Errorf("after the ejection calls ended with %v", got)
	}
}

func TestGRPCFaults(t *testing.T) {
	var met atomic.Int64
	_, at := grpcWorld(t, []string{"fault-abort", "503", "fault-delay", "100ms"}, grpcSays(t, codes.OK, &met))
	if code := grpcCall(t, at, 10*time.Second); code != codes.Unavailable || met.Load() != 0 {
		t.Errorf("a fault gave %v, and the endpoint met %d calls", code, met.Load())
	}
	_, at = grpcWorld(t, []string{"fault-delay", "100ms"}, grpcSays(t, codes.OK, &met))
	began := time.Now()
	if code := grpcCall(t, at, 10*time.Second); code != codes.OK || time.Since(began) < 100*time.Millisecond {
		t.Errorf("got %v after %v; want OK after 100ms", code, time.Since(began))
	}
}

func TestGRPCMirror(t *testing.T) {
	var met atomic.Int64
	copied := make(chan struct{}, 10)
	w := newWorld(t, nodeproxy.Config{})
	at := w.service("orders", "grpc", grpcSays(t, codes.OK, &met))
	w.service("shadow", "grpc", grpcServer(t, func(s grpc.ServerStream) error {
		if err := s.RecvMsg(&emptypb.Empty{}); err != nil {
			return err
		}
		copied <- struct{}{}
		return s.SendMsg(&emptypb.Empty{})
	}))
	w.annotate("orders", "mirror", "shadow")
	w.publish()
	if got := codesOf(t, at, 5); got[codes.OK] != 5 {
		t.Errorf("calls ended with %v", got)
	}
	for range 5 {
		<-copied
	}
}

func TestGRPCHeaders(t *testing.T) {
	seen := make(chan metadata.MD, 1)
	_, at := grpcWorld(t, []string{"request-headers-set", "x-team: shop", "request-headers-remove", "x-debug", "response-headers-add", "x-mesh: weft"}, grpcServer(t, func(s grpc.ServerStream) error {
		asked, _ := metadata.FromIncomingContext(s.Context())
		seen <- asked
		return s.SendMsg(&emptypb.Empty{})
	}))
	c, err := grpc.NewClient("passthrough:///"+at, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	ctx, cancel := context.WithTimeout(metadata.AppendToOutgoingContext(context.Background(), "x-debug", "1", "x-other", "stays"), 10*time.Second)
	defer cancel()
	var header metadata.MD
	if err := c.Invoke(ctx, "/any.Service/Method", &emptypb.Empty{}, &emptypb.Empty{}, grpc.Header(&header)); err != nil {
		t.Fatal(err)
	}
	asked := <-seen
	if len(asked["x-debug"]) != 0 || len(asked["x-team"]) != 1 || asked["x-team"][0] != "shop" || len(asked["x-other"]) != 1 {
		t.Errorf("the server saw %v", asked)
	}
	if len(header["x-mesh"]) != 1 || header["x-mesh"][0] != "weft" {
		t.Errorf("the client saw %v", header)
	}
}
