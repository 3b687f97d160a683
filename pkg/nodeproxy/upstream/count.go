package upstream

import (
	"net/netip"
	"time"

	"github.com/weft-mesh/weft/pkg/mesh"
	"github.com/weft-mesh/weft/pkg/telemetry"
)

// Subject is what a call that is counted ran by. Cluster and Endpoint are nil
// where none was reached.
type Subject struct {
	Snapshot *Snapshot
	Route    *Route
	Cluster  *Cluster
	Endpoint *Endpoint
	// Protocol is http, http2, grpc, tcp or udp.
	Protocol string
}

// AccessLog is what the annotation weft.mesh/access-log says of a route's port;
// empty for nothing.
func (r *Route) AccessLog() string {
	if r.Port.Policy == nil {
		return ""
	}
	return r.Port.Policy.AccessLog
}

// Event is a request that is over, with what was noted of it.
func (s *Subject) Event(client netip.Addr, note *telemetry.Note, try *Try, o *telemetry.Outcome) *telemetry.Event {
	return &telemetry.Event{
		Note: note, Call: s.Call(client), Outcome: *o, Port: s.Route.Port.Number, Access: s.Route.AccessLog(),
		Client: client, Tries: try.Attempts(),
	}
}

// Connection is a TCP connection or UDP session that began then and is in a state
// now.
func (s *Subject) Connection(client netip.AddrPort, began time.Time, state string, o *telemetry.Outcome) *telemetry.Event {
	event := s.Event(client.Addr(), &telemetry.Note{Began: began}, &Try{}, o)
	if s.Endpoint != nil {
		event.Tries = []telemetry.Attempt{{Endpoint: s.Endpoint.Address, Began: began}}
	}
	event.Connection = &telemetry.ConnectionEvent{State: state, ClientPort: client.Port()}
	return event
}

// Call names the subject of a client's call for the metrics.
func (s *Subject) Call(client netip.Addr) telemetry.Call {
	call := telemetry.Call{
		Source:  workload(s.Snapshot.table.Workload(client)),
		Service: s.Route.Port.Service.Name, Namespace: s.Route.Port.Service.Namespace,
		Protocol: s.Protocol,
	}
	if s.Cluster != nil {
		call.Backend = s.Cluster.Service.Name
	}
	if s.Endpoint != nil {
		call.Destination = workload(s.Endpoint.Workload())
	}
	return call
}

func workload(w *mesh.Workload) telemetry.Workload {
	if w == nil {
		return telemetry.Workload{}
	}
	return telemetry.Workload{
		Namespace: w.Name.Namespace, Kind: w.OwnerKind, Name: w.OwnerName,
		Account: w.ServiceAccount, Pod: w.Name.Name, Node: w.Node,
	}
}

// Counter counts the requests of one client's connection: it remembers what
// counts the calls of each subject that it has seen, so that a request is
// counted without a lock and without memory. It belongs to whoever serves the
// connection. The zero value is ready.
type Counter struct {
	lane     telemetry.Lane
	snapshot *Snapshot // the one that all of them are of; nil for none yet
	recent   [counterRecent]counted
	next     int
	all      map[seen]*telemetry.Flow // those that found no place in recent
}

// seen is a subject within a Snapshot.
type seen struct {
	cluster  *Cluster
	endpoint *Endpoint
	protocol string
}

type counted struct {
	seen
	flow *telemetry.Flow
}

const (
	// counterRecent is how many subjects are looked through before the map is
	// asked, counterMost how many the map may hold.
	counterRecent = 4
	counterMost   = 256
)

// Count counts one request. metrics may be nil.
func (c *Counter) Count(metrics *telemetry.Proxy, client netip.Addr, s *Subject, o *telemetry.Outcome) {
	if metrics != nil {
		c.flow(metrics, client, s).Count(c.lane, o)
	}
}

func (c *Counter) flow(metrics *telemetry.Proxy, client netip.Addr, s *Subject) *telemetry.Flow {
	if c.snapshot != s.Snapshot {
		if c.snapshot == nil {
			c.lane = metrics.Lane()
		}
		*c = Counter{lane: c.lane, snapshot: s.Snapshot}
	}
	key := seen{s.Cluster, s.Endpoint, s.Protocol}
	for i := range c.recent {
		if r := &c.recent[i]; r.seen == key && r.flow != nil && !r.flow.Retired() {
			return r.flow
		}
	}
	if flow := c.all[key]; flow != nil && !flow.Retired() {
		return flow
	}
	flow := metrics.Flow(s.Call(client))
	c.remember(key, flow)
	return flow
}

func (c *Counter) remember(key seen, flow *telemetry.Flow) {
	if c.next < counterRecent {
		c.recent[c.next] = counted{key, flow}
		c.next++
		return
	}
	if c.all == nil || len(c.all) >= counterMost {
		c.all = map[seen]*telemetry.Flow{}
	}
	c.all[key] = flow
}
