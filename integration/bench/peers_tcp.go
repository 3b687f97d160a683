package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
)

// Where the backends of TCP listen, each kind with two versions, and HAProxy.
const (
	sourceOne  = 19121
	sourceTwo  = 19122
	echoOne    = 19123
	echoTwo    = 19124
	hapTCPPort = 19125
)

// newFieldTCP builds Weft and starts the backends, this program once more.
func newFieldTCP(ctx context.Context, one, two int) (*field, error) {
	if _, err := exec.LookPath("haproxy"); err != nil {
		return nil, errors.New("haproxy is missing: apt-get install haproxy")
	}
	dir, err := os.MkdirTemp("", "weft-bench-tcp-")
	if err != nil {
		return nil, err
	}
	f := &field{dir: dir, weft: filepath.Join(dir, "weft")}
	if out, err := exec.CommandContext(ctx, "go", "build", "-o", f.weft, "./cmd/weft").CombinedOutput(); err != nil {
		return nil, fmt.Errorf("building weft: %w: %s", err, out)
	}
	mesh := strings.NewReplacer("name: http", "name: tcp", strconv.Itoa(backendOne), strconv.Itoa(one), strconv.Itoa(backendTwo), strconv.Itoa(two)).Replace(objects(1))
	if err := os.WriteFile(filepath.Join(dir, "mesh.yaml"), []byte(mesh), 0o600); err != nil {
		return nil, err
	}
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	f.backends = &proxy{process: exec.CommandContext(ctx, self, "-tcpbackends")}
	f.backends.process.Stderr = os.Stderr
	if err := f.backends.process.Start(); err != nil {
		return nil, err
	}
	return f, reachable(ctx, "127.0.0.1:"+strconv.Itoa(two))
}

// serveTCP serves the backends until the context ends: sources give bytes as
// fast as they are taken, echoes give back what they hear.
func serveTCP(ctx context.Context) error {
	failed := make(chan error, 4)
	for port, serve := range map[int]func(net.Conn){sourceOne: pour, sourceTwo: pour, echoOne: echo, echoTwo: echo} {
		l, err := net.Listen("tcp", "127.0.0.1:"+strconv.Itoa(port))
		if err != nil {
			return err
		}
		stop := context.AfterFunc(ctx, func() { _ = l.Close() })
		defer stop()
		go func() {
			for {
				c, err := l.Accept()
				if err != nil {
					failed <- err
					return
				}
				go serve(c)
			}
		}()
	}
	if err := <-failed; ctx.Err() == nil {
		return err
	}
	return nil
}

func pour(c net.Conn) {
	defer c.Close()
	b := make([]byte, 256<<10)
	for {
		if _, err := c.Write(b); err != nil {
			return
		}
	}
}

func echo(c net.Conn) {
	defer c.Close()
	b := make([]byte, 4<<10)
	for {
		n, err := c.Read(b)
		if err != nil {
			return
		}
		if _, err := c.Write(b[:n]); err != nil {
			return
		}
	}
}

// startTCP runs Weft or HAProxy on one core; "splice" is HAProxy told to splice.
func (f *field) startTCP(ctx context.Context, name string, one, two int) (*proxy, error) {
	if name == "weft" {
		return f.startWeft(ctx, 1)
	}
	port, option := hapTCPPort, ""
	if name == "splice" {
		port, option = hapTCPPort+1, "option splice-auto"
	}
	config := filepath.Join(f.dir, name+".cfg")
	content := fmt.Sprintf(`global
  nbthread 1
  maxconn 2000
defaults
  mode tcp
  %s
  timeout connect 5s
  timeout client 300s
  timeout server 300s
frontend f
  bind 127.0.0.1:%d
  default_backend b
backend b
  server one 127.0.0.1:%d
  server two 127.0.0.1:%d
`, option, port, one, two)
	if err := os.WriteFile(config, []byte(content), 0o600); err != nil {
		return nil, err
	}
	p := &proxy{at: "127.0.0.1:" + strconv.Itoa(port), process: exec.CommandContext(ctx, "haproxy", "-q", "-db", "-f", config)}
	if err := p.process.Start(); err != nil {
		return nil, err
	}
	return p, reachable(ctx, p.at)
}
