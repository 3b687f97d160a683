// Package tracing makes spans of the requests that a node proxy has carried and
// sends them to an OpenTelemetry collector (OTLP 1.9, over gRPC or HTTP):
//
//	tracer, err := tracing.New(registry, tracing.Config{Endpoint: "grpc://collector:4317"})
//	events := telemetry.NewEvents(tracer)
//	err = tracer.Run(ctx)
//
// It is a Sink of package telemetry: spans are made from what is known when a
// request is over, on a goroutine of the tracer. The headers of a trace pass the
// proxy as they come, so that a request's spans are children of its caller's span,
// beside those of the service that was called.
package tracing
