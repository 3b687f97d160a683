package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strconv"
	"syscall"
	"time"

	"github.com/coder/websocket"
	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"
	"google.golang.org/grpc/interop"
	grpctest "google.golang.org/grpc/interop/grpc_testing"
)

// The ports of the server role.
const (
	httpPort = ":8080"
	grpcPort = ":9090"
	tcpPort  = ":7070"
	udpPort  = ":7071"
)

// Echo is what the server answers to an HTTP request: who answered and what it saw.
type Echo struct {
	Pod       string `json:"pod"`
	Version   string `json:"version"`
	Host      string `json:"host"`
	Path      string `json:"path"`
	Peer      string `json:"peer"` // address of the TCP peer: the proxy
	Forwarded string `json:"forwarded"`
}

// serve answers on all ports until SIGTERM and then for GRACE (a duration, none
// by default), while the cluster learns that the pod is going. After that it
// shuts down as most Go servers do: the listener and idle connections close at
// once, what was begun is finished.
func serve() error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	group, ctx := errgroup.WithContext(ctx)
	mux := http.NewServeMux()
	mux.HandleFunc("/", echo)
	mux.HandleFunc("/ws", echoWebSocket)
	server := &http.Server{Addr: httpPort, Handler: mux, ReadHeaderTimeout: 10 * time.Second}
	group.Go(func() error {
		if err := server.ListenAndServe(); !errors.Is(err, http.ErrServerClosed) {
			return err
		}
		return nil
	})
	calls := grpc.NewServer()
	grpctest.RegisterTestServiceServer(calls, interop.NewTestServer())
	group.Go(func() error {
		l, err := net.Listen("tcp", grpcPort)
		if err != nil {
			return err
		}
		return calls.Serve(l)
	})
	group.Go(func() error { return serveTCP(ctx) })
	group.Go(func() error { return serveUDP(ctx) })
	grace, _ := time.ParseDuration(os.Getenv("GRACE")) // empty is none
	group.Go(func() error {
		<-ctx.Done()
		time.Sleep(grace)
		calls.GracefulStop()
		return server.Shutdown(context.Background())
	})
	return group.Wait()
}

// echo answers after ?delay= (a duration) and with ?status=, where a request has these.
func echo(w http.ResponseWriter, r *http.Request) {
	_, _ = io.Copy(io.Discard, r.Body)
	if delay, err := time.ParseDuration(r.URL.Query().Get("delay")); err == nil {
		time.Sleep(delay)
	}
	w.Header().Set("Content-Type", "application/json")
	if status, err := strconv.Atoi(r.URL.Query().Get("status")); err == nil {
		w.WriteHeader(status)
	}
	_ = json.NewEncoder(w).Encode(Echo{
		Pod: os.Getenv("POD"), Version: os.Getenv("VERSION"), Host: r.Host, Path: r.URL.Path,
		Peer: r.RemoteAddr, Forwarded: r.Header.Get("X-Forwarded-For"),
	})
}

func echoWebSocket(w http.ResponseWriter, r *http.Request) {
	c, err := websocket.Accept(w, r, nil)
	if err != nil {
		return
	}
	defer func() { _ = c.CloseNow() }()
	for {
		kind, message, err := c.Read(r.Context())
		if err != nil {
			return
		}
		if err := c.Write(r.Context(), kind, message); err != nil {
			return
		}
	}
}

// serveTCP speaks first (its pod's name), then echoes until the client's half
// closes, then says goodbye on the other half.
func serveTCP(ctx context.Context) error {
	l, err := net.Listen("tcp", tcpPort)
	if err != nil {
		return err
	}
	defer context.AfterFunc(ctx, func() { _ = l.Close() })()
	for {
		conn, err := l.Accept()
		if err != nil {
			return nil
		}
		go greet(conn)
	}
}

func greet(conn net.Conn) {
	defer func() { _ = conn.Close() }()
	fmt.Fprintf(conn, "hello %s\n", os.Getenv("POD"))
	if _, err := io.Copy(conn, bufio.NewReader(conn)); err == nil {
		fmt.Fprintln(conn, "goodbye")
	}
}

func serveUDP(ctx context.Context) error {
	conn, err := net.ListenPacket("udp", udpPort)
	if err != nil {
		return err
	}
	defer context.AfterFunc(ctx, func() { _ = conn.Close() })()
	buffer := make([]byte, 65535)
	for {
		n, from, err := conn.ReadFrom(buffer)
		if err != nil {
			return nil
		}
		_, _ = conn.WriteTo(append([]byte(os.Getenv("POD")+" "), buffer[:n]...), from)
	}
}
