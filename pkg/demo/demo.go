package demo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"net/netip"
	"os"
	"time"

	"github.com/rs/zerolog"
	"github.com/weft-mesh/weft/pkg/local"
	"github.com/weft-mesh/weft/pkg/mesh"
	"golang.org/x/sync/errgroup"
)

const (
	// meshName is what the caller calls.
	meshName = service + "." + namespace + ".mesh"
	// copies is how many instances each version has.
	copies = 2
	// tolerance is how far a version's share may be off, as a part of one.
	tolerance = 0.01
	// liveTimeout bounds the wait for an edit to go live.
	liveTimeout = 10 * time.Second
	redraw      = 200 * time.Millisecond
)

// versions of the service; the second is the canary.
var versions = [2]string{"v1", "v2"}

// Config of a run. Out is required; every other zero value works.
type Config struct {
	Out io.Writer
	// Terminal says that Out is one, so that the table may be redrawn in place.
	Terminal bool
	// Rate is requests per second (default 200), Requests how many each step
	// takes (default 1000).
	Rate, Requests int
	Log            zerolog.Logger
}

// Run shows the tour and returns an error where it was not right.
func Run(ctx context.Context, config Config) error {
	if config.Rate == 0 {
		config.Rate = 200
	}
	if config.Requests == 0 {
		config.Requests = 1000
	}
	dir, err := os.MkdirTemp("", "weft-demo-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	stage, err := newStage(config, manifests{dir})
	if err != nil {
		return err
	}
	return stage.play(ctx)
}

// stage is everything that runs during the demo.
type stage struct {
	config    Config
	manifests manifests
	instances []*instance
	mesh      *local.Mesh
	caller    *caller
	live      []time.Duration // how long each edit took to go live
	steps     []*step
}

// newStage writes the objects and opens every socket.
func newStage(config Config, m manifests) (s *stage, err error) {
	s = &stage{config: config, manifests: m}
	defer func() {
		if err != nil {
			s.close()
		}
	}()
	var at [2][]netip.AddrPort
	for i, version := range versions {
		for range copies {
			one, err := newInstance(version)
			if err != nil {
				return nil, err
			}
			s.instances, at[i] = append(s.instances, one), append(at[i], one.address())
		}
	}
	if err := m.write(at[0], at[1]); err != nil {
		return nil, err
	}
	addresses, err := freeRange(os.Getpid())
	if err != nil {
		return nil, err
	}
	s.mesh, err = local.New(local.Config{
		Manifests: []string{m.dir}, Addresses: addresses, PortOffset: portOffset,
		DrainTimeout: time.Second, Log: config.Log,
	})
	return s, err
}

// close closes the sockets of a stage that will not play.
func (s *stage) close() {
	for _, one := range s.instances {
		_ = one.listener.Close() // nothing was served
	}
}

// play runs everything, and ends everything when the steps are done.
func (s *stage) play(ctx context.Context) error {
	ctx, end := context.WithCancel(ctx)
	defer end()
	group, groupCtx := errgroup.WithContext(ctx)
	for _, one := range s.instances {
		group.Go(func() error { return one.serve(groupCtx) })
	}
	group.Go(func() error { return s.mesh.Run(groupCtx) })
	err := s.act(groupCtx)
	end()
	ended := group.Wait()
	if ended != nil && errors.Is(err, context.Canceled) {
		return ended // it is what stopped the act
	}
	return errors.Join(err, ended)
}

// act waits for the mesh, calls through it and moves the canary.
func (s *stage) act(ctx context.Context) error {
	select {
	case <-s.mesh.Ready():
	case <-ctx.Done():
		return ctx.Err()
	}
	listen, err := s.address()
	if err != nil {
		return err
	}
	s.caller = newCaller(fmt.Sprintf("http://%s:%d/", meshName, listen.Port()), s.mesh.DNSAddr(), s.config.Rate)
	s.introduce(listen)
	calling, hangUp := context.WithCancel(ctx)
	over := make(chan struct{})
	go func() { defer close(over); s.caller.run(calling) }()
	err = s.move(ctx)
	hangUp()
	<-over
	if err != nil {
		return err
	}
	return s.judge()
}

// address is where the mesh listens for the service.
func (s *stage) address() (netip.AddrPort, error) {
	for _, problem := range s.mesh.Problems() {
		if problem.Object.Kind == "Service" {
			return netip.AddrPort{}, fmt.Errorf("%s: %s", problem.Object, problem.Message)
		}
	}
	if port := s.port(); port != nil {
		return port.Listen, nil
	}
	return netip.AddrPort{}, fmt.Errorf("%s is not meshed", meshName)
}

// port is the service's meshed port in the latest Mesh, nil for none.
func (s *stage) port() *mesh.Port {
	for _, one := range s.mesh.Latest().Mesh.Services {
		if one.Name.Name == service && len(one.Ports) > 0 {
			return one.Ports[0]
		}
	}
	return nil
}

// move takes the canary through its steps.
func (s *stage) move(ctx context.Context) error {
	screen := &table{out: s.config.Out, terminal: s.config.Terminal}
	screen.begin()
	for _, percent := range []int{0, 10, 50, 100} {
		start := time.Now()
		if err := s.manifests.split(percent); err != nil {
			return err
		}
		if err := s.awaitLive(ctx, percent); err != nil {
			return err
		}
		s.live = append(s.live, time.Since(start))
		one := newStep(percent, s.config.Requests)
		s.steps = append(s.steps, one)
		s.caller.begin(one)
		if err := s.watch(ctx, one, screen); err != nil {
			return err
		}
		screen.keep(s.caller.rows(one))
	}
	return nil
}

// awaitLive waits until the Table sends percent of the calls to the canary.
func (s *stage) awaitLive(ctx context.Context, percent int) error {
	ctx, cancel := context.WithTimeout(ctx, liveTimeout)
	defer cancel()
	look := time.NewTicker(5 * time.Millisecond)
	defer look.Stop()
	for !s.isLive(percent) {
		select {
		case <-look.C:
		case <-ctx.Done():
			return fmt.Errorf("the canary's step to %d %% did not go live: %w", percent, ctx.Err())
		}
	}
	return nil
}

func (s *stage) isLive(percent int) bool {
	port := s.port()
	if port == nil || len(port.Routes) != 1 || len(port.Routes[0].Backends) != 2 {
		return false
	}
	to := port.Routes[0].Backends[1] // by name: orders-v2
	return to.Service.Name == canary && to.Weight == 1000*int64(percent)
}

// watch draws the step until all its requests have ended.
func (s *stage) watch(ctx context.Context, one *step, screen *table) error {
	ticks := time.NewTicker(redraw)
	defer ticks.Stop()
	for {
		select {
		case <-one.done:
			return nil
		case <-ticks.C:
			screen.show(s.caller.rows(one))
		case <-ctx.Done():
			return fmt.Errorf("stopped before the end: %w", ctx.Err())
		}
	}
}

// judge sums up, and says what was not right.
func (s *stage) judge() error {
	var wrong []error
	total, failed := 0, 0
	for _, one := range append([]*step{s.caller.between}, s.steps...) {
		total += one.started
		failed += len(one.failed)
		if len(one.failed) > 0 {
			wrong = append(wrong, fmt.Errorf("at %d %%: %d requests failed, the first with: %w", one.percent, len(one.failed), one.failed[0]))
		}
	}
	for _, one := range s.steps {
		got := s.caller.rows(one)[1].share()
		if want := float64(one.percent) / 100; math.Abs(got-want) > tolerance {
			wrong = append(wrong, fmt.Errorf("at %d %%: the canary got %.1f %%", one.percent, 100*got))
		}
	}
	if len(wrong) > 0 {
		return errors.Join(wrong...)
	}
	s.conclude(total)
	return nil
}
