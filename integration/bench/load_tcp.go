package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"strings"
	"sync"
	"time"
)

// caseTCP is one kind of TCP load.
type caseTCP struct {
	name, unit  string
	connections int
	one, two    int // the backends' ports
	// drive uses a connection until a moment, and returns how many units were done.
	drive func(c net.Conn, until time.Time) (float64, []time.Duration, error)
	goal  float64 // Weft's share of HAProxy's processor time, at most
}

var casesTCP = []caseTCP{
	{"TCP bulk, 1 connection", "GB", 1, sourceOne, sourceTwo, pull, 0.5},
	{"TCP bulk, 8 connections", "GB", 8, sourceOne, sourceTwo, pull, 0.5},
	{"TCP, 64 ping-pongs", "round trip", 64, echoOne, echoTwo, pingPong, 1.05},
	{"TCP, 1 ping-pong", "round trip", 1, echoOne, echoTwo, pingPong, 0},
}

// peersTCP are those that are compared. "splice" is HAProxy with splice-auto.
var peersTCP = []string{"weft", "haproxy", "splice"}

// runTCP measures all cases, proxies in turn.
func runTCP(ctx context.Context, rounds int, d time.Duration, only string) error {
	for _, c := range casesTCP {
		if !strings.Contains(c.name, only) {
			continue
		}
		f, err := newFieldTCP(ctx, c.one, c.two)
		if err != nil {
			return err
		}
		err = f.measureTCP(ctx, c, rounds, d)
		f.close()
		if err != nil {
			return err
		}
	}
	return nil
}

// measureTCP runs one case and prints its rows.
func (f *field) measureTCP(ctx context.Context, c caseTCP, rounds int, d time.Duration) (err error) {
	running := map[string]*proxy{}
	defer func() {
		for _, p := range running {
			p.stop()
		}
	}()
	for _, name := range peersTCP {
		if running[name], err = f.startTCP(ctx, name, c.one, c.two); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		if _, err := loadTCP(running[name], c, time.Second); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	results := map[string][]result{}
	for range rounds {
		for _, name := range peersTCP {
			r, err := loadTCP(running[name], c, d)
			if err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
			results[name] = append(results[name], r)
		}
	}
	reportTCP(c, results)
	return ctx.Err()
}

// reportTCP prints the medians of a case, and Weft's ratio to each other in the
// same rounds.
func reportTCP(c caseTCP, results map[string][]result) {
	fmt.Printf("\n%s (goal %.2f x haproxy)\n%-10s %16s %12s %10s %10s  %s\n", c.name, c.goal, "", "CPU µs/"+c.unit, c.unit+"s/s", "p50 µs", "p99 µs", "weft / this (rounds)")
	for _, name := range peersTCP {
		var ratios []float64
		for i, r := range results[name] {
			ratios = append(ratios, results["weft"][i].cpu/r.cpu)
		}
		rs := results[name]
		fmt.Printf("%-10s %16.2f %12.2f %10.0f %10.0f  %.2f (%.2f)\n", name, median(rs, func(r result) float64 { return r.cpu }),
			median(rs, func(r result) float64 { return r.rate }), median(rs, func(r result) float64 { return r.p50 }),
			median(rs, func(r result) float64 { return r.p99 }), middle(ratios), ratios)
	}
}

// loadTCP drives connections through a proxy for so long. Any error is one of
// the measurement.
func loadTCP(p *proxy, c caseTCP, d time.Duration) (result, error) {
	var mu sync.Mutex // guards the three
	var units float64
	var times []time.Duration
	var failed error
	var all sync.WaitGroup
	before, err := p.cpu()
	if err != nil {
		return result{}, err
	}
	until := time.Now().Add(d)
	for range c.connections {
		all.Go(func() {
			n, took, err := c.through(p.at, until)
			mu.Lock()
			defer mu.Unlock()
			units, times, failed = units+n, append(times, took...), errors.Join(failed, err)
		})
	}
	all.Wait()
	after, err := p.cpu()
	if err = errors.Join(err, failed); err != nil {
		return result{}, err
	}
	if units == 0 {
		return result{}, errors.New("nothing was transferred")
	}
	r := result{cpu: float64((after - before).Microseconds()) / units, rate: units / d.Seconds()}
	if slices.Sort(times); len(times) > 0 {
		r.p50 = float64(times[len(times)/2].Microseconds())
		r.p99 = float64(times[len(times)*99/100].Microseconds())
	}
	return r, nil
}

// through drives one connection to an address.
func (c caseTCP) through(at string, until time.Time) (float64, []time.Duration, error) {
	conn, err := net.Dial("tcp", at)
	if err != nil {
		return 0, nil, err
	}
	defer conn.Close()
	if err := conn.SetDeadline(until); err != nil {
		return 0, nil, err
	}
	n, took, err := c.drive(conn, until)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		err = nil
	}
	return n, took, err
}

// pull reads as fast as it can. Its unit is a gigabyte.
func pull(c net.Conn, _ time.Time) (float64, []time.Duration, error) {
	b, n := make([]byte, 256<<10), 0
	for {
		m, err := c.Read(b)
		if n += m; err != nil {
			return float64(n) / 1e9, nil, err
		}
	}
}

// pingPong sends 64 bytes and waits for their echo.
func pingPong(c net.Conn, until time.Time) (n float64, took []time.Duration, err error) {
	b := make([]byte, 64)
	for start := time.Now(); start.Before(until); n++ {
		if _, err := c.Write(b); err != nil {
			return n, took, err
		}
		if _, err := io.ReadFull(c, b); err != nil {
			return n, took, err
		}
		now := time.Now()
		took, start = append(took, now.Sub(start)), now
	}
	return n, took, nil
}
