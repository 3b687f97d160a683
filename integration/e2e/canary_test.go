//go:build e2e

package e2e

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func split(v1, v2 int) string {
	return fmt.Sprintf(`apiVersion: split.smi-spec.io/v1alpha4
kind: TrafficSplit
metadata: {name: orders, namespace: shop}
spec:
  service: orders
  backends:
  - {service: orders-v1, weight: %d}
  - {service: orders-v2, weight: %d}
`, v1, v2)
}

// testCanary moves a canary under load: each step is live within a second, the
// share is right within 1 % of 1,000 calls, and no call fails.
func testCanary(c *cluster) {
	c.applyText(split(100, 0))
	callers := c.callers()
	c.underLoad("http://orders.shop.mesh", func() {
		for _, step := range []struct{ v1, v2 int }{{90, 10}, {50, 50}, {0, 100}} {
			c.applyText(split(step.v1, step.v2))
			applied := time.Now()
			c.eventually(time.Second, func() error { return loadShares(callers, step.v2, 20, 1) })
			c.Logf("%d/%d live on every node %v after kubectl returned", step.v1, step.v2, time.Since(applied))
			c.moreCalls(callers, 1000)
			if err := loadShares(callers, step.v2, 1000, 10); err != nil {
				c.Error(err)
			}
		}
	})
}

// loadShares is loadShare of every caller.
func loadShares(callers []caller, percent, n, off int) error {
	var wrong []error
	for _, a := range callers {
		wrong = append(wrong, a.loadShare(percent, n, off))
	}
	return errors.Join(wrong...)
}

// loadShare wants percent of the running load's last n calls answered by v2,
// more or less off calls. Only all of a node's calls together are shared out
// exactly, so nothing else may call meanwhile.
func (a caller) loadShare(percent, n, off int) error {
	var versions map[string]int
	if err := a.ask("/load/last", url.Values{"n": {fmt.Sprint(n)}}, &versions); err != nil {
		return err
	}
	if v2, want := versions["v2"], n*percent/100; v2 < want-off || v2 > want+off {
		return fmt.Errorf("of the last %d calls from %s %v; want %d of v2, ±%d", n, a.pod.Spec.NodeName, versions, want, off)
	}
	return nil
}

// share makes n calls and wants percent of them answered by v2, more or less off calls.
func share(a caller, percent, n, off int) error {
	results, err := a.get("http://orders.shop.mesh", n)
	if err != nil {
		return err
	}
	v2 := 0
	for _, r := range results {
		if r.Echo.Version == "v2" {
			v2++
		}
	}
	if want := n * percent / 100; v2 < want-off || v2 > want+off {
		return fmt.Errorf("%d of %d calls from %s went to v2; want %d, ±%d", v2, n, a.pod.Spec.NodeName, want, off)
	}
	return nil
}

// testScaleAndRoll: backends come and go under load. echo serves for a moment
// after SIGTERM, as Kubernetes asks of any server: no GET and no POST fails.
// orders shuts down at once: even then no GET fails, for it is tried elsewhere.
func testScaleAndRoll(c *cluster) {
	c.underLoad("http://echo.default.mesh", func() { c.scaleAndRoll("default", "echo", 3) })
	c.underLoadOf(url.Values{"url": {"http://orders-v1.shop.mesh"}}, func() { c.scaleAndRoll("shop", "orders-v1", 2) })
}

// scaleAndRoll scales a Deployment up and down, and back to n, and rolls it.
func (c *cluster) scaleAndRoll(namespace, name string, n int) {
	c.Helper()
	for _, replicas := range []int{10, 2, n} {
		c.kubectl("-n", namespace, "scale", "deployment/"+name, "--replicas", fmt.Sprint(replicas))
		c.ready("deployment/"+name, namespace)
	}
	c.kubectl("-n", namespace, "rollout", "restart", "deployment/"+name)
	c.ready("deployment/"+name, namespace)
	c.gone(namespace, "suite="+name, n)
}

// gone waits until no pods are left behind a label but n.
func (c *cluster) gone(namespace, selector string, n int) {
	c.Helper()
	c.eventually(time.Minute, func() error {
		list, err := c.client.CoreV1().Pods(namespace).List(context.Background(), metav1.ListOptions{LabelSelector: selector})
		if err == nil && len(list.Items) != n {
			err = fmt.Errorf("%d pods of %s; want %d", len(list.Items), selector, n)
		}
		return err
	})
}

// testUpgradeNodes: a rolling upgrade of the DaemonSet loses no request.
func testUpgradeNodes(c *cluster) {
	c.underLoad("http://echo.default.mesh", func() {
		c.kubectl("-n", "weft", "rollout", "restart", "daemonset/weft-node")
		c.ready("daemonset/weft-node", "weft")
		c.gone("weft", "app.kubernetes.io/name=weft-node", len(c.callers()))
	})
}
