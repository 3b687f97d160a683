package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"

	"google.golang.org/grpc"
	"google.golang.org/grpc/interop"
	pb "google.golang.org/grpc/interop/grpc_testing"
)

// Where the backends of HTTP/2 listen, each kind with two versions, and HAProxy.
const (
	nginxH2One = 19111
	nginxH2Two = 19112
	grpcOne    = 19113
	grpcTwo    = 19114
	hapH2Port  = 19115
)

// newFieldH2 builds Weft and starts the backends: nginx, or gRPC servers of the
// given program.
func newFieldH2(ctx context.Context, one, two int) (*field, error) {
	for _, tool := range []string{"nginx", "haproxy", "h2load"} {
		if _, err := exec.LookPath(tool); err != nil {
			return nil, fmt.Errorf("%s is missing: apt-get install nginx haproxy nghttp2-client", tool)
		}
	}
	dir, err := os.MkdirTemp("", "weft-bench-h2-")
	if err != nil {
		return nil, err
	}
	f := &field{dir: dir, weft: filepath.Join(dir, "weft")}
	if err := build(ctx, f.weft); err != nil {
		return nil, err
	}
	mesh := strings.NewReplacer(strconv.Itoa(backendOne), strconv.Itoa(one), strconv.Itoa(backendTwo), strconv.Itoa(two)).Replace(objects(1))
	if err := os.WriteFile(filepath.Join(dir, "mesh.yaml"), []byte(mesh), 0o600); err != nil {
		return nil, err
	}
	if one == grpcOne {
		f.backends, err = grpcBackends(ctx)
	} else {
		f.backends, err = f.nginx(ctx, "backends", 1, fmt.Sprintf(`http2_max_concurrent_streams 1024;
server { listen 127.0.0.1:%d http2 reuseport; listen 127.0.0.1:%d http2 reuseport; default_type text/plain; location / { return 200 "%s"; } }`,
			one, two, strings.Repeat("a", 98)))
	}
	if err != nil {
		return nil, err
	}
	return f, reachable(ctx, "127.0.0.1:"+strconv.Itoa(two))
}

// grpcBackends runs this program as two gRPC servers.
func grpcBackends(ctx context.Context) (*proxy, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	p := &proxy{process: exec.CommandContext(ctx, self, "-grpcbackends")}
	return p, p.process.Start()
}

// serveGRPC serves gRPC's own test service on both ports until the context ends.
func serveGRPC(ctx context.Context) error {
	server := grpc.NewServer()
	pb.RegisterTestServiceServer(server, interop.NewTestServer())
	stop := context.AfterFunc(ctx, server.Stop)
	defer stop()
	failed := make(chan error, 2)
	for _, port := range []int{grpcOne, grpcTwo} {
		l, err := net.Listen("tcp", "127.0.0.1:"+strconv.Itoa(port))
		if err != nil {
			return err
		}
		go func() { failed <- server.Serve(l) }()
	}
	return <-failed
}

// startH2 runs Weft or HAProxy with so many threads.
func (f *field) startH2(ctx context.Context, name string, threads, one, two int) (*proxy, error) {
	if name == "weft" {
		return f.startWeft(ctx, threads)
	}
	config := filepath.Join(f.dir, "haproxy.cfg")
	content := fmt.Sprintf(`global
  nbthread %d
  maxconn 8000
defaults
  mode http
  timeout connect 5s
  timeout client 300s
  timeout server 300s
  option forwardfor
  http-reuse always
frontend f
  bind 127.0.0.1:%d proto h2
  default_backend b
backend b
  server one 127.0.0.1:%d proto h2
  server two 127.0.0.1:%d proto h2
`, threads, hapH2Port, one, two)
	if err := os.WriteFile(config, []byte(content), 0o600); err != nil {
		return nil, err
	}
	p := &proxy{at: "127.0.0.1:" + strconv.Itoa(hapH2Port), process: exec.CommandContext(ctx, "haproxy", "-q", "-db", "-f", config)}
	if err := p.process.Start(); err != nil {
		return nil, err
	}
	return p, reachable(ctx, p.at)
}
