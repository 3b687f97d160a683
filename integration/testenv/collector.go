package testenv

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"

	"go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"
)

// StartCollectors starts two collectors of spans, which speak OTLP over HTTP and,
// by grpc-go, over gRPC. It returns their endpoints by those names, as
// --tracing.endpoint takes them. What they take is sent to got; they end with the
// test.
func StartCollectors(t testing.TB, got chan<- *v1.TracesData) map[string]string {
	t.Helper()
	return map[string]string{"HTTP": collectorHTTP(t, got), "gRPC": collectorGRPC(t, got)}
}

func collectorHTTP(t testing.TB, got chan<- *v1.TracesData) (endpoint string) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		var message v1.TracesData
		if err != nil || r.URL.Path != "/v1/traces" || r.Header.Get("Content-Type") != "application/x-protobuf" || proto.Unmarshal(body, &message) != nil {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		got <- &message
	}))
	t.Cleanup(s.Close)
	return s.URL
}

func collectorGRPC(t testing.TB, got chan<- *v1.TracesData) (endpoint string) {
	s := grpc.NewServer()
	s.RegisterService(&grpc.ServiceDesc{
		ServiceName: "opentelemetry.proto.collector.trace.v1.TraceService", HandlerType: (*any)(nil),
		Methods: []grpc.MethodDesc{{MethodName: "Export", Handler: func(_ any, _ context.Context, read func(any) error, _ grpc.UnaryServerInterceptor) (any, error) {
			var message v1.TracesData // on the wire it is an ExportTraceServiceRequest
			if err := read(&message); err != nil {
				return nil, err
			}
			got <- &message
			return &v1.TracesData{}, nil
		}}},
	}, nil)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(l) }()
	t.Cleanup(func() { s.Stop(); <-ended })
	return "grpc://" + l.Addr().String()
}
