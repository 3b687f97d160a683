package kube

import (
	"context"
	"math/rand/v2"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	utilnet "k8s.io/apimachinery/pkg/util/net"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/tools/cache"
)

const (
	firstPause   = 200 * time.Millisecond
	longestPause = 5 * time.Second
	// healthy is how long a watch must last for the pauses to begin anew.
	healthy = time.Minute
)

// feed keeps one kind up to date for as long as it runs.
type feed struct {
	store     *store
	status    *status
	lookAgain time.Duration
	// open gives the reflector to run, nil where the kind is not served.
	open func(context.Context) (*cache.Reflector, error)
	// failed, where set, is told why there is no watch now.
	failed func(error)
}

// reflector lists and watches a kind into the store. client is asked whether it
// can stream lists, which a fake cannot.
func (f *feed) reflector(client any, example runtime.Object, list listFunc, watch watchFunc) *cache.Reflector {
	lw := &cache.ListWatch{ListWithContextFunc: list, WatchFuncWithContext: f.patient(watch)}
	options := cache.ReflectorOptions{Name: "weft", TypeDescription: f.store.kind}
	return cache.NewReflectorWithOptions(cache.ToListWatcherWithWatchListSemantics(lw, client), example, f.store, options)
}

// patient retries a watch until somebody listens again, so that it goes on
// where it was. The reflector would do the same with pauses up to a minute.
func (f *feed) patient(open watchFunc) watchFunc {
	return func(ctx context.Context, options metav1.ListOptions) (watch.Interface, error) {
		var pause backoff
		for {
			w, err := open(ctx, options)
			if err == nil {
				f.status.well()
				return w, nil
			}
			cannotStream := options.SendInitialEvents != nil && apierrors.IsInvalid(err)
			if cannotStream || ctx.Err() != nil {
				return nil, err // a plain list follows, or the end
			}
			f.status.ill(err)
			if !utilnet.IsConnectionRefused(err) || !pause.wait(ctx) {
				return nil, err
			}
		}
	}
}

// run feeds the store until the context ends.
func (f *feed) run(ctx context.Context) {
	var pause backoff
	missing := 0
	for ctx.Err() == nil {
		started := time.Now()
		reflector, err := f.open(ctx)
		if reflector == nil && err == nil {
			missing++
			f.absent(missing)
			wait(ctx, f.lookAgain)
			continue
		}
		missing = 0
		if err == nil {
			err = reflector.ListAndWatchWithContext(ctx)
		}
		if err != nil && ctx.Err() == nil {
			f.status.ill(err)
			if f.failed != nil {
				f.failed(err)
			}
		}
		if time.Since(started) > healthy {
			pause = backoff{}
		}
		pause.wait(ctx)
	}
}

// absent records that the kind is not served. Where it was served before, a
// second look must confirm it: an API server that starts may not know yet.
func (f *feed) absent(looks int) {
	f.status.well()
	if looks > 1 || !f.store.listed {
		f.store.clear()
	}
}

// backoff is a pause that doubles. The zero value is ready for use.
type backoff struct{ next time.Duration }

// wait pauses and tells whether the context still stands. The pause varies by
// half, so that many nodes do not come back at once.
func (b *backoff) wait(ctx context.Context) bool {
	b.next = min(max(b.next*2, firstPause), longestPause)
	return wait(ctx, b.next/2+rand.N(b.next))
}

func wait(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}
