package main

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Where the backends listen: two versions of one Service, and Weft's mesh.
const (
	backendOne = 19101
	backendTwo = 19102
	nginxPort  = 19103
	hapPort    = 19104
	stdPort    = 19105
	services   = 1000
)

// field is what all proxies share: a folder and the backends.
type field struct {
	dir      string
	weft     string // the binary
	backends *proxy
}

// proxy is a process that is measured.
type proxy struct {
	at      string
	process *exec.Cmd
}

func newField(ctx context.Context) (*field, error) {
	for _, tool := range []string{"nginx", "haproxy", "wrk"} {
		if _, err := exec.LookPath(tool); err != nil {
			return nil, errTools
		}
	}
	dir, err := os.MkdirTemp("", "weft-bench-")
	if err != nil {
		return nil, err
	}
	f := &field{dir: dir, weft: filepath.Join(dir, "weft")}
	if err := build(ctx, f.weft); err != nil {
		return nil, err
	}
	if err := os.WriteFile(filepath.Join(dir, "mesh.yaml"), []byte(objects(1)), 0o600); err != nil {
		return nil, err
	}
	f.backends, err = f.nginx(ctx, "backends", 1, fmt.Sprintf(`server { listen 127.0.0.1:%d reuseport; listen 127.0.0.1:%d reuseport; default_type text/plain;
location = /small { return 200 "%s"; } location / { root %s; } }`,
		backendOne, backendTwo, strings.Repeat("a", 98), dir))
	if err != nil {
		return nil, err
	}
	for name, size := range map[string]int{"10k": 10_000, "100k": 100_000} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(strings.Repeat("a", size)), 0o644); err != nil {
			return nil, err
		}
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		return nil, err
	}
	return f, reachable(ctx, "127.0.0.1:"+strconv.Itoa(backendOne))
}

// build makes the binary as `make build` does, without its version.
func build(ctx context.Context, binary string) error {
	command := exec.CommandContext(ctx, "go", "build", "-trimpath", "-ldflags", "-s -w", "-o", binary, "./cmd/weft")
	command.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := command.CombinedOutput(); err != nil {
		return fmt.Errorf("building weft: %w: %s", err, out)
	}
	return nil
}

func (f *field) close() {
	f.backends.stop()
	_ = os.RemoveAll(f.dir)
}

// start runs one of the proxies with so many threads.
func (f *field) start(ctx context.Context, name string, threads int) (*proxy, error) {
	var p *proxy
	var err error
	switch name {
	case "weft":
		return f.startWeft(ctx, threads)
	case "nginx":
		p, err = f.nginx(ctx, "proxy", threads, fmt.Sprintf(`upstream b { server 127.0.0.1:%d; server 127.0.0.1:%d; keepalive 1024; keepalive_requests 1000000000; }
server { listen 127.0.0.1:%d reuseport; location / { proxy_pass http://b; proxy_http_version 1.1; proxy_set_header Connection ""; proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for; } }`,
			backendOne, backendTwo, nginxPort))
		p.at = "127.0.0.1:" + strconv.Itoa(nginxPort)
	case "haproxy":
		p, err = f.haproxy(ctx, threads)
	default:
		var self string
		if self, err = os.Executable(); err != nil {
			return nil, err
		}
		at := "127.0.0.1:" + strconv.Itoa(stdPort)
		p = &proxy{at: at, process: exec.CommandContext(ctx, self, "-reverseproxy", at)}
		p.process.Env = append(os.Environ(), "GOMAXPROCS="+strconv.Itoa(threads))
		err = p.process.Start()
	}
	if err != nil {
		return nil, err
	}
	return p, reachable(ctx, p.at)
}

// stop ends a proxy and waits for it.
func (p *proxy) stop() {
	if p != nil && p.process.Process != nil {
		_ = p.process.Process.Signal(syscall.SIGTERM)
		_ = p.process.Wait()
	}
}

func (f *field) nginx(ctx context.Context, name string, workers int, servers string) (*proxy, error) {
	config := filepath.Join(f.dir, name+".conf")
	content := fmt.Sprintf(`daemon off; worker_processes %d; pid %s; error_log /dev/null crit; worker_rlimit_nofile 18000;
events { worker_connections 16384; }
http { access_log off; keepalive_requests 1000000000; keepalive_timeout 300s; sendfile on; tcp_nodelay on; open_file_cache max=10;
client_body_temp_path %[3]s/b; proxy_temp_path %[3]s/p; fastcgi_temp_path %[3]s/f; uwsgi_temp_path %[3]s/u; scgi_temp_path %[3]s/s;
%[4]s }
`, workers, filepath.Join(f.dir, name+".pid"), f.dir, servers)
	if err := os.WriteFile(config, []byte(content), 0o600); err != nil {
		return nil, err
	}
	p := &proxy{process: exec.CommandContext(ctx, "nginx", "-p", f.dir, "-c", config)}
	return p, p.process.Start()
}

