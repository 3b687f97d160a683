package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// caseH2 is one kind of HTTP/2 load.
type caseH2 struct {
	name                 string
	connections, streams int
	grpc                 bool
	threads              int     // of the proxy
	goal                 float64 // Weft's share of HAProxy's processor time, at most
}

// casesH2 are those that are measured; gRPC last, for it has other backends.
var casesH2 = []caseH2{
	{"HTTP/2, 8 connections x 16 streams", 8, 16, false, 1, 0.75},
	{"HTTP/2, 64 connections x 1 stream", 64, 1, false, 1, 0.95},
	{"HTTP/2, 64 connections x 1 stream, two cores", 64, 1, false, 2, 0},
	{"gRPC unary, 64 callers", 64, 1, true, 1, 0.90},
}

// runH2 measures HTTP/2, Weft and HAProxy in turn. Nginx does not speak it to
// its backends.
func runH2(ctx context.Context, rounds int, d time.Duration, only string) error {
	failed := 0
	for _, kind := range []struct {
		grpc     bool
		one, two int
	}{{false, nginxH2One, nginxH2Two}, {true, grpcOne, grpcTwo}} {
		f, err := newFieldH2(ctx, kind.one, kind.two)
		if err != nil {
			return err
		}
		for _, c := range casesH2 {
			if c.grpc != kind.grpc || !strings.Contains(c.name, only) {
				continue
			}
			n, err := f.measureH2(ctx, c, rounds, d, [2]int{kind.one, kind.two})
			if failed += n; err != nil {
				f.close()
				return err
			}
		}
		f.close()
	}
	if failed > 0 {
		return fmt.Errorf("%d requests failed", failed)
	}
	return nil
}

// measureH2 runs one case and prints its rows.
func (f *field) measureH2(ctx context.Context, c caseH2, rounds int, d time.Duration, backends [2]int) (failed int, err error) {
	names := []string{"weft", "haproxy"}
	running := map[string]*proxy{}
	defer func() {
		for _, p := range running {
			p.stop()
		}
	}()
	results := map[string][]result{}
	for round := range rounds + 1 {
		for _, name := range names {
			if round == 0 {
				if running[name], err = f.startH2(ctx, name, c.threads, backends[0], backends[1]); err != nil {
					return failed, fmt.Errorf("%s: %w", name, err)
				}
			}
			r, err := f.loadH2(ctx, running[name], c, d)
			if err != nil {
				return failed, fmt.Errorf("%s: %w", name, err)
			}
			if failed += r.failed; round > 0 { // the first is for warming up
				results[name] = append(results[name], r)
			}
		}
	}
	var ratios []float64
	for i, r := range results["weft"] {
		ratios = append(ratios, r.cpu/results["haproxy"][i].cpu)
	}
	fmt.Printf("\n%s\n%-10s %10s %10s %10s %8s\n", c.name, "", "µs/req", "req/s", "mean µs", "failed")
	for _, name := range names {
		rs, lost := results[name], 0
		for _, r := range rs {
			lost += r.failed
		}
		fmt.Printf("%-10s %10.2f %10.0f %10.0f %8d\n", name, median(rs, func(r result) float64 { return r.cpu }),
			median(rs, func(r result) float64 { return r.rate }), median(rs, func(r result) float64 { return r.p50 }), lost)
	}
	fmt.Printf("weft / haproxy: %.2f (rounds %.2f; goal %.2f)\n", middle(ratios), ratios, c.goal)
	return failed, ctx.Err()
}

var (
	patternRateH2   = regexp.MustCompile(`finished in [^,]+, ([\d.]+) req/s`)
	patternDoneH2   = regexp.MustCompile(`(\d+) succeeded`)
	patternFailedH2 = regexp.MustCompile(`(\d+) failed`)
	patternMeanH2   = regexp.MustCompile(`time for request:\s+\S+\s+\S+\s+([\d.]+)(us|ms|s)`)
)

// loadH2 runs h2load against a proxy for so long. The mean stands for p50.
func (f *field) loadH2(ctx context.Context, p *proxy, c caseH2, d time.Duration) (result, error) {
	arguments := []string{"-t1", "-c" + strconv.Itoa(c.connections), "-m" + strconv.Itoa(c.streams), "-D" + strconv.Itoa(int(d.Seconds()))}
	path := "/"
	if c.grpc {
		// An empty message with its length of five octets.
		message := filepath.Join(f.dir, "message")
		if err := os.WriteFile(message, make([]byte, 5), 0o600); err != nil {
			return result{}, err
		}
		arguments = append(arguments, "-d", message, "-H", "content-type: application/grpc", "-H", "te: trailers")
		path = "/grpc.testing.TestService/EmptyCall"
	}
	before, err := p.cpu()
	if err != nil {
		return result{}, err
	}
	out, err := exec.CommandContext(ctx, "h2load", append(arguments, "http://"+p.at+path)...).CombinedOutput()
	if err != nil {
		return result{}, fmt.Errorf("h2load: %w: %s", err, out)
	}
	after, err := p.cpu()
	if err != nil {
		return result{}, err
	}
	text := string(out)
	count := number(patternDoneH2, text)
	if count == 0 {
		return result{}, fmt.Errorf("no request was answered:\n%s", text)
	}
	r := result{cpu: float64((after - before).Microseconds()) / count, rate: number(patternRateH2, text), failed: int(number(patternFailedH2, text))}
	if m := patternMeanH2.FindStringSubmatch(text); m != nil {
		v, _ := strconv.ParseFloat(m[1], 64)
		r.p50 = v * map[string]float64{"us": 1, "ms": 1e3, "s": 1e6}[m[2]]
	}
	return r, nil
}
