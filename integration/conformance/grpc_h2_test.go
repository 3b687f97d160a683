package conformance

import (
	"context"
	"net"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/interop"
	pb "google.golang.org/grpc/interop/grpc_testing"
)

// TestGRPCInterop runs the cases that need no credentials. A case that fails
// ends the process with what went wrong.
func TestGRPCInterop(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := grpc.NewServer()
	pb.RegisterTestServiceServer(server, interop.NewTestServer())
	var serving sync.WaitGroup
	serving.Go(func() { _ = server.Serve(l) })
	t.Cleanup(func() {
		server.Stop()
		serving.Wait()
	})
	conn, err := grpc.NewClient("passthrough:///"+proxyTo(t, l.Addr().String()), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	client := pb.NewTestServiceClient(conn)
	simple := func(do func(context.Context, pb.TestServiceClient, ...grpc.CallOption)) func(context.Context) {
		return func(ctx context.Context) { do(ctx, client) }
	}
	for name, do := range map[string]func(context.Context){
		"empty_unary":                 simple(interop.DoEmptyUnaryCall),
		"large_unary":                 simple(interop.DoLargeUnaryCall),
		"client_streaming":            simple(interop.DoClientStreaming),
		"server_streaming":            simple(interop.DoServerStreaming),
		"ping_pong":                   simple(interop.DoPingPong),
		"empty_stream":                simple(interop.DoEmptyStream),
		"timeout_on_sleeping_server":  simple(interop.DoTimeoutOnSleepingServer),
		"cancel_after_begin":          simple(interop.DoCancelAfterBegin),
		"cancel_after_first_response": simple(interop.DoCancelAfterFirstResponse),
		"status_code_and_message":     simple(interop.DoStatusCodeAndMessage),
		"special_status_message":      simple(interop.DoSpecialStatusMessage),
		"custom_metadata":             simple(interop.DoCustomMetadata),
		"unimplemented_method":        func(ctx context.Context) { interop.DoUnimplementedMethod(ctx, conn) },
		"unimplemented_service":       func(ctx context.Context) { interop.DoUnimplementedService(ctx, pb.NewUnimplementedServiceClient(conn)) },
	} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
			defer cancel()
			do(ctx)
		})
	}
}
