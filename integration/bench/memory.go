package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// What is held idle, and the goals.
const (
	idleConnections = 8000
	idleGoal        = 8 << 10
	idleEndpoints   = 10 // of each of the Services
	wholeGoal       = 40 << 20
	// settling is how long a process has to give memory back.
	settling = 5 * time.Second
)

// runMemory measures what idle connections hold, and what Weft does as a whole.
func runMemory(ctx context.Context) error {
	f, err := newField(ctx)
	if err != nil {
		return err
	}
	defer f.close()
	fmt.Printf("\n%d idle keep-alive connections, after one request each (goal %d bytes)\n%-10s %14s %12s\n", idleConnections, idleGoal, "", "bytes/conn", "weft / this")
	held := map[string]float64{}
	for _, name := range peersOpen {
		if held[name], err = f.idle(ctx, name); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		fmt.Printf("%-10s %14.0f %12.2f\n", name, held[name], held["weft"]/held[name])
	}
	if err := os.WriteFile(filepath.Join(f.dir, "mesh.yaml"), []byte(objects(idleEndpoints)), 0o600); err != nil {
		return err
	}
	p, err := f.startWeft(ctx, 1)
	if err != nil {
		return err
	}
	defer p.stop()
	if err := pause(ctx, settling); err != nil {
		return err
	}
	whole, err := p.resident("VmRSS:")
	if err != nil {
		return err
	}
	file, err := p.resident("RssFile:")
	fmt.Printf("\nweft with %d Services and %d endpoints, idle: %.1f MiB resident (goal %d), of which %.1f are pages of the program's file\n",
		services, services*idleEndpoints, float64(whole)/(1<<20), wholeGoal>>20, float64(file)/(1<<20))
	return err
}

// idle returns how many bytes a proxy holds for each idle connection.
func (f *field) idle(ctx context.Context, name string) (float64, error) {
	p, err := f.start(ctx, name, 1)
	if err != nil {
		return 0, err
	}
	defer p.stop()
	if _, err := loadOpen(p, openRate, time.Second); err != nil { // what any load needs is not counted
		return 0, err
	}
	if err := pause(ctx, settling); err != nil {
		return 0, err
	}
	before, err := p.resident("VmRSS:")
	if err != nil {
		return 0, err
	}
	for range idleConnections {
		c, err := net.Dial("tcp", p.at)
		if err != nil {
			return 0, err
		}
		defer c.Close()
		if _, err := answerBytes(c); err != nil {
			return 0, err
		}
	}
	if err := pause(ctx, settling); err != nil {
		return 0, err
	}
	after, err := p.resident("VmRSS:")
	return float64(after-before) / idleConnections, err
}

func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// resident is the memory of a proxy's processes that is in RAM, in bytes: all of
// it, or a part, as /proc/<pid>/status names it.
func (p *proxy) resident(part string) (total int, err error) {
	for _, pid := range p.pids() {
		status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
		if err != nil {
			return 0, err
		}
		_, after, _ := strings.Cut(string(status), part)
		kib, err := strconv.Atoi(strings.Fields(after + " -")[0])
		if err != nil {
			return 0, err
		}
		total += kib << 10
	}
	return total, nil
}
