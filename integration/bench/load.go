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

// result is one measurement. Times are in microseconds.
type result struct {
	cpu, rate, p50, p99 float64
	failed              int
}

var (
	patternCount   = regexp.MustCompile(`(\d+) requests in`)
	patternRate    = regexp.MustCompile(`Requests/sec:\s+([\d.]+)`)
	patternLatency = regexp.MustCompile(`(50|99)%\s+([\d.]+)(us|ms|s)\b`)
	patternErrors  = regexp.MustCompile(`(?:connect|read|write|timeout|Non-2xx or 3xx responses:) (\d+)`)
)

// load runs wrk against a proxy for so long.
func load(ctx context.Context, p *proxy, c testCase, d time.Duration) (result, error) {
	before, err := p.cpu()
	if err != nil {
		return result{}, err
	}
	args := []string{"-t1", "-c" + strconv.Itoa(c.connections), "-d" + strconv.Itoa(int(d.Seconds())) + "s", "--latency"}
	if c.once {
		args = append(args, "-H", "Connection: close")
	}
	out, err := exec.CommandContext(ctx, "wrk", append(args, "http://"+p.at+c.path)...).CombinedOutput()
	if err != nil {
		return result{}, fmt.Errorf("wrk: %w: %s", err, out)
	}
	after, err := p.cpu()
	if err != nil {
		return result{}, err
	}
	text := string(out)
	count := number(patternCount, text)
	if count == 0 {
		return result{}, fmt.Errorf("no request was answered:\n%s", text)
	}
	r := result{cpu: float64((after - before).Microseconds()) / count, rate: number(patternRate, text)}
	for _, m := range patternLatency.FindAllStringSubmatch(text, -1) {
		v, _ := strconv.ParseFloat(m[2], 64)
		v *= map[string]float64{"us": 1, "ms": 1e3, "s": 1e6}[m[3]]
		if m[1] == "50" {
			r.p50 = v
		} else {
			r.p99 = v
		}
	}
	for _, m := range patternErrors.FindAllStringSubmatch(text, -1) {
		n, _ := strconv.Atoi(m[1])
		r.failed += n
	}
	return r, nil
}

func number(pattern *regexp.Regexp, text string) float64 {
	m := pattern.FindStringSubmatch(text)
	if m == nil {
		return 0
	}
	n, _ := strconv.ParseFloat(m[1], 64)
	return n
}

// pids are a proxy's processes.
func (p *proxy) pids() []int {
	pids := []int{p.process.Process.Pid}
	for i := 0; i < len(pids); i++ {
		lists, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pids[i]))
		for _, list := range lists {
			children, _ := os.ReadFile(list)
			for _, child := range strings.Fields(string(children)) {
				pid, _ := strconv.Atoi(child)
				pids = append(pids, pid)
			}
		}
	}
	return pids
}

// cpu is the processor time, user and system, of a proxy's processes so far.
func (p *proxy) cpu() (total time.Duration, err error) {
	for _, pid := range p.pids() {
		t, err := processorTime(pid)
		if err != nil {
			return 0, err
		}
		total += t
	}
	return total, nil
}

// tick is the unit of /proc/<pid>/stat on Linux.
const tick = 10 * time.Millisecond

func processorTime(pid int) (time.Duration, error) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, err
	}
	// The name, in brackets, may hold anything; utime and stime are the 12th and
	// 13th fields behind it.
	fields := strings.Fields(string(stat)[strings.LastIndexByte(string(stat), ')')+1:])
	user, _ := strconv.Atoi(fields[11])
	system, _ := strconv.Atoi(fields[12])
	return time.Duration(user+system) * tick, nil
}
