package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"time"

	"github.com/coder/websocket"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/interop"
	grpctest "google.golang.org/grpc/interop/grpc_testing"
)

// callFor serves the caller role's commands on port 8081:
//
//	/http?url=…&n=1        n requests on connections of their own: a JSON array of Result
//	/tcp?address=…         greeting, echo, half-close, goodbye
//	/udp?address=…         one datagram and its answer
//	/grpc?address=…        unary, streaming both ways, trailers and statuses
//	/ws?url=…              messages of several sizes over one WebSocket
//	/resolve?name=…        the addresses of a name
//	/load/start?url=…      a steady load; /load/count says how far it is, and
//	                       /load/last?n=… who answered its last calls; it ends with
//	/load/stop             which answers with a Report
func callFor() error {
	mux := http.NewServeMux()
	for path, call := range map[string]func(*http.Request) (any, error){
		"/http": callHTTP, "/tcp": callTCP, "/udp": callUDP, "/grpc": callGRPC, "/ws": callWebSocket, "/resolve": resolve,
	} {
		mux.HandleFunc(path, answer(call))
	}
	loads := &loads{}
	mux.HandleFunc("/load/start", answer(loads.start))
	mux.HandleFunc("/load/last", answer(loads.last))
	mux.HandleFunc("/load/count", answer(loads.counted))
	mux.HandleFunc("/load/stop", answer(loads.stop))
	server := &http.Server{Addr: ":8081", Handler: mux, ReadHeaderTimeout: 10 * time.Second}
	return server.ListenAndServe()
}

// answer writes what a call returns as JSON; an error becomes status 500 with its text.
func answer(call func(*http.Request) (any, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		out, err := call(r)
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		_ = json.NewEncoder(w).Encode(out)
	}
}

// Result is one HTTP call: the server's Echo where there is one.
type Result struct {
	Status int           `json:"status"`
	Error  string        `json:"error,omitempty"`
	Reason string        `json:"reason,omitempty"` // the weft-reason header
	Echo   Echo          `json:"echo"`
	Took   time.Duration `json:"took"` // until all of the answer was read
}

func request(ctx context.Context, client *http.Client, method, url string, body []byte) (result Result) {
	req, err := http.NewRequestWithContext(ctx, method, url, bytes.NewReader(body))
	if err != nil {
		return Result{Error: err.Error()}
	}
	began := time.Now()
	defer func() { result.Took = time.Since(began) }()
	response, err := client.Do(req)
	if err != nil {
		return Result{Error: err.Error()}
	}
	defer func() { _ = response.Body.Close() }()
	result.Status, result.Reason = response.StatusCode, response.Header.Get("weft-reason")
	content, err := io.ReadAll(response.Body)
	if err == nil && response.StatusCode == http.StatusOK {
		err = json.Unmarshal(content, &result.Echo)
	}
	if err != nil {
		result.Error = err.Error()
	} else if response.StatusCode != http.StatusOK {
		result.Error = fmt.Sprintf("status %d: %s", response.StatusCode, content)
	}
	return result
}

func callHTTP(r *http.Request) (any, error) {
	n, err := strconv.Atoi(r.FormValue("n"))
	if err != nil {
		n = 1
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 10 * time.Second}
	results := make([]Result, n)
	for i := range results {
		results[i] = request(r.Context(), client, http.MethodGet, r.FormValue("url"), nil)
	}
	return results, nil
}

func callTCP(r *http.Request) (any, error) {
	conn, err := (&net.Dialer{Timeout: 5 * time.Second}).DialContext(r.Context(), "tcp", r.FormValue("address"))
	if err != nil {
		return nil, err
	}
	defer func() { _ = conn.Close() }()
	if err := conn.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		return nil, err
	}
	reader := bufio.NewReader(conn)
	greeting, err := reader.ReadString('\n')
	if err != nil {
		return nil, fmt.Errorf("greeting: %w", err)
	}
	if _, err := io.WriteString(conn, "ping\n"); err != nil {
		return nil, err
	}
	if err := conn.(*net.TCPConn).CloseWrite(); err != nil {
		return nil, err
	}
	rest, err := io.ReadAll(reader)
	return greeting + string(rest), err
}

func callUDP(r *http.Request) (any, error) {
	conn, err := net.Dial("udp", r.FormValue("address"))
	if err != nil {
		return nil, err
	}
	defer func() { _ = conn.Close() }()
	if err := conn.SetDeadline(time.Now().Add(5 * time.Second)); err != nil {
		return nil, err
	}
	if _, err := io.WriteString(conn, "ping"); err != nil {
		return nil, err
	}
	buffer := make([]byte, 1500)
	n, err := conn.Read(buffer)
	return string(buffer[:n]), err
}

// callGRPC runs the interop cases that matter to a proxy; they panic or exit on
// failure in the library, so each is a call with its own check.
func callGRPC(r *http.Request) (any, error) {
	conn, err := grpc.NewClient(r.FormValue("address"), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return nil, err
	}
	defer func() { _ = conn.Close() }()
	ctx, cancel := context.WithTimeout(r.Context(), 20*time.Second)
	defer cancel()
	client := grpctest.NewTestServiceClient(conn)
	interop.DoEmptyUnaryCall(ctx, client)
	interop.DoLargeUnaryCall(ctx, client)
	interop.DoClientStreaming(ctx, client)
	interop.DoServerStreaming(ctx, client)
	interop.DoPingPong(ctx, client)
	interop.DoCustomMetadata(ctx, client)
	interop.DoStatusCodeAndMessage(ctx, client)
	return "7 cases", ctx.Err()
}

func callWebSocket(r *http.Request) (any, error) {
	ctx, cancel := context.WithTimeout(r.Context(), 10*time.Second)
	defer cancel()
	conn, _, err := websocket.Dial(ctx, r.FormValue("url"), nil)
	if err != nil {
		return nil, err
	}
	defer func() { _ = conn.CloseNow() }()
	for _, size := range []int{0, 125, 126, 16000} {
		sent := bytes.Repeat([]byte{'x'}, size)
		if err := conn.Write(ctx, websocket.MessageBinary, sent); err != nil {
			return nil, err
		}
		if _, got, err := conn.Read(ctx); err != nil || !bytes.Equal(got, sent) {
			return nil, fmt.Errorf("message of %d bytes: got %d, %w", size, len(got), err)
		}
	}
	return "4 messages", conn.Close(websocket.StatusNormalClosure, "")
}

func resolve(r *http.Request) (any, error) {
	return net.DefaultResolver.LookupHost(r.Context(), r.FormValue("name"))
}
