// Package testenv gives tests the real things that Weft works with: a
// kube-apiserver on its etcd, CoreDNS, and collectors of spans. All of it runs
// without root on 127.0.0.1 and ends with the test, or with the test's process if that dies.
//
//	api := testenv.StartAPIServer(t)
//	client, err := kubernetes.NewForConfig(api.Config())
//	api.Stop()  // the API server is gone, its data is not
//	api.Start() // and back, at the same address
//
// The programs are those of package tools, which see for where they come
// from.
package testenv

import (
	"testing"
	"time"

	"github.com/weft-mesh/weft/integration/tools"
)

// Tool is the absolute path of a real program, such as "kubectl" or
// "coredns". It is built first if need be, which takes minutes; the test
// fails when that does.
func Tool(t testing.TB, name string) string {
	t.Helper()
	path, err := tools.Path(name)
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// await polls until done is true, and tells whether it was within limit and
// before the process exited.
func await(p *process, limit time.Duration, done func() bool) bool {
	deadline := time.NewTimer(limit)
	defer deadline.Stop()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !done() {
		select {
		case <-p.exited:
			return false
		case <-deadline.C:
			return false
		case <-tick.C:
		}
	}
	return true
}
