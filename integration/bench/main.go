// The bench command measures what HTTP/1.1 proxies cost, side by side: Weft as
// `weft local` with a mesh of 1,000 Services and a split on the measured one,
// metrics on; nginx; HAProxy; and httputil.ReverseProxy. It needs Linux and the
// Debian packages nginx, haproxy and wrk.
//
//	go run ./integration/bench -rounds 3 -seconds 2
//	go run ./integration/bench -http2    # HTTP/2 and gRPC; needs nghttp2-client
//	go run ./integration/bench -tcp      # TCP, HAProxy only
//	go run ./integration/bench -open     # latency at 10,000 requests/s
//	go run ./integration/bench -cost     # metrics and scrapes, beside the engines alone
//	go run ./integration/bench -memory   # idle connections; Weft as a whole
//
// All have the same backends, the same load in turn, and the same number of
// threads. What counts is the processor time of the proxy for each request:
// load, proxy and backend share the machine, so requests per second say more
// of the load tool. The exit status is 1 where a request failed.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"
)

// testCase is one kind of load.
type testCase struct {
	name        string
	connections int
	path        string
	threads     int  // of the proxy
	once        bool // each connection carries one request
}

// cases are those that are measured.
var cases = []testCase{
	{"64 connections, 100 bytes", 64, "/small", 1, false},
	{"1024 connections, 100 bytes", 1024, "/small", 1, false},
	{"64 connections, 10 KB", 64, "/10k", 1, false},
	{"64 connections, 100 KB", 64, "/100k", 1, false},
	{"64 connections, 100 bytes, two cores", 64, "/small", 2, false},
	{"64 at a time, a connection for each request", 64, "/small", 1, true},
}

// proxies are those that are compared, in the order of the columns.
var proxies = []string{"weft", "nginx", "haproxy", "net/http"}

func main() {
	rounds := flag.Int("rounds", 3, "how often each case is measured, proxies in turn")
	seconds := flag.Int("seconds", 2, "how long one measurement takes")
	only := flag.String("only", "", "measure only cases whose name contains this")
	reverse := flag.String("reverseproxy", "", "internal: serve httputil.ReverseProxy on this address")
	http2 := flag.Bool("http2", false, "measure HTTP/2 and gRPC instead")
	open := flag.Bool("open", false, "measure latency at a given rate instead")
	memory := flag.Bool("memory", false, "measure what is held idle instead")
	cost := flag.Bool("cost", false, "measure what metrics and scrapes cost instead")
	engineKind := flag.String("engine", "", "internal: serve by the data plane alone, bare or counting")
	tcp := flag.Bool("tcp", false, "measure TCP instead")
	tcpBackends := flag.Bool("tcpbackends", false, "internal: serve TCP")
	grpcBackends := flag.Bool("grpcbackends", false, "internal: serve gRPC")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	var err error
	switch d := time.Duration(*seconds) * time.Second; {
	case *reverse != "":
		err = reverseProxy(ctx, *reverse)
	case *grpcBackends:
		err = serveGRPC(ctx)
	case *tcpBackends:
		err = serveTCP(ctx)
	case *tcp:
		err = runTCP(ctx, *rounds, d, *only)
	case *engineKind != "":
		err = engine(ctx, *engineKind)
	case *cost:
		err = runCost(ctx, *rounds, d)
	case *open:
		err = runOpen(ctx, *rounds, d)
	case *memory:
		err = runMemory(ctx)
	case *http2:
		err = runH2(ctx, *rounds, d, *only)
	default:
		err = run(ctx, *rounds, d, *only)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, rounds int, d time.Duration, only string) error {
	field, err := newField(ctx)
	if err != nil {
		return err
	}
	defer field.close()
	failed := 0
	for _, c := range cases {
		if !strings.Contains(c.name, only) {
			continue
		}
		n, err := field.measure(ctx, c, rounds, d)
		if err != nil {
			return err
		}
		failed += n
	}
	if failed > 0 {
		return fmt.Errorf("%d requests failed", failed)
	}
	return nil
}

// measure runs one case and prints its rows. It returns how many requests failed.
func (f *field) measure(ctx context.Context, c testCase, rounds int, d time.Duration) (failed int, err error) {
	running := map[string]*proxy{}
	defer func() {
		for _, p := range running {
			p.stop()
		}
	}()
	for _, name := range proxies {
		if running[name], err = f.start(ctx, name, c.threads); err != nil {
			return 0, fmt.Errorf("%s: %w", name, err)
		}
		if _, err := load(ctx, running[name], c, time.Second); err != nil {
			return 0, fmt.Errorf("%s: %w", name, err)
		}
	}
	results := map[string][]result{}
	for range rounds {
		for _, name := range proxies {
			r, err := load(ctx, running[name], c, d)
			if err != nil {
				return 0, fmt.Errorf("%s: %w", name, err)
			}
			failed += r.failed
			results[name] = append(results[name], r)
		}
	}
	report(c, results)
	return failed, ctx.Err()
}

// report prints the medians of a case, and Weft's ratio to each other in the
// same rounds.
func report(c testCase, results map[string][]result) {
	fmt.Printf("\n%s\n%-10s %10s %10s %10s %10s %8s %12s\n", c.name, "", "µs/req", "req/s", "p50 µs", "p99 µs", "failed", "weft / this")
	for _, name := range proxies {
		rs := results[name]
		failed := 0
		for _, r := range rs {
			failed += r.failed
		}
		var ratios []float64
		for i, r := range rs {
			ratios = append(ratios, results["weft"][i].cpu/r.cpu)
		}
		fmt.Printf("%-10s %10.2f %10.0f %10.0f %10.0f %8d %12.2f\n", name,
			median(rs, func(r result) float64 { return r.cpu }), median(rs, func(r result) float64 { return r.rate }),
			median(rs, func(r result) float64 { return r.p50 }), median(rs, func(r result) float64 { return r.p99 }), failed, middle(ratios))
	}
}

func median(rs []result, of func(result) float64) float64 {
	var all []float64
	for _, r := range rs {
		all = append(all, of(r))
	}
	return middle(all)
}

func middle(all []float64) float64 {
	slices.Sort(all)
	return all[len(all)/2]
}

var errTools = errors.New("nginx, haproxy or wrk is missing: apt-get install nginx haproxy wrk")
