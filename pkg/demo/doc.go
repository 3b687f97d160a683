// Package demo is the tour of Weft: a whole local mesh, two versions of a
// service and a caller in one process, and a canary that moves from the one
// version to the other while everybody can watch.
//
//	err := demo.Run(ctx, demo.Config{Out: os.Stdout}) // about 20 s
//
// It shows what a user does: the objects are YAML files, and a step of the
// canary is an edit of the TrafficSplit's file. Run fails where what it showed
// was not right: a request failed, or a version's share was off by more than 1 %.
package demo
