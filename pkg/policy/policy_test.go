package policy_test

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/weft-mesh/weft/pkg/policy"
)

func TestRetryOn(t *testing.T) {
	answered := func(status, grpc int) policy.Outcome {
		return policy.Outcome{Kind: policy.Answered, Status: status, GRPC: grpc}
	}
	for _, test := range []struct {
		word string
		yes  []policy.Outcome
		no   []policy.Outcome
	}{
		{"connect-failure", []policy.Outcome{{Kind: policy.ConnectFailed}}, []policy.Outcome{{Kind: policy.Reset}, answered(503, -1)}},
		{"refused-stream", []policy.Outcome{{Kind: policy.Refused}}, []policy.Outcome{{Kind: policy.Reset}}},
		{"reset-before-response", []policy.Outcome{{Kind: policy.Reset}}, []policy.Outcome{{Kind: policy.TimedOut}}},
		{"per-try-timeout", []policy.Outcome{{Kind: policy.TimedOut}}, []policy.Outcome{{Kind: policy.Reset}}},
		{"5xx", []policy.Outcome{answered(500, -1), answered(599, -1)}, []policy.Outcome{answered(499, -1), answered(200, 14)}},
		{"gateway-error", []policy.Outcome{answered(502, -1), answered(504, -1)}, []policy.Outcome{answered(500, -1), answered(501, -1)}},
		{"429", []policy.Outcome{answered(429, -1)}, []policy.Outcome{answered(503, -1)}},
		{"Unavailable", []policy.Outcome{answered(200, 14)}, []policy.Outcome{answered(200, 0), answered(200, -1), answered(200, 8), answered(200, 99)}},
	} {
		c, err := policy.ParseRetryOn([]string{test.word})
		if err != nil {
			t.Fatal(err)
		}
		for _, o := range test.yes {
			if !c.Match(o) {
				t.Errorf("%s does not match %+v", test.word, o)
			}
		}
		for _, o := range test.no {
			if c.Match(o) {
				t.Errorf("%s matches %+v", test.word, o)
			}
		}
	}
	for _, wrong := range []string{"", "200", "600", "5x", "ok", "-1"} {
		if _, err := policy.ParseRetryOn([]string{wrong}); err == nil {
			t.Errorf("%q is taken", wrong)
		}
	}
}

func TestBudget(t *testing.T) {
	var b policy.Budget
	now := time.Unix(1000, 0)
	retries := func(n int) (allowed int) {
		for range n {
			if b.Retry(now, 20, 3) {
				allowed++
			}
		}
		return allowed
	}
	for range 100 {
		b.Request(now)
	}
	if n := retries(100); n != 20 {
		t.Errorf("%d retries for 100 requests; want 20", n)
	}
	now = now.Add(11 * time.Second) // all is forgotten but the time that has passed
	if n := retries(100); n != 30 {
		t.Errorf("%d retries after 11 seconds without requests; want 3 for each of ten", n)
	}
}

func TestExpression(t *testing.T) {
	for _, text := range []string{
		"NetworkErrorRatio() > 0.30", "LatencyAtQuantileMS(50.0) >= 100", "ResponseCodeRatio(500, 600, 0, 600) > 0.25",
		"!(NetworkErrorRatio() > 0.30 || LatencyAtQuantileMS(50) > 100) && ResponseCodeRatio(500,600,0,600) <= 1",
		"NetworkErrorRatio() == 0.5", "NetworkErrorRatio() != 0.5", "NetworkErrorRatio() < 1",
	} {
		if _, err := policy.ParseExpression(text); err != nil {
			t.Errorf("%s: %v", text, err)
		}
	}
	for _, text := range []string{
		"", "NetworkErrorRatio()", "1 > 0", "NetworkErrorRatio() > x", "NetworkErrorRatio(1) > 0", "LatencyAtQuantileMS() > 1",
		"ResponseCodeRatio(1,2,3) > 0", "os.Exit(1) > 0", "-NetworkErrorRatio() > 1", "NetworkErrorRatio() + 1", "NetworkErrorRatio() > \"1\"",
		"func() { for {} }() > 1", "NetworkErrorRatio() > 1 &&", "LatencyAtQuantileMS(NetworkErrorRatio()) > 1", fmt.Sprintf("NetworkErrorRatio() > %02000d", 1),
	} {
		if _, err := policy.ParseExpression(text); err == nil {
			t.Errorf("%s is taken", text)
		}
	}
}

func FuzzExpression(f *testing.F) {
	f.Add("NetworkErrorRatio() > 0.30 || LatencyAtQuantileMS(50.0) > 100")
	f.Add("ResponseCodeRatio(500, 600, 0, 600) > 0.25 && !(NetworkErrorRatio() == 1)")
	f.Fuzz(func(t *testing.T, text string) {
		if e, err := policy.ParseExpression(text); err == nil {
			b := policy.NewBreaker(e, time.Second, time.Second)
			for range 20 {
				b.Record(time.Now(), 500, time.Millisecond)
			}
		}
	})
}

