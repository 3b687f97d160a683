package main

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Report is what a load came to.
type Report struct {
	Requests int            `json:"requests"`
	Failed   int            `json:"failed"`
	Errors   []string       `json:"errors"` // the first ten failures
	Versions map[string]int `json:"versions"`
	Pods     map[string]int `json:"pods"`
}

// loads runs one load at a time.
type loads struct {
	count  atomic.Int64 // requests of the running load, or of the last one
	mu     sync.Mutex   // guards the fields below
	cancel context.CancelFunc
	done   chan Report

	recent sync.Mutex // guards versions
	// versions that answered last, the oldest first.
	versions []string
}

const remembered = 1000

func (l *loads) note(version string) {
	l.recent.Lock()
	defer l.recent.Unlock()
	if l.versions = append(l.versions, version); len(l.versions) > remembered {
		l.versions = l.versions[1:]
	}
}

// last answers with how many of the last n requests each version answered.
func (l *loads) last(r *http.Request) (any, error) {
	n, err := strconv.Atoi(r.FormValue("n"))
	if err != nil {
		return nil, err
	}
	l.recent.Lock()
	defer l.recent.Unlock()
	counts := map[string]int{}
	for _, version := range l.versions[max(0, len(l.versions)-n):] {
		counts[version]++
	}
	return counts, nil
}

// start begins a load: half of the callers keep their connections, half make
// one for each request. With posts=yes every other request is a POST with a body.
func (l *loads) start(r *http.Request) (any, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.cancel != nil {
		return nil, errors.New("a load is already running")
	}
	ctx, cancel := context.WithCancel(context.Background())
	l.cancel, l.done = cancel, make(chan Report, 1)
	plan, done := plan{url: r.FormValue("url"), posts: r.FormValue("posts") == "yes"}, l.done
	l.count.Store(0)
	go func() { done <- l.load(ctx, plan) }()
	return "started", nil
}

// counted answers with how many requests the load has made so far.
func (l *loads) counted(*http.Request) (any, error) { return l.count.Load(), nil }

func (l *loads) stop(*http.Request) (any, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.cancel == nil {
		return nil, errors.New("no load is running")
	}
	l.cancel()
	l.cancel = nil
	return <-l.done, nil
}

const (
	callers  = 8
	interval = 20 * time.Millisecond // of each caller: 400 requests a second in all
)

// plan is what a load calls.
type plan struct {
	url   string
	posts bool
}

func (l *loads) load(ctx context.Context, p plan) Report {
	report := Report{Versions: map[string]int{}, Pods: map[string]int{}}
	results := make(chan Result)
	var group sync.WaitGroup
	for n := range callers {
		client := &http.Client{Transport: &http.Transport{DisableKeepAlives: n%2 == 0}, Timeout: 10 * time.Second}
		group.Go(func() { p.call(ctx, client, results) })
	}
	go func() { group.Wait(); close(results) }()
	for r := range results {
		report.add(r)
		l.count.Add(1)
		l.note(r.Echo.Version)
	}
	return report
}

// call makes one request per interval and finishes the last one it began.
func (p plan) call(ctx context.Context, client *http.Client, results chan<- Result) {
	defer client.CloseIdleConnections()
	tick := time.NewTicker(interval)
	defer tick.Stop()
	body := []byte(strings.Repeat("x", 1000))
	for n := 0; ; n++ {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if p.posts && n%2 == 1 {
			results <- request(context.Background(), client, http.MethodPost, p.url, body)
		} else {
			results <- request(context.Background(), client, http.MethodGet, p.url, nil)
		}
	}
}

func (r *Report) add(result Result) {
	r.Requests++
	if result.Error != "" {
		r.Failed++
		if len(r.Errors) < 10 {
			r.Errors = append(r.Errors, time.Now().Format(time.TimeOnly)+" "+result.Error)
		}
		return
	}
	r.Versions[result.Echo.Version]++
	r.Pods[result.Echo.Pod]++
}
