//go:build e2e

package e2e

import (
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"
)

// testNames: the patched CoreDNS answers for every kind of Service.
func testNames(c *cluster) {
	long := strings.Repeat("s", 63) + "." + strings.Repeat("n", 63) + ".mesh"
	for _, a := range c.callers() {
		for _, name := range []string{"echo.default.mesh", "headless.default.mesh", "orders.shop.mesh", long} {
			// The kubelet syncs the ConfigMap and CoreDNS reloads it every 30 s.
			c.eventually(2*time.Minute, func() error {
				var addresses []string
				if err := a.ask("/resolve", url.Values{"name": {name}}, &addresses); err != nil {
					return err
				}
				if len(addresses) == 0 {
					return errors.New(name + " has no address")
				}
				return nil
			})
		}
		var none []string
		if err := a.ask("/resolve", url.Values{"name": {"nothing.default.mesh"}}, &none); err == nil || !strings.Contains(err.Error(), "no such host") {
			c.Errorf("nothing.default.mesh: %v, %v; want no such host", none, err)
		}
	}
}

// testOwnNode: a call is answered through the proxy on the caller's own node,
// which tells the endpoint the caller's address and leaves Host as it is.
func testOwnNode(c *cluster) {
	proxies := map[string]string{}
	for _, p := range c.pods("weft", "app.kubernetes.io/name=weft-node") {
		proxies[p.Spec.NodeName] = p.Status.PodIP
	}
	for _, a := range c.callers() {
		// kube-proxy learns of the mesh address a moment after CoreDNS does.
		c.eventually(20*time.Second, func() error {
			_, err := a.get("http://echo.default.mesh", 1)
			return err
		})
		results, err := a.get("http://echo.default.mesh", 20)
		if err != nil {
			c.Error(err)
		}
		for _, r := range results {
			if r.Echo.Forwarded != a.pod.Status.PodIP || r.Echo.Host != "echo.default.mesh" {
				c.Errorf("the endpoint saw X-Forwarded-For %q and Host %q; want %q and echo.default.mesh", r.Echo.Forwarded, r.Echo.Host, a.pod.Status.PodIP)
			}
			if !strings.HasPrefix(r.Echo.Peer, proxies[a.pod.Spec.NodeName]+":") {
				c.Errorf("from %s the call came through %s; want the proxy of that node, %s", a.pod.Spec.NodeName, r.Echo.Peer, proxies[a.pod.Spec.NodeName])
			}
		}
	}
}

// testPortsAndProtocols: port ≠ targetPort, named target ports, several ports,
// headless, long names, endpoints on both nodes; TCP, UDP, gRPC, WebSocket.
func testPortsAndProtocols(c *cluster) {
	long := strings.Repeat("s", 63) + "." + strings.Repeat("n", 63) + ".mesh"
	for _, a := range c.callers() {
		for _, target := range []string{"http://echo.default.mesh", "http://echo.default.mesh:8080", "http://headless.default.mesh:8080", "http://" + long} {
			if _, err := a.get(target, 5); err != nil {
				c.Error(err)
			}
		}
		// A pod whose first answer was slow is passed over until that is forgotten.
		pods := map[string]bool{}
		c.eventually(time.Minute, func() error {
			results, err := a.get("http://echo.default.mesh", 20)
			for _, r := range results {
				pods[r.Echo.Pod] = true
			}
			if err == nil && len(pods) != 3 {
				err = fmt.Errorf("calls reached %d pods; want all 3, on both nodes", len(pods))
			}
			return err
		})
		for path, query := range map[string]url.Values{
			"/tcp":  {"address": {"echo.default.mesh:7070"}},
			"/udp":  {"address": {"echo.default.mesh:7071"}},
			"/grpc": {"address": {"echo.default.mesh:9090"}},
			"/ws":   {"url": {"ws://echo.default.mesh/ws"}},
		} {
			var said string
			a.must(path, query, &said)
			want := map[string]string{"/tcp": "ping\ngoodbye\n", "/udp": " ping", "/grpc": "7 cases", "/ws": "4 messages"}[path]
			if !strings.HasSuffix(said, want) {
				c.Errorf("%s from %s: %q; want …%q", path, a.pod.Spec.NodeName, said, want)
			}
		}
	}
}

// report is what a load came to; see the app.
type report struct {
	Requests, Failed int
	Errors           []string
	Versions, Pods   map[string]int
}

// underLoad runs a change while every caller makes calls of a URL, until each
// has made as many calls again after the change, and wants none of them failed.
func (c *cluster) underLoad(target string, change func()) {
	c.Helper()
	c.underLoadOf(url.Values{"url": {target}, "posts": {"yes"}}, change)
}

// underLoadOf is underLoad with the app's own parameters of a load.
func (c *cluster) underLoadOf(load url.Values, change func()) {
	c.Helper()
	for node, r := range c.reports(load, change) {
		if r.Failed > 0 {
			c.Errorf("from %s %d of %d calls failed: %s", node, r.Failed, r.Requests, strings.Join(r.Errors, "; "))
		}
	}
}

// reports runs a change under load and returns what each node's load came to.
func (c *cluster) reports(load url.Values, change func()) map[string]report {
	c.Helper()
	callers := c.callers()
	for _, a := range callers {
		var said string
		a.must("/load/start", load, &said)
	}
	c.moreCalls(callers, 200)
	change()
	c.moreCalls(callers, 400)
	reports := map[string]report{}
	for _, a := range callers {
		var r report
		a.must("/load/stop", nil, &r)
		c.Logf("from %s: %d calls, %d failed, versions %v, pods %d", a.pod.Spec.NodeName, r.Requests, r.Failed, r.Versions, len(r.Pods))
		reports[a.pod.Spec.NodeName] = r
	}
	return reports
}

// moreCalls waits until the running load of every caller has made n calls more.
func (c *cluster) moreCalls(callers []caller, n int) {
	c.Helper()
	for _, a := range callers {
		var start int
		a.must("/load/count", nil, &start)
		c.eventually(time.Minute, func() error {
			var now int
			if err := a.ask("/load/count", nil, &now); err != nil {
				return err
			}
			if now < start+n {
				return fmt.Errorf("%d calls of %d", now-start, n)
			}
			return nil
		})
	}
}
