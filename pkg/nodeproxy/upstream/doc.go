// Package upstream is what the data plane knows of the endpoints behind the
// mesh and must not forget when a Table is swapped: their load, which of them
// cannot be reached, and where each weighted rotation stands.
//
//	snapshot, gone := set.Bind(table)         // on each new Table
//	cluster := snapshot.Route(key).Choose(upstream.Requests)
//	try := cluster.Try(client)
//	for e := try.Next(); e != nil; e = try.Next() { …; try.Answered(); …; e.Release() }
//
// A Snapshot is a Table joined with that state. It is immutable but for
// counters, and is read without a lock.
package upstream
