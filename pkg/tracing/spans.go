package tracing

import (
	"crypto/rand"
	"strings"
	"time"

	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
	resourcepb "go.opentelemetry.io/proto/otlp/resource/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"

	"github.com/weft-mesh/weft/pkg/telemetry"
)

// encode makes the message of a batch: an ExportTraceServiceRequest, of which a
// TracesData is on the wire.
func encode(node string, batch []telemetry.Event) ([]byte, error) {
	resource := &resourcepb.Resource{Attributes: attributes(
		"service.name", "weft", "service.instance.id", node, "k8s.node.name", node,
	)}
	spans := make([]*tracepb.Span, 0, 2*len(batch))
	for i := range batch {
		spans = appendSpans(spans, &batch[i])
	}
	return proto.Marshal(&tracepb.TracesData{ResourceSpans: []*tracepb.ResourceSpans{{
		Resource:   resource,
		ScopeSpans: []*tracepb.ScopeSpans{{Scope: &commonpb.InstrumentationScope{Name: "weft"}, Spans: spans}},
	}}})
}

// appendSpans adds those of a request: the server's, and a client's for each try.
func appendSpans(spans []*tracepb.Span, e *telemetry.Event) []*tracepb.Span {
	trace := e.Trace()
	if trace.TraceID == [16]byte{} {
		_, _ = rand.Read(trace.TraceID[:])
	}
	end := e.Began.Add(e.Took)
	server := span(&trace, tracepb.Span_SPAN_KIND_SERVER, strings.ToValidUTF8(e.Method, ""), e.Began, end)
	if trace.SpanID != [8]byte{} {
		server.ParentSpanId = trace.SpanID[:]
	}
	server.Attributes = append(request(e), attributes(
		"client.address", e.Client.String(), "user_agent.original", e.UserAgent,
		"weft.source", name(&e.Source), "weft.service", e.Service+"."+e.Namespace, "weft.reason", e.Reason,
	)...)
	server.Attributes = append(server.Attributes, number("http.request.body.size", int64(e.Received)), number("http.response.body.size", int64(e.Sent)))
	answered(server, e)
	spans = append(spans, server)
	for i, try := range e.Tries {
		until := end
		if i+1 < len(e.Tries) {
			until = e.Tries[i+1].Began
		}
		client := span(&trace, tracepb.Span_SPAN_KIND_CLIENT, strings.ToValidUTF8(e.Method, ""), try.Began, until)
		client.ParentSpanId = server.SpanId
		client.Attributes = append(request(e), attributes(
			"network.peer.address", try.Endpoint.Addr().String(), "weft.destination", name(&e.Destination), "weft.backend", e.Backend,
		)...)
		client.Attributes = append(client.Attributes, number("network.peer.port", int64(try.Endpoint.Port())))
		if i > 0 {
			client.Attributes = append(client.Attributes, number("http.request.resend_count", int64(i)))
		}
		if i+1 == len(e.Tries) {
			answered(client, e)
		} else {
			client.Status = &tracepb.Status{Code: tracepb.Status_STATUS_CODE_ERROR, Message: "another endpoint was tried"}
		}
		spans = append(spans, client)
	}
	return spans
}

func span(trace *telemetry.TraceContext, kind tracepb.Span_SpanKind, name string, begin, end time.Time) *tracepb.Span {
	id := make([]byte, 8)
	_, _ = rand.Read(id)
	return &tracepb.Span{
		TraceId: trace.TraceID[:], SpanId: id, Kind: kind, Name: name,
		StartTimeUnixNano: uint64(begin.UnixNano()), EndTimeUnixNano: uint64(max(end.UnixNano(), begin.UnixNano())),
	}
}

// request are the attributes of both kinds, by the semantic conventions' names.
func request(e *telemetry.Event) []*commonpb.KeyValue {
	return attributes("http.request.method", e.Method, "url.path", e.Path, "url.scheme", "http", "server.address", e.Host)
}

// answered tells what came of it: an error where the destination failed or Weft
// refused.
func answered(s *tracepb.Span, e *telemetry.Event) {
	s.Attributes = append(s.Attributes, number("http.response.status_code", int64(e.Code)))
	if e.GRPC > 0 {
		s.Attributes = append(s.Attributes, number("rpc.grpc.status_code", int64(e.GRPC-1)))
	}
	if e.Failed() || e.Reason != "" {
		s.Status = &tracepb.Status{Code: tracepb.Status_STATUS_CODE_ERROR, Message: e.Reason}
	}
}

// name is namespace/name, empty for nobody known.
func name(w *telemetry.Workload) string {
	if w.Name == "" {
		return ""
	}
	return w.Namespace + "/" + w.Name
}

// attributes are pairs of names and values; empty values are left out, and so is
// what is no UTF-8: one caller must not spoil a batch.
func attributes(pairs ...string) (out []*commonpb.KeyValue) {
	for i := 0; i < len(pairs); i += 2 {
		if pairs[i+1] != "" {
			value := &commonpb.AnyValue{Value: &commonpb.AnyValue_StringValue{StringValue: strings.ToValidUTF8(pairs[i+1], "")}}
			out = append(out, &commonpb.KeyValue{Key: pairs[i], Value: value})
		}
	}
	return out
}

func number(name string, n int64) *commonpb.KeyValue {
	return &commonpb.KeyValue{Key: name, Value: &commonpb.AnyValue{Value: &commonpb.AnyValue_IntValue{IntValue: n}}}
}
