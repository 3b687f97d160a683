package upstream

import (
	"container/heap"
	"math/rand/v2"
	"net/netip"
	"sync"
	"testing"
	"time"
)

// ending is a request in flight in a simulation.
type ending struct {
	at       int64
	try      Try
	answered bool
}

type endings []ending

func (e endings) Len() int           { return len(e) }
func (e endings) Less(i, j int) bool { return e[i].at < e[j].at }
func (e endings) Swap(i, j int)      { e[i], e[j] = e[j], e[i] }
func (e *endings) Push(x any)        { *e = append(*e, x.(ending)) }
func (e *endings) Pop() any {
	last := (*e)[len(*e)-1]
	*e = (*e)[:len(*e)-1]
	return last
}

// simulation sends requests to a cluster in virtual time.
type simulation struct {
	random  *rand.Rand
	cluster *Cluster
	now     int64
	flying  endings
	// takes says how long an endpoint takes on the average, zero for ever: the
	// request is then given up after patience.
	takes    func(e *Endpoint) time.Duration
	patience time.Duration
}

func simulate(c *Cluster, takes func(e *Endpoint) time.Duration) *simulation {
	return &simulation{random: rand.New(rand.NewPCG(1, 2)), cluster: c, takes: takes, patience: 15 * time.Second}
}

// run sends requests at random moments, so many in a second, for so long. It
// returns which share went to each endpoint.
func (s *simulation) run(perSecond int, d time.Duration) map[*Endpoint]float64 {
	shares, sent := map[*Endpoint]float64{}, 0.0
	for end := s.now + int64(d); s.now < end; sent++ {
		s.now += int64(s.random.ExpFloat64() * float64(time.Second) / float64(perSecond))
		for len(s.flying) > 0 && s.flying[0].at <= s.now {
			done := heap.Pop(&s.flying).(ending)
			if done.answered {
				done.try.answered(done.at)
			}
			done.try.tried[0].Release()
		}
		f := ending{try: s.cluster.Try(netip.Addr{}), at: s.now + int64(s.patience)}
		e := f.try.next(s.now)
		if mean := s.takes(e); mean > 0 {
			f.answered, f.at = true, s.now+int64(mean)/2+s.random.Int64N(int64(mean))
		}
		heap.Push(&s.flying, f)
		shares[e]++
	}
	for e := range shares {
		shares[e] /= sent
	}
	return shares
}

var rates = []int{50, 1000, 10_000}

const usual = 10 * time.Millisecond

func tenEndpoints() *Cluster {
	return bind(&Set{}, table(false, share{"v1", 1, addresses(10)})).choose(Requests, nil, nil)
}

func TestEqualEndpointsShareEqually(t *testing.T) {
	for _, rate := range rates {
		cluster := tenEndpoints()
		s := simulate(cluster, func(*Endpoint) time.Duration { return usual })
		for e, share := range s.run(rate, 30*time.Second) {
			if share < 0.05 || share > 0.15 {
				t.Errorf("at %d a second %s has a share of %.3f; want about 0.1", rate, e.Address, share)
			}
		}
	}
}

// Fractions of a millisecond do not decide: a pod on the caller's own node does
// not draw all calls while they are few.
func TestANearerEndpointDoesNotDrawAllCalls(t *testing.T) {
	for _, rate := range rates {
		cluster := tenEndpoints()
		near := cluster.endpoints[3]
		s := simulate(cluster, func(e *Endpoint) time.Duration {
			if e == near {
				return 200 * time.Microsecond
			}
			return 600 * time.Microsecond
		})
		if got := s.run(rate, 30*time.Second)[near]; got < 0.05 || got > 0.2 {
			t.Errorf("at %d a second the nearer one has a share of %.3f; want about 0.1", rate, got)
		}
	}
}

func TestASlowEndpointGetsLittle(t *testing.T) {
	for _, rate := range rates {
		cluster := tenEndpoints()
		slow := cluster.endpoints[3]
		s := simulate(cluster, func(e *Endpoint) time.Duration {
			if e == slow {
				return 10 * usual
			}
			return usual
		})
		got := s.run(rate, 30*time.Second)[slow]
		t.Logf("at %d a second: %.4f", rate, got)
		if got >= 0.03 || got == 0 {
			t.Errorf("at %d a second the slow one has a share of %.4f; want less than 0.03, and some", rate, got)
		}
	}
}

