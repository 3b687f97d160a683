package nodeproxy_test

import (
	"testing"

	"github.com/weft-mesh/weft/pkg/nodeproxy"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

// TestGRPCStatusWithoutMessages: a call that fails before its first message is
// answered by a head alone, which must also end the stream (gRPC over HTTP/2,
// "Trailers-Only").
func TestGRPCStatusWithoutMessages(t *testing.T) {
	w := newWorld(t, nodeproxy.Config{})
	at := w.service("orders", "grpc", grpcEcho(t))
	w.publish()
	ctx := metadata.AppendToOutgoingContext(t.Context(), "fail", "yes")
	for n := range 100 {
		s := grpcStream(t, at, ctx)
		if err := s.CloseSend(); err != nil {
			t.Fatal(err)
		}
		if err := s.RecvMsg(&wrapperspb.BytesValue{}); status.Code(err) != codes.FailedPrecondition {
			t.Fatalf("call %d: %v; want the status that the server gave", n, err)
		}
	}
}
