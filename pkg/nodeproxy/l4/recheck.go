package l4

import (
	"sync"

	"github.com/weft-mesh/weft/pkg/nodeproxy/upstream"
)

// live knows the connections that are relayed.
type live struct {
	mu     sync.Mutex // guards relays
	relays map[*outgoing]*relay
}

func (l *live) add(o *outgoing, r *relay) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.relays == nil {
		l.relays = map[*outgoing]*relay{}
	}
	l.relays[o] = r
}

func (l *live) remove(o *outgoing) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.relays, o)
}

// Recheck resets the relayed connections that are not allowed any more.
func (t *TCP) Recheck(s *upstream.Snapshot) {
	t.live.mu.Lock()
	defer t.live.mu.Unlock()
	for o, r := range t.live.relays {
		if !o.holds(s) {
			o.deny(r)
		}
	}
}

// deny resets the connection, which is not allowed any more.
func (o *outgoing) deny(r *relay) {
	if o.denied.CompareAndSwap(false, true) {
		o.tcp.Metrics.Refused(string(upstream.AccessDenied))
		r.abort()
	}
}

// holds tells whether the connection is still allowed.
func (o *outgoing) holds(s *upstream.Snapshot) bool {
	return s.Holds(o.call.At, o.call.address(), o.endpoint, upstream.Proof{})
}

// Recheck ends the sessions that are not allowed any more.
func (u *UDP) Recheck(s *upstream.Snapshot) {
	u.mu.Lock()
	defer u.mu.Unlock()
	for client, session := range u.sessions {
		if !s.Holds(u.At, clientOf(client), session.endpoint, upstream.Proof{}) {
			u.Metrics.Refused(string(upstream.AccessDenied))
			session.reason = upstream.AccessDenied
			u.leave(session)
		}
	}
}
