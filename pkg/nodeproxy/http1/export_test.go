package http1

import "time"

// Trust has requests that must not be sent twice take connections that were used
// before, whatever was seen of endpoints that close them.
func (e *Engine) Trust() {
	e.pools.all.Range(func(_, found any) bool {
		p := &found.(*pool).patience
		p.kept.Store(int64(time.Hour))
		p.closed.Store(0)
		return true
	})
}
