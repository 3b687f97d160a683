// Package reconcile is what the parts that keep objects as they should be have
// in common: they wait for a moment of quiet, plan, and write what differs.
//
//	writer := reconcile.NewWriter("guard", log)
//	for {
//		reconcile.Settle(ctx, changed)
//		writer.Begin()
//		writer.Run(ctx, jobs)
//		problems, again := writer.End()
//	}
package reconcile
