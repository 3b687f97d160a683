package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"sync"
	"time"
)

// costGoal is how much counting may cost: the share of the bare engine's
// processor time that one which counts may take.
const costGoal = 1.05

// scrapeGoal is how long a scrape of so many lines may take.
const (
	scrapeGoal  = 50 * time.Millisecond
	scrapeLines = 10_000
	scrapeEvery = time.Second
	// scrapedRate is what leaves two cores some rest: those of the proxy, the load
	// and the endpoints. Else a scrape takes from the load, too, and its time from
	// p99.
	scrapedRate = 5_000
)

// runCost measures what it costs that requests are counted, and that what was
// counted is scraped: the data plane alone, without and with metrics, in turn.
func runCost(ctx context.Context, rounds int, d time.Duration) error {
	f, err := newField(ctx)
	if err != nil {
		return err
	}
	defer f.close()
	h2, err := newFieldH2(ctx, nginxH2One, nginxH2Two)
	if err != nil {
		return err
	}
	defer h2.close()
	engines := map[string]*proxy{}
	defer func() {
		for _, p := range engines {
			p.stop()
		}
	}()
	for _, kind := range engineKinds {
		if engines[kind], err = startEngine(ctx, kind); err != nil {
			return fmt.Errorf("%s: %w", kind, err)
		}
	}
	for _, c := range []struct {
		name string
		load func(kind string) (result, error)
	}{
		{"HTTP/1.1, 64 connections", func(kind string) (result, error) {
			return load(ctx, engines[kind].port(enginePorts(kind).http), cases[0], d)
		}},
		{"HTTP/2, 8 connections x 16 streams", func(kind string) (result, error) {
			return h2.loadH2(ctx, engines[kind].port(enginePorts(kind).http2), casesH2[0], d)
		}},
	} {
		if err := costOf(c.name, rounds, c.load); err != nil {
			return err
		}
	}
	return costOfScrapes(ctx, engines["counting"], rounds, d)
}

// port is a proxy at another of its addresses.
func (p *proxy) port(port int) *proxy {
	return &proxy{at: "127.0.0.1:" + strconv.Itoa(port), process: p.process}
}

// startEngine runs this program as the data plane of a kind, on one core.
func startEngine(ctx context.Context, kind string) (*proxy, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	p := &proxy{process: exec.CommandContext(ctx, self, "-engine", kind)}
	p.process.Env = append(os.Environ(), "GOMAXPROCS=1")
	p.process.Stderr = os.Stderr
	if err := p.process.Start(); err != nil {
		return nil, err
	}
	return p, reachable(ctx, p.port(enginePorts(kind).http2).at)
}

// costOf measures a load on both engines in turn and prints its rows.
func costOf(name string, rounds int, load func(kind string) (result, error)) error {
	results := map[string][]result{}
	for round := range rounds + 1 {
		for _, kind := range engineKinds {
			r, err := load(kind)
			if err != nil {
				return fmt.Errorf("%s: %w", kind, err)
			}
			if r.failed > 0 {
				return fmt.Errorf("%s: %d requests failed", kind, r.failed)
			}
			if round > 0 { // the first is for warming up
				results[kind] = append(results[kind], r)
			}
		}
	}
	cpu := func(r result) float64 { return r.cpu }
	var ratios []float64
	for i, r := range results["counting"] {
		ratios = append(ratios, r.cpu/results["bare"][i].cpu)
	}
	fmt.Printf("\n%s\n", name)
	for _, kind := range engineKinds {
		fmt.Printf("%-10s %10.2f µs/req\n", kind, median(results[kind], cpu))
	}
	fmt.Printf("counting / bare: %.3f (rounds %.3f; goal %.2f)\n", middle(slices.Clone(ratios)), ratios, costGoal)
	return nil
}

// costOfScrapes measures latencies at a given rate, without scrapes and with one
// each second.
func costOfScrapes(ctx context.Context, p *proxy, rounds int, d time.Duration) error {
	at, results := p.port(enginePorts("counting").http), map[bool][]result{}
	var scrapes []time.Duration
	for round := range rounds + 1 {
		for _, scraped := range []bool{false, true} {
			during, enough := context.WithCancel(ctx)
			var scraping sync.WaitGroup
			var failed error
			if scraped {
				scraping.Go(func() { failed = scrapeOn(during, &scrapes) })
			}
			r, err := loadOpen(at, scrapedRate, d)
			enough()
			scraping.Wait()
			if err := errors.Join(err, failed); err != nil {
				return fmt.Errorf("scraped %v: %w", scraped, err)
			}
			if round > 0 {
				results[scraped] = append(results[scraped], r)
			}
		}
	}
	fmt.Printf("\n%d requests/s, not scraped and scraped each %v (%d lines)\n%-12s %10s %10s\n", scrapedRate, scrapeEvery, scrapeLines, "", "p50 µs", "p99 µs")
	for _, scraped := range []bool{false, true} {
		fmt.Printf("%-12v %10.0f %10.0f\n", map[bool]string{false: "not scraped", true: "scraped"}[scraped],
			median(results[scraped], func(r result) float64 { return r.p50 }), median(results[scraped], func(r result) float64 { return r.p99 }))
	}
	slices.Sort(scrapes)
	fmt.Printf("a scrape: median %v, worst %v (goal %v)\n", scrapes[len(scrapes)/2].Round(time.Millisecond/10), scrapes[len(scrapes)-1].Round(time.Millisecond/10), scrapeGoal)
	return ctx.Err()
}

// scrapeOn scrapes again and again until the context ends, at first half way to
// when it is due: connections are opened before.
func scrapeOn(ctx context.Context, took *[]time.Duration) error {
	for due := time.NewTimer(scrapeEvery / 2); ; due.Reset(scrapeEvery) {
		select {
		case <-due.C:
		case <-ctx.Done():
			return nil
		}
		request, err := http.NewRequest(http.MethodGet, "http://127.0.0.1:"+strconv.Itoa(enginePorts("counting").metrics)+"/metrics", http.NoBody)
		if err != nil {
			return err
		}
		request.Header.Set("Accept", "application/openmetrics-text;version=1.0.0")
		request.Header.Set("Accept-Encoding", "gzip")
		began := time.Now()
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			return err
		}
		_, err = io.Copy(io.Discard, response.Body)
		_ = response.Body.Close() // it was read
		if err != nil {
			return err
		}
		*took = append(*took, time.Since(began))
	}
}
