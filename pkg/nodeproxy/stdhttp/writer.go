package stdhttp

import (
	"bufio"
	"net"
	"net/http"
)

// writer passes an answer on as it is: nothing is added that the endpoint did
// not say, but a goodbye while the proxy drains.
type writer struct {
	http.ResponseWriter
	goodbye func() bool
	status  int // the final one; 0 before it
}

// WriteHeader writes a status with the headers.
func (w *writer) WriteHeader(code int) {
	if code >= 200 && w.status == 0 {
		w.status = code
		if _, has := w.Header()["Content-Type"]; !has {
			w.Header()["Content-Type"] = nil // no guess
		}
		if w.goodbye() {
			w.Header().Set("Connection", "close")
		}
	}
	w.ResponseWriter.WriteHeader(code)
}

// Write passes a piece of the body on at once, whether the length is known or
// not. ReverseProxy's own FlushInterval would do it by a timer, which may part
// a head without a body from the end of its stream.
func (w *writer) Write(p []byte) (int, error) {
	if w.status == 0 {
		w.WriteHeader(http.StatusOK)
	}
	n, err := w.ResponseWriter.Write(p)
	if err != nil {
		return n, err
	}
	return n, http.NewResponseController(w.ResponseWriter).Flush()
}

// Unwrap lets http.ResponseController find Flush.
func (w *writer) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// Hijack takes the connection over for an upgrade. What the client sent right
// after its handshake is not lost: it is read from the connection first.
func (w *writer) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	c, rw, err := http.NewResponseController(w.ResponseWriter).Hijack()
	if err != nil {
		return nil, nil, err
	}
	w.status = http.StatusSwitchingProtocols
	return &upgraded{conn: c.(*conn), ahead: rw.Reader}, rw, nil
}
