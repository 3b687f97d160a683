package http1_test

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
)

// readHeadOnly reads a request's head and returns a reader of its body.
func readHeadOnly(in *bufio.Reader) (*http.Request, io.Reader, error) {
	r, err := http.ReadRequest(in)
	if err != nil {
		return nil, nil, err
	}
	return r, r.Body, nil
}

// echo posts a body, with a length or in chunks of a size, and returns the
// answer's. It sends and reads at once.
func echo(w *world, body []byte, chunk int) []byte {
	w.Helper()
	c := w.dial()
	defer c.Close()
	go func() {
		if chunk == 0 {
			_, _ = fmt.Fprintf(c, "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\n", len(body))
			_, _ = c.Write(body)
			return
		}
		_, _ = io.WriteString(c, "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n")
		for len(body) > 0 {
			n := min(chunk, len(body))
			_, _ = fmt.Fprintf(c, "%X;n=%d\r\n%s\r\n", n, n, body[:n])
			body = body[n:]
		}
		_, _ = io.WriteString(c, "0\r\n\r\n")
	}()
	res, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		w.Fatal(err)
	}
	got, err := io.ReadAll(res.Body)
	if err != nil {
		w.Fatalf("after %d bytes: %v", len(got), err)
	}
	return got
}
