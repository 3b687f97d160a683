// Package upstream is what the data plane knows of the endpoints behind the
// mesh and must not forget when a Table is swapped: their load, which of them
// cannot be reached, and where each weighted rotation stands.
//
//	snapshot, gone := set.Bind(table)         // on each new Table
//	caller := upstream.Caller{Address: client}
//	decision := caller.Decide(snapshot, snapshot.Route(key), request)
//	try := decision.Cluster.Try(client)
//	for e := try.Next(); e != nil; e = try.Next() { …; try.Answered(time.Now()); …; e.Release() }
//
// A Snapshot is a Table joined with that state. It is immutable but for
// counters, and is read without a lock.
package upstream
