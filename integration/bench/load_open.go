package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"slices"
	"sync"
	"time"
)

// The open loop: requests come at random moments, so many a second, whether the
// ones before are answered or not.
const (
	openRate        = 10_000
	openConnections = 64
	openRequest     = "GET /small HTTP/1.1\r\nHost: bench\r\n\r\n"
)

// peersOpen are those that are compared.
var peersOpen = []string{"weft", "nginx", "haproxy"}

// runOpen measures latency at a given rate, proxies in turn.
func runOpen(ctx context.Context, rounds int, d time.Duration) error {
	f, err := newField(ctx)
	if err != nil {
		return err
	}
	defer f.close()
	running := map[string]*proxy{}
	defer func() {
		for _, p := range running {
			p.stop()
		}
	}()
	results := map[string][]result{}
	for round := range rounds + 1 {
		for _, name := range peersOpen {
			if round == 0 {
				if running[name], err = f.start(ctx, name, 1); err != nil {
					return fmt.Errorf("%s: %w", name, err)
				}
			}
			r, err := loadOpen(running[name], openRate, d)
			if err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
			if round > 0 { // the first is for warming up
				results[name] = append(results[name], r)
			}
		}
	}
	fmt.Printf("\nopen loop, %d requests/s over %d connections (goal: p50 at most nginx's)\n%-10s %10s %10s %10s %10s  %s\n",
		openRate, openConnections, "", "req/s", "µs/req", "p50 µs", "p99 µs", "weft / this: p50, p99")
	of := func(name string, part func(result) float64) float64 { return median(results[name], part) }
	p50, p99 := func(r result) float64 { return r.p50 }, func(r result) float64 { return r.p99 }
	for _, name := range peersOpen {
		fmt.Printf("%-10s %10.0f %10.2f %10.0f %10.0f  %.2f, %.2f\n", name, of(name, func(r result) float64 { return r.rate }),
			of(name, func(r result) float64 { return r.cpu }), of(name, p50), of(name, p99), of("weft", p50)/of(name, p50), of("weft", p99)/of(name, p99))
	}
	return ctx.Err()
}

// loadOpen sends requests at random moments, so many a second, for so long.
func loadOpen(p *proxy, rate int, d time.Duration) (result, error) {
	var mu sync.Mutex // guards times and failed
	var times []time.Duration
	var failed error
	before, err := p.cpu()
	if err != nil {
		return result{}, err
	}
	var all sync.WaitGroup
	begin := time.Now()
	for range openConnections {
		all.Go(func() {
			took, err := openLoop(p.at, rate, begin, begin.Add(d))
			mu.Lock()
			defer mu.Unlock()
			times, failed = append(times, took...), errors.Join(failed, err)
		})
	}
	all.Wait()
	after, err := p.cpu()
	if err = errors.Join(err, failed); err != nil {
		return result{}, err
	}
	slices.Sort(times)
	n := len(times)
	return result{
		cpu: float64((after - before).Microseconds()) / float64(n), rate: float64(n) / time.Since(begin).Seconds(),
		p50: float64(times[n/2].Nanoseconds()) / 1e3, p99: float64(times[n*99/100].Nanoseconds()) / 1e3,
	}, nil
}

// openLoop is one connection's share of the requests, a Poisson process. A
// request that could not be sent when its moment came, because the one before
// was not answered, counts from that moment: so a slow proxy cannot hide by
// slowing the load down. That this process woke late is not the proxy's fault.
func openLoop(at string, rate int, begin, end time.Time) (times []time.Duration, err error) {
	c, err := net.Dial("tcp", at)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	if err := c.SetDeadline(end.Add(10 * time.Second)); err != nil {
		return nil, err
	}
	answer, err := answerBytes(c)
	if err != nil {
		return nil, err
	}
	mean := float64(openConnections) / float64(rate) * float64(time.Second)
	buffer := make([]byte, answer)
	free := time.Now()
	for due := begin; ; {
		due = due.Add(time.Duration(rand.ExpFloat64() * mean))
		if due.After(end) {
			return times, nil
		}
		from := due
		if due.After(free) {
			time.Sleep(time.Until(due))
			from = time.Now()
		}
		if _, err := io.WriteString(c, openRequest); err != nil {
			return nil, err
		}
		if _, err := io.ReadFull(c, buffer); err != nil {
			return nil, err
		}
		free = time.Now()
		times = append(times, free.Sub(from))
	}
}

// answerBytes asks once and returns how long the answer is, head included: all
// that follow are as long.
func answerBytes(c net.Conn) (int, error) {
	if _, err := io.WriteString(c, openRequest); err != nil {
		return 0, err
	}
	counted := &countedReader{r: c}
	buffered := bufio.NewReader(counted)
	res, err := http.ReadResponse(buffered, nil)
	if err != nil {
		return 0, err
	}
	if _, err := io.Copy(io.Discard, res.Body); err != nil || res.StatusCode != http.StatusOK {
		return 0, fmt.Errorf("status %d, %w", res.StatusCode, err)
	}
	return counted.n - buffered.Buffered(), nil
}

// countedReader counts what is read.
type countedReader struct {
	r io.Reader
	n int
}

// Read reads on.
func (c *countedReader) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += n
	return n, err
}
