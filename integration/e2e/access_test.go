//go:build e2e

package e2e

import (
	"fmt"
	"net/url"
	"strings"
	"time"
)

// testAccess: who may call what, by service account, path, method and port; in
// audit nothing is refused.
func testAccess(c *cluster) {
	c.apply("testdata/access.yaml")
	c.ready("deployment/vault-v1", "bank")
	c.ready("deployment/vault-v2", "bank")
	for _, a := range c.callers() {
		// A new name takes a moment: CoreDNS and kube-proxy watch it too.
		c.eventually(time.Minute, func() error { return statuses(a, "/write", map[string]int{"200 v1": 10}) })
	}
	c.kubectl("annotate", "namespace", "bank", "--overwrite", "weft.mesh/access=enforce")
	for _, a := range c.callers() {
		c.eventually(20*time.Second, func() error { return statuses(a, "/write", map[string]int{"403": 10}) })
		c.eventually(20*time.Second, func() error { return statuses(a, "/read", map[string]int{"200 v1": 10}) })
		c.refused(a, "/tcp", "vault.bank.mesh:7070")
		c.refused(a, "/udp", "vault.bank.mesh:7071")
	}
	c.apply("testdata/access-l4.yaml")
	for _, a := range c.callers() {
		for path, port := range map[string]string{"/tcp": "7070", "/udp": "7071"} {
			c.eventually(20*time.Second, func() error {
				var said string
				return a.ask(path, url.Values{"address": {"vault.bank.mesh:" + port}}, &said)
			})
		}
	}
}

// refused wants a connection or a session to come to nothing.
func (c *cluster) refused(a caller, path, address string) {
	c.Helper()
	var said string
	if err := a.ask(path, url.Values{"address": {address}}, &said); err == nil {
		c.Errorf("%s of %s from %s: it was answered with %q; want it refused", path, address, a.pod.Spec.NodeName, said)
	}
}

// statuses makes ten calls of the vault and compares what came of them: the
// status, and the version that answered.
func statuses(a caller, path string, want map[string]int) error {
	results, _ := a.get("http://vault.bank.mesh"+path, 10) // a refusal is an error of a call
	got := map[string]int{}
	for _, r := range results {
		got[strings.TrimSpace(fmt.Sprint(r.Status, " ", r.Echo.Version))]++
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		return fmt.Errorf("%s from %s: got %v; want %v", path, a.pod.Spec.NodeName, got, want)
	}
	return nil
}

// testSplitWithAccess: a split chooses, and the identity of what it chose
// decides.
func testSplitWithAccess(c *cluster) {
	c.applyText(`apiVersion: split.smi-spec.io/v1alpha4
kind: TrafficSplit
metadata: {name: vault, namespace: bank}
spec: {service: vault, backends: [{service: vault, weight: 50}, {service: vault-v2, weight: 50}]}
`)
	for _, a := range c.callers() {
		c.eventually(20*time.Second, func() error { return statuses(a, "/read", map[string]int{"200 v1": 5, "403": 5}) })
	}
	c.applyText(`apiVersion: access.smi-spec.io/v1alpha3
kind: TrafficTarget
metadata: {name: callers-read-v2, namespace: bank}
spec:
  destination: {kind: ServiceAccount, name: vault-v2, namespace: bank}
  rules: [{kind: HTTPRouteGroup, name: vault}]
  sources: [{kind: ServiceAccount, name: default, namespace: e2e}]
`)
	for _, a := range c.callers() {
		c.eventually(20*time.Second, func() error { return statuses(a, "/read", map[string]int{"200 v1": 5, "200 v2": 5}) })
	}
	c.kubectl("-n", "bank", "delete", "traffictarget", "callers-read")
	for _, a := range c.callers() {
		c.eventually(20*time.Second, func() error { return statuses(a, "/read", map[string]int{"200 v2": 5, "403": 5}) })
	}
	c.kubectl("-n", "bank", "delete", "trafficsplit", "vault")
	c.apply("testdata/access.yaml")
	c.kubectl("annotate", "namespace", "bank", "--overwrite", "weft.mesh/access=enforce")
}

