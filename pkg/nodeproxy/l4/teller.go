package l4

import (
	"net/netip"
	"time"

	"github.com/weft-mesh/weft/pkg/nodeproxy/upstream"
	"github.com/weft-mesh/weft/pkg/telemetry"
)

// teller tells Events of one TCP connection or UDP session. While nobody wants
// that it makes nothing.
type teller struct {
	events  *telemetry.Events
	subject upstream.Subject
	client  netip.AddrPort
	began   time.Time
}

// newTeller begins to tell of a client's connection.
func newTeller(events *telemetry.Events, subject upstream.Subject, client netip.AddrPort) teller {
	return teller{events: events, subject: subject, client: netip.AddrPortFrom(clientOf(client), client.Port()), began: time.Now()}
}

// opened tells that an endpoint was reached.
func (t *teller) opened() {
	t.tell(telemetry.Opened, telemetry.Outcome{})
}

// refused tells that none was, or that a policy refused it, and counts that. A
// call of nothing that is in the Table is told to nobody.
func (t *teller) refused(metrics *telemetry.Proxy, reason upstream.Reason) {
	metrics.Refused(string(reason))
	if t.subject.Route != nil {
		metrics.NotOpened(t.subject.Call(t.client.Addr()), string(reason))
		t.tell(telemetry.Refused, telemetry.Outcome{Reason: string(reason)})
	}
}

// over tells the end of what was opened.
func (t *teller) over(broken bool, o telemetry.Outcome) {
	state := telemetry.Closed
	if broken {
		state = telemetry.Broken
	}
	o.Took = time.Since(t.began)
	t.tell(state, o)
}

func (t *teller) tell(state string, o telemetry.Outcome) {
	if t.events.Want(t.subject.Route.AccessLog()) {
		t.events.Pass(t.subject.Connection(t.client, t.began, state, &o))
	}
}