func TestBreaker(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e, err := policy.ParseExpression("NetworkErrorRatio() > 0.3")
		if err != nil {
			t.Fatal(err)
		}
		b := policy.NewBreaker(e, 10*time.Second, 10*time.Second)
		passed := func(status, calls int) (n int) {
			for range calls {
				time.Sleep(time.Millisecond)
				if b.Allow(time.Now()) {
					n++
					b.Record(time.Now(), status, time.Millisecond)
				}
			}
			return n
		}
		if n := passed(504, fewest-1); n != fewest-1 || b.State(time.Now()) != policy.Closed {
			t.Errorf("%d calls passed, %v, before there was enough to judge", n, b.State(time.Now()))
		}
		if passed(504, 300); b.State(time.Now()) != policy.Open {
			t.Fatalf("%v though nothing answers; want open", b.State(time.Now()))
		}
		if n := passed(200, 100); n != 0 {
			t.Errorf("%d calls passed an open circuit", n)
		}
		time.Sleep(10 * time.Second)
		if state := b.State(time.Now()); state != policy.Recovering {
			t.Errorf("%v after its time; want recovering", state)
		}
		first := passed(200, 1000)
		time.Sleep(7 * time.Second)
		later := passed(200, 1000)
		if first == 0 || first > 250 || later < 600 || later == 1000 {
			t.Errorf("%d of 1000 calls passed at the begin of the recovery, %d near its end", first, later)
		}
		time.Sleep(3 * time.Second)
		if n := passed(200, 1000); n != 1000 || b.State(time.Now()) != policy.Closed {
			t.Errorf("%d of 1000 calls passed after the recovery, %v", n, b.State(time.Now()))
		}
	})
}

// fewest is how many calls a breaker wants to have seen.
const fewest = 10

func TestLimiter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, err := policy.NewLimiter(10, 5, time.Second)
		if err != nil {
			t.Fatal(err)
		}
		took := func(caller string) (n int) {
			for range 20 {
				if l.Take(caller) == 0 {
					n++
				}
			}
			return n
		}
		if n := took("a"); n != 5 {
			t.Errorf("%d calls at once; want the burst of 5", n)
		}
		if wait := l.Take("a"); wait <= 0 || wait > 100*time.Millisecond {
			t.Errorf("the next call is to wait %v; want up to 100ms", wait)
		}
		if n := took("b"); n != 5 {
			t.Errorf("%d calls of another caller; want 5", n)
		}
		time.Sleep(200 * time.Millisecond)
		if n := took("a"); n != 2 {
			t.Errorf("%d calls after 200ms; want 2", n)
		}
	})
}

func healths(n int) []*policy.Health {
	out := make([]*policy.Health, n)
	for i := range out {
		out[i] = &policy.Health{}
	}
	return out
}

func TestOutliers(t *testing.T) {
	o := policy.Outliers{Consecutive5xx: 5, ConsecutiveGateway: 3, Ejection: time.Second, MostEjected: 50}
	all, now := healths(4), time.Unix(1000, 0)
	failed := func(h *policy.Health, status, times int) (eject bool) {
		for range times {
			eject = o.Report(h, policy.Outcome{Kind: policy.Answered, Status: status, GRPC: -1})
		}
		return eject
	}
	if failed(all[0], 400, 100) || failed(all[0], 500, 4) || failed(all[0], 200, 1) || failed(all[0], 500, 4) {
		t.Error("an endpoint is to be ejected for a client's mistakes, or for failures that do not follow each other")
	}
	if !failed(all[0], 500, 1) || !failed(all[1], 503, 3) {
		t.Error("five failures in a row, or three gateway errors, eject nobody")
	}
	if !o.Eject(all[0], now, all) || !o.Eject(all[1], now, all) || o.Eject(all[2], now, all) {
		t.Error("want two of four ejected, and not a third")
	}
	if !all[0].Ejected(now.Add(999*time.Millisecond)) || all[0].Ejected(now.Add(time.Second)) {
		t.Error("the first ejection lasts a second")
	}
	now = now.Add(1100 * time.Millisecond)
	o.Eject(all[0], now, all)
	if !all[0].Ejected(now.Add(1900*time.Millisecond)) || all[0].Ejected(now.Add(2*time.Second)) {
		t.Error("the second ejection lasts two seconds")
	}
	now = now.Add(time.Minute)
	o.Eject(all[0], now, all)
	if all[0].Ejected(now.Add(time.Second)) {
		t.Error("what was sound for long begins anew")
	}
}

// What never gets well is out for 64 times the first ejection, again and again.
func TestEjectionsStayLong(t *testing.T) {
	o := policy.Outliers{Ejection: time.Second, MostEjected: 50}
	all, now := healths(2), time.Unix(1000, 0)
	for _, want := range []time.Duration{1, 2, 4, 8, 16, 32, 64, 64, 64} {
		if !o.Eject(all[0], now, all) {
			t.Fatal("it is not ejected")
		}
		if got := time.Unix(0, all[0].Until()).Sub(now); got != want*time.Second {
			t.Errorf("ejected for %s; want %s", got, want*time.Second)
		}
		now = time.Unix(0, all[0].Until()).Add(time.Millisecond)
	}
}

func TestSuccessRate(t *testing.T) {
	o := policy.Outliers{SuccessRate: true}
	all := healths(10)
	for i, h := range all {
		for n := range 100 {
			status := 200
			if i == 3 && n%3 == 0 || n%50 == 0 {
				status = 500
			}
			o.Report(h, policy.Outcome{Kind: policy.Answered, Status: status, GRPC: -1})
		}
	}
	if apart := o.Compare(all); len(apart) != 1 || apart[0] != all[3] {
		t.Errorf("%d endpoints are set apart; want the one that fails more often", len(apart))
	}
	if apart := o.Compare(all); len(apart) != 0 {
		t.Errorf("%d endpoints are set apart without a request", len(apart))
	}
}