// testGuard: the policy stands, and where nothing enforces it, it is told; where
// something does, only the mesh is let in. On the suite's own cluster it is both,
// one after the other.
func testGuard(c *cluster) {
	for _, a := range c.callers() {
		if _, err := a.get("http://vault.bank/write", 1); err != nil {
			c.Errorf("the plain name of a namespace that is not guarded: %v", err)
		}
	}
	c.kubectl("annotate", "namespace", "bank", "weft.mesh/guard=true", "weft.mesh/guard-allow=monitoring,192.0.2.0/24")
	const peers = `[{"namespaceSelector":{"matchLabels":{"kubernetes.io/metadata.name":"weft"}},"podSelector":{"matchLabels":{"app.kubernetes.io/name":"weft-node"}}},` +
		`{"namespaceSelector":{"matchLabels":{"kubernetes.io/metadata.name":"monitoring"}}},{"ipBlock":{"cidr":"192.0.2.0/24"}}]`
	c.eventually(20*time.Second, func() error {
		out, err := c.try(c.kubectlBin, "-n", "bank", "get", "networkpolicy", "weft-guard", "-o", "jsonpath={.spec.ingress[0].from}")
		if err == nil && out != peers {
			err = fmt.Errorf("the guard admits %s; want %s", out, peers)
		}
		return err
	})
	enforced := c.guarded() == nil
	if c.own || !enforced {
		c.notEnforced(true)
	}
	if c.own {
		c.enforcePolicies()
	}
	if c.own || enforced {
		c.notEnforced(false)
		c.behindGuard()
	}
	for _, a := range c.callers() {
		c.eventually(20*time.Second, func() error { return statuses(a, "/read", map[string]int{"200 v1": 10}) })
	}
	c.kubectl("annotate", "namespace", "bank", "weft.mesh/guard-", "weft.mesh/guard-allow-")
	c.eventually(20*time.Second, func() error {
		out, err := c.try(c.kubectlBin, "-n", "bank", "get", "networkpolicy", "-o", "name")
		if err == nil && strings.TrimSpace(out) != "" {
			err = fmt.Errorf("%s is left", out)
		}
		return err
	})
}

// notEnforced waits until weft check tells that the guard does not hold, or tells
// it no more.
func (c *cluster) notEnforced(told bool) {
	c.Helper()
	c.eventually(90*time.Second, func() error {
		if out, _ := c.try(c.weft, "check"); strings.Contains(out, "GuardNotEnforced") != told {
			return fmt.Errorf("weft check tells that the guard does not hold: %v; want %v\n%s", !told, told, out)
		}
		return nil
	})
}

// enforcePolicies has NetworkPolicies hold from now on, on the suite's own nodes.
func (c *cluster) enforcePolicies() {
	c.Helper()
	for _, a := range c.callers() {
		c.run("../cluster/cluster", "start", a.pod.Spec.NodeName+"-kube-router")
	}
	c.eventually(time.Minute, c.guarded)
}

// behindGuard: nobody but the mesh and the kubelets comes to the guarded pods, by
// the plain name or by their addresses, and pods that begin behind it get ready.
func (c *cluster) behindGuard() {
	c.Helper()
	for _, p := range c.pods("bank", "app=vault") {
		for _, a := range c.callers() {
			if _, err := a.get("http://"+p.Status.PodIP+":8080/read", 1); err == nil {
				c.Errorf("%s is reached from %s past the mesh", p.Name, a.pod.Spec.NodeName)
			}
		}
	}
	c.kubectl("-n", "bank", "rollout", "restart", "deployment/vault-v1")
	c.ready("deployment/vault-v1", "bank") // the kubelets' probes pass
	c.gone("bank", "app=vault,version=v1", 2)
	if err := c.guarded(); err != nil {
		c.Errorf("after a rollout: %v", err)
	}
}

// guarded tells whether the callers are kept from the plain name.
func (c *cluster) guarded() error {
	for _, a := range c.callers() {
		if _, err := a.get("http://vault.bank/read", 1); err == nil {
			return fmt.Errorf("the plain name is answered from %s", a.pod.Spec.NodeName)
		}
	}
	return nil
}
