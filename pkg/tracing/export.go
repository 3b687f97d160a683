package tracing

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net/http"
)

// mostAnswer bounds what a collector may say.
const mostAnswer = 64 << 10

// post sends a body and returns the answer once it was read.
func (t *Tracer) post(ctx context.Context, to, kind string, body []byte) (*http.Response, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, to, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	request.Header.Set("Content-Type", kind)
	request.Header.Set("User-Agent", "weft")
	if kind == grpcType {
		request.Header.Set("Te", "trailers")
	}
	response, err := t.http.Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	_, err = io.Copy(io.Discard, io.LimitReader(response.Body, mostAnswer))
	return response, err
}

// overHTTP exports as OTLP/HTTP with binary protobuf.
func (t *Tracer) overHTTP(to string) func(context.Context, []byte) error {
	return func(ctx context.Context, message []byte) error {
		response, err := t.post(ctx, to, "application/x-protobuf", message)
		if err == nil && response.StatusCode/100 != 2 {
			err = fmt.Errorf("%w: %s", errRefused, response.Status)
		}
		return err
	}
}

const grpcType = "application/grpc"

// overGRPC exports as OTLP/gRPC. One unary call is a prefix of five bytes and a
// status in the trailers (gRPC over HTTP/2), which needs no library.
func (t *Tracer) overGRPC(to string) func(context.Context, []byte) error {
	return func(ctx context.Context, message []byte) error {
		framed := binary.BigEndian.AppendUint32(make([]byte, 1, 5+len(message)), uint32(len(message)))
		response, err := t.post(ctx, to, grpcType, append(framed, message...))
		if err != nil {
			return err
		}
		status, text := response.Trailer.Get("Grpc-Status"), response.Trailer.Get("Grpc-Message")
		if status == "" {
			status, text = response.Header.Get("Grpc-Status"), response.Header.Get("Grpc-Message")
		}
		if status != "0" {
			return fmt.Errorf("%w: %s, gRPC status %s %s", errRefused, response.Status, status, text)
		}
		return nil
	}
}
