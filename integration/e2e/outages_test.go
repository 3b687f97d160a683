//go:build e2e

package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/weft-mesh/weft/pkg/dnspatch"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// testNodeProxyKilled: kube-proxy sends a node's callers to the other proxy
// when theirs is gone, and back when it returns. The other node's callers do
// not notice. Of the callers of the node itself those calls fail that were in
// the killed process, or came before it was back or kube-proxy knew: of the 400
// a second at most two seconds' worth.
func testNodeProxyKilled(c *cluster) {
	a := c.callers()[0]
	node := a.pod.Spec.NodeName
	reports := c.reports(url.Values{"url": {"http://echo.default.mesh"}}, func() {
		c.killProxy(node)
		c.eventually(10*time.Second, func() error {
			_, err := a.get("http://echo.default.mesh", 20)
			return err
		})
		c.ready("daemonset/weft-node", "weft")
		c.eventually(30*time.Second, func() error { return ownNode(c, a) })
	})
	for name, r := range reports {
		if name != node && r.Failed > 0 {
			c.Errorf("%d calls from %s failed, whose proxy was there: %s", r.Failed, name, strings.Join(r.Errors, "; "))
		}
		if name == node && r.Failed > 2*400 {
			c.Errorf("%d of %d calls from %s failed; its proxy was gone for a moment only: %s", r.Failed, r.Requests, name, strings.Join(r.Errors, "; "))
		}
	}
}

// killProxy ends the proxy of a node without a warning: by SIGKILL, as the
// kernel would, or where the processes are another machine's by force through
// the API server.
func (c *cluster) killProxy(node string) {
	c.Helper()
	if !c.own {
		c.kubectl("-n", "weft", "delete", "pod", "--grace-period=0", "--force",
			"--field-selector", "spec.nodeName="+node, "-l", "app.kubernetes.io/name=weft-node")
		return
	}
	for _, p := range c.pods("weft", "app.kubernetes.io/name=weft-node") {
		if p.Spec.NodeName == node {
			c.run("bash", "-c", `for pid in $(pgrep -f '^/weft node'); do
				if nsenter --target $pid --net ip -o address | grep -qw "$0"; then kill -9 $pid; exit; fi
			done; echo "no process has the address $0"; exit 1`, p.Status.PodIP)
		}
	}
}

// ownNode tells whether a call goes through the proxy of the caller's node.
func ownNode(c *cluster, a caller) error {
	results, err := a.get("http://echo.default.mesh", 5)
	if err != nil {
		return err
	}
	for _, p := range c.pods("weft", "app.kubernetes.io/name=weft-node") {
		if p.Spec.NodeName == a.pod.Spec.NodeName && strings.HasPrefix(results[0].Echo.Peer, p.Status.PodIP+":") {
			return nil
		}
	}
	return fmt.Errorf("the call came through %s, which is not the proxy of %s", results[0].Echo.Peer, a.pod.Spec.NodeName)
}

// testControllerGone: without controllers calls go on and endpoints still
// change; a Service made meanwhile gets its mesh name when they are back.
func testControllerGone(c *cluster) {
	c.underLoad("http://echo.default.mesh", func() {
		c.kubectl("-n", "weft", "scale", "deployment/weft-controller", "--replicas=0")
		c.gone("weft", "app.kubernetes.io/name=weft-controller", 0)
		c.kubectl("-n", "default", "expose", "deployment/echo", "--name=late", "--port=80", "--target-port=8080")
		c.kubectl("-n", "default", "rollout", "restart", "deployment/echo")
		c.ready("deployment/echo", "default")
	})
	c.kubectl("-n", "weft", "scale", "deployment/weft-controller", "--replicas=2")
	c.ready("deployment/weft-controller", "weft")
	for _, a := range c.callers() {
		c.eventually(time.Minute, func() error {
			_, err := a.get("http://late.default.mesh", 5)
			return err
		})
	}
	c.kubectl("-n", "default", "delete", "service", "late")
}