func TestAStalledEndpointIsLeftAndComesBack(t *testing.T) {
	for _, rate := range rates {
		cluster := tenEndpoints()
		stalled, stalls := cluster.endpoints[3], false
		s := simulate(cluster, func(e *Endpoint) time.Duration {
			if stalls && e == stalled {
				return 0
			}
			return usual
		})
		s.run(rate, 10*time.Second)
		stalls = true
		got := s.run(rate, 30*time.Second)[stalled]
		t.Logf("at %d a second: %.4f", rate, got)
		if got >= 0.01 {
			t.Errorf("at %d a second the stalled one has a share of %.4f; want less than 0.01", rate, got)
		}
		stalls = false
		s.run(rate, time.Minute) // a probe finds it again
		if got := s.run(rate, 30*time.Second)[stalled]; got < 0.05 {
			t.Errorf("at %d a second the one that came back has a share of %.4f; want about 0.1", rate, got)
		}
	}
}

func TestANewEndpointIsNeitherFloodedNorStarved(t *testing.T) {
	for _, rate := range rates {
		set := &Set{}
		few := bind(set, table(false, share{"v1", 1, addresses(9)})).choose(Requests, nil, nil)
		s := simulate(few, func(*Endpoint) time.Duration { return usual })
		s.run(rate, 10*time.Second)
		s.cluster = bind(set, table(false, share{"v1", 1, addresses(10)})).choose(Requests, nil, nil)
		if got := s.run(rate, 5*time.Second)[s.cluster.endpoints[9]]; got < 0.04 || got > 0.2 {
			t.Errorf("at %d a second a new endpoint has a share of %.3f; want about 0.1", rate, got)
		}
		if few.endpoints[0] != s.cluster.endpoints[0] || few.endpoints[0].latency.seen.Load() == 0 {
			t.Error("what is known of an endpoint did not survive the Table")
		}
	}
}

func TestAPeakRisesAtOnceAndFades(t *testing.T) {
	var l latency
	if _, known := l.estimate(0); known {
		t.Error("a latency is known before any answer")
	}
	l.answered(int64(time.Second), int64(time.Millisecond))
	l.answered(int64(time.Second), int64(time.Second))
	at := func(now time.Duration) time.Duration {
		ns, _ := l.estimate(int64(now))
		return time.Duration(ns)
	}
	if got := at(time.Second); got != time.Second {
		t.Errorf("after a peak of 1s it is %v", got)
	}
	if got := at(time.Second + forgetting); got < 350*time.Millisecond || got > 450*time.Millisecond {
		t.Errorf("one time constant later it is %v; want about 400ms", got)
	}
	if got := at(time.Hour); got > time.Millisecond {
		t.Errorf("an hour later it is %v", got)
	}
}

func TestConnectionsAreChosenByWhatIsInFlight(t *testing.T) {
	cluster := bind(&Set{}, table(false, share{"v1", 1, addresses(2)})).choose(Connections, nil, nil)
	for _, e := range cluster.endpoints {
		e.latency.answered(0, int64(time.Millisecond))
	}
	cluster.endpoints[0].latency.answered(0, int64(time.Hour))
	for range 100 {
		try := cluster.TryConnection(netip.Addr{})
		try.Next()
		try.Answered(time.Now()) // is not for connections
	}
	if one, other := cluster.endpoints[0].Load(), cluster.endpoints[1].Load(); one != 50 || other != 50 {
		t.Errorf("100 connections lie as %d and %d", one, other)
	}
}

func TestLatencyUnderConcurrency(t *testing.T) {
	var l latency
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for n := range 10_000 {
				l.begin(int64(n))
				l.answered(int64(n), int64(time.Second)+int64(1+i*10_000+n))
			}
		})
	}
	wg.Wait()
	if ns, _ := l.estimate(10_000); ns != float32(time.Second+80_000) {
		t.Errorf("the peak of 80,000 answers is %v; want %v", ns, float32(time.Second+80_000))
	}
}

func TestNothingIsAllocatedForARequest(t *testing.T) {
	cluster := tenEndpoints()
	if n := testing.AllocsPerRun(1000, func() {
		try := cluster.Try(netip.Addr{})
		e := try.Next()
		try.Answered(time.Now())
		e.Release()
	}); n != 0 {
		t.Errorf("a request allocates %v times", n)
	}
}