func (f *field) haproxy(ctx context.Context, threads int) (*proxy, error) {
	config := filepath.Join(f.dir, "haproxy.cfg")
	content := fmt.Sprintf(`global
  nbthread %d
  maxconn 9000
defaults
  mode http
  timeout connect 5s
  timeout client 300s
  timeout server 300s
  option forwardfor
  http-reuse always
frontend f
  bind 127.0.0.1:%d
  default_backend b
backend b
  server one 127.0.0.1:%d
  server two 127.0.0.1:%d
`, threads, hapPort, backendOne, backendTwo)
	if err := os.WriteFile(config, []byte(content), 0o600); err != nil {
		return nil, err
	}
	p := &proxy{at: "127.0.0.1:" + strconv.Itoa(hapPort), process: exec.CommandContext(ctx, "haproxy", "-q", "-db", "-f", config)}
	return p, p.process.Start()
}

// startWeft runs `weft local` and reads from its lines where the measured
// Service is.
func (f *field) startWeft(ctx context.Context, threads int) (*proxy, error) {
	p := &proxy{process: exec.CommandContext(ctx, f.weft, "local", "--manifests="+filepath.Join(f.dir, "mesh.yaml"),
		"--portOffset=20000", "--dns.address=127.0.0.1:19153", "--admin.address=127.0.0.1:19150")}
	p.process.Env = append(os.Environ(), "GOMAXPROCS="+strconv.Itoa(threads))
	out, err := p.process.StdoutPipe()
	if err != nil {
		return nil, err
	}
	p.process.Stderr = os.Stderr
	if err := p.process.Start(); err != nil {
		return nil, err
	}
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		words := strings.Fields(lines.Text())
		if len(words) > 1 && strings.HasPrefix(words[0], "measured.bench.") {
			p.at = words[1]
		}
		if len(words) == 1 && words[0] == "ready" {
			return p, reachable(ctx, p.at)
		}
	}
	p.stop()
	return nil, fmt.Errorf("weft local ended before it was ready")
}

// objects writes the mesh: a split on the measured Service, and many others, each
// with so many endpoints.
func objects(endpoints int) string {
	var b strings.Builder
	others := 0
	service := func(name string, port int) {
		fmt.Fprintf(&b, `---
apiVersion: v1
kind: Service
metadata: {name: %[1]s, namespace: bench}
spec: {ports: [{name: http, port: 80, protocol: TCP}]}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: %[1]s-1, namespace: bench, labels: {kubernetes.io/service-name: %[1]s}}
addressType: IPv4
ports: [{name: http, port: %[2]d, protocol: TCP}]
endpoints:
`, name, port)
		for i := range endpoints {
			address := "127.0.0.1"
			if i > 0 { // of nobody else
				others++
				address = fmt.Sprintf("127.%d.%d.%d", 1+others/62500, others/250%250, others%250+1)
			}
			fmt.Fprintf(&b, "- {addresses: [%s], conditions: {ready: true, serving: true, terminating: false}}\n", address)
		}
	}
	service("measured", backendOne)
	service("measured-v1", backendOne)
	service("measured-v2", backendTwo)
	for i := range services - 3 {
		service("other-"+strconv.Itoa(i), backendOne)
	}
	b.WriteString(`---
apiVersion: split.smi-spec.io/v1alpha4
kind: TrafficSplit
metadata: {name: measured, namespace: bench}
spec:
  service: measured
  backends: [{service: measured-v1, weight: 50}, {service: measured-v2, weight: 50}]
`)
	return b.String()
}

// reverseProxy is the standard library's, as it comes.
func reverseProxy(ctx context.Context, at string) error {
	target, err := url.Parse("http://127.0.0.1:" + strconv.Itoa(backendOne))
	if err != nil {
		return err
	}
	proxy := &httputil.ReverseProxy{
		Rewrite:   func(r *httputil.ProxyRequest) { r.SetURL(target); r.SetXForwarded() },
		Transport: &http.Transport{MaxIdleConnsPerHost: 1024},
	}
	server := &http.Server{Addr: at, Handler: proxy, ReadHeaderTimeout: 10 * time.Second}
	stop := context.AfterFunc(ctx, func() { _ = server.Close() })
	defer stop()
	return server.ListenAndServe()
}

// reachable waits until something listens.
func reachable(ctx context.Context, at string) error {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	ticker := time.NewTicker(10 * time.Millisecond)
	defer ticker.Stop()
	for {
		c, err := (&net.Dialer{}).DialContext(ctx, "tcp", at)
		if err == nil {
			return c.Close()
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return fmt.Errorf("%s does not listen: %w", at, err)
		}
	}
}