// testAPIServerStopped: with no API server at all calls go on; when it is back
// the mesh converges.
func testAPIServerStopped(c *cluster) {
	c.underLoad("http://echo.default.mesh", func() {
		callers := c.callers()
		c.run("../cluster/cluster", "stop", "kube-apiserver")
		for _, a := range callers {
			before := c.directCount(a)
			c.eventually(time.Minute, func() error {
				if now := c.directCount(a); now < before+2000 {
					return fmt.Errorf("%d calls without an API server; want 2,000", now-before)
				}
				return nil
			})
		}
		c.run("../cluster/cluster", "start", "kube-apiserver")
		c.eventually(time.Minute, func() error {
			_, err := c.client.CoreV1().Namespaces().Get(context.Background(), "weft", metav1.GetOptions{})
			return err
		})
	})
	c.applyText(split(100, 0))
	for _, a := range c.callers() {
		// The watches come back after a pause of a few seconds.
		c.eventually(time.Minute, func() error { return share(a, 0, 20, 0) })
	}
}

// directCount asks a caller how many calls it has made, past the API server.
func (c *cluster) directCount(a caller) (n int) {
	c.Helper()
	out := c.run("../cluster/cluster", "exec", "cp", c.app, "get", "http://"+a.pod.Status.PodIP+":8081/load/count")
	if err := json.Unmarshal([]byte(out), &n); err != nil {
		c.Fatalf("%q: %v", out, err)
	}
	return n
}

// testCorefileOverwritten: someone applies the Corefile of old; the block is
// back within 30 s.
func testCorefileOverwritten(c *cluster) {
	ctx := context.Background()
	maps := c.client.CoreV1().ConfigMaps("kube-system")
	corefile, err := maps.Get(ctx, "coredns", metav1.GetOptions{})
	if err != nil {
		c.Fatal(err)
	}
	patched := corefile.Data["Corefile"]
	if corefile.Data["Corefile"], err = dnspatch.Remove(patched); err != nil {
		c.Fatal(err)
	}
	if _, err := maps.Update(ctx, corefile, metav1.UpdateOptions{}); err != nil {
		c.Fatal(err)
	}
	c.eventually(30*time.Second, func() error {
		now, err := maps.Get(ctx, "coredns", metav1.GetOptions{})
		if err == nil && now.Data["Corefile"] != patched {
			err = fmt.Errorf("the Corefile is\n%s", now.Data["Corefile"])
		}
		return err
	})
}

// testBadInput: what is wrong is told on the object and by weft check; the rest
// goes on and nothing restarts.
func testBadInput(c *cluster) {
	restarts := c.restarts()
	c.applyText(split(100, 0))
	c.apply("testdata/bad.yaml")
	for _, want := range []struct{ namespace, object, reason string }{
		{"shop", "names-nothing", "RootNotFound"},
		{"shop", "second", "SplitConflict"},
		{"shop", "nonsense", "BadAnnotation"},
		{"shop", "misspelt", "Malformed"},
		{"shop", "to-nobody", "RuleNotFound"},
	} {
		c.eventually(30*time.Second, func() error {
			out, err := c.try(c.kubectlBin, "-n", want.namespace, "get", "events",
				"--field-selector", "involvedObject.name="+want.object+",reason="+want.reason, "-o", "name")
			if err == nil && strings.TrimSpace(out) == "" {
				err = fmt.Errorf("no Event %s on %s", want.reason, want.object)
			}
			return err
		})
		out, err := c.try(c.weft, "check")
		if err == nil || !strings.Contains(out, want.object) || !strings.Contains(out, want.reason) {
			c.Errorf("weft check does not tell %s of %s (%v):\n%s", want.reason, want.object, err, out)
		}
	}
	for _, a := range c.callers() {
		if err := share(a, 0, 20, 0); err != nil {
			c.Error(err)
		}
		// A new name takes a moment: CoreDNS and kube-proxy watch it too.
		c.eventually(time.Minute, func() error {
			_, err := a.get("http://nonsense.shop.mesh", 5)
			return err
		})
	}
	c.kubectl("delete", "-f", "testdata/bad.yaml")
	if now := c.restarts(); now != restarts {
		c.Errorf("containers of Weft restarted: %s, before %s", now, restarts)
	}
}

// restarts lists how often each pod of Weft has restarted.
func (c *cluster) restarts() string {
	c.Helper()
	return c.kubectl("-n", "weft", "get", "pods", "--sort-by=.metadata.name",
		"-o", "jsonpath={range .items[*]}{.metadata.name}={.status.containerStatuses[0].restartCount} {end}")
}
