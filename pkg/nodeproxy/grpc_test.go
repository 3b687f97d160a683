package nodeproxy_test

import (
	"context"
	"io"
	"testing"
	"time"

	"github.com/weft-mesh/weft/pkg/nodeproxy"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

// grpcEcho is a gRPC server whose only method, whatever its name, says back
// each message, with trailers and the status that the client asks for.
func grpcEcho(t *testing.T) string {
	t.Helper()
	return grpcServer(t, func(s grpc.ServerStream) error {
		asked, _ := metadata.FromIncomingContext(s.Context())
		s.SetTrailer(metadata.Pairs("seen-by", "server", "raw-bin", "\x00\xff"))
		for {
			var m wrapperspb.BytesValue
			if err := s.RecvMsg(&m); err == io.EOF {
				break
			} else if err != nil {
				return err
			}
			if err := s.SendMsg(&m); err != nil {
				return err
			}
		}
		if len(asked["fail"]) > 0 {
			return status.Error(codes.FailedPrecondition, "ünlucky %")
		}
		return nil
	})
}

func grpcStream(t *testing.T, at string, ctx context.Context) grpc.ClientStream {
	t.Helper()
	c, err := grpc.NewClient("passthrough:///"+at, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	s, err := c.NewStream(ctx, &grpc.StreamDesc{ClientStreams: true, ServerStreams: true}, "/any.Service/Method")
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestGRPCStreaming(t *testing.T) {
	each(t, []string{"grpc", "http", ""}, func(t *testing.T, protocol string) {
		w := newWorld(t, nodeproxy.Config{})
		at := w.service("orders", protocol, grpcEcho(t))
		w.publish()
		ctx, cancel := context.WithTimeout(metadata.AppendToOutgoingContext(context.Background(), "fail", "1"), 20*time.Second)
		defer cancel()
		s := grpcStream(t, at, ctx)
		for i := range 50 {
			sent := wrapperspb.Bytes(make([]byte, i*1000))
			if err := s.SendMsg(sent); err != nil {
				t.Fatal(err)
			}
			var got wrapperspb.BytesValue
			if err := s.RecvMsg(&got); err != nil || len(got.Value) != i*1000 {
				t.Fatalf("protocol %q: message %d came back with %d bytes, %v", protocol, i, len(got.Value), err)
			}
		}
		_ = s.CloseSend()
		err := s.RecvMsg(&wrapperspb.BytesValue{})
		if status.Code(err) != codes.FailedPrecondition || status.Convert(err).Message() != "ünlucky %" {
			t.Errorf("protocol %q: status %v", protocol, err)
		}
		if tr := s.Trailer(); len(tr["seen-by"]) != 1 || tr["raw-bin"][0] != "\x00\xff" {
			t.Errorf("protocol %q: trailers %v", protocol, tr)
		}
		eventually(t, "protocol "+protocol+": one gRPC request is counted", func() bool {
			return w.count("weft_requests_total", map[string]string{"request_protocol": "grpc", "response_code": "200", "grpc_response_status": "9"}) == 1
		})
	})
}

func TestGRPCCancelReachesTheServer(t *testing.T) {
	w := newWorld(t, nodeproxy.Config{})
	at := w.service("orders", "grpc", grpcEcho(t))
	w.publish()
	ctx, cancel := context.WithCancel(context.Background())
	s := grpcStream(t, at, ctx)
	if err := s.SendMsg(wrapperspb.Bytes(nil)); err != nil {
		t.Fatal(err)
	}
	if err := s.RecvMsg(&wrapperspb.BytesValue{}); err != nil {
		t.Fatal(err)
	}
	cancel()
	eventually(t, "the proxy counts the cancelled call", func() bool {
		return w.count("weft_requests_total", map[string]string{"response_code": "499"}) == 1
	})
}

func TestGRPCRefusal(t *testing.T) {
	w := newWorld(t, nodeproxy.Config{})
	at := w.service("orders", "grpc")
	w.publish()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	s := grpcStream(t, at, ctx)
	if err := s.RecvMsg(&wrapperspb.BytesValue{}); status.Code(err) != codes.Unavailable {
		t.Errorf("got %v; want Unavailable", err)
	}
}
