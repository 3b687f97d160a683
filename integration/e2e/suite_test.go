//go:build e2e

package e2e

import "testing"

// TestCluster runs the parts in order, each on what the former ones left: one
// cluster, one installation, one removal.
func TestCluster(t *testing.T) {
	c := newCluster(t)
	c.apply("testdata/app.yaml")
	c.ready("daemonset/caller", "e2e")
	c.ready("deployment/echo", "default")
	before := c.inventory()
	for _, part := range []struct {
		name string
		run  func(*cluster)
	}{
		{"Install", testInstall},
		{"Names", testNames},
		{"HTTPThroughTheOwnNode", testOwnNode},
		{"PortsAndProtocols", testPortsAndProtocols},
		{"Canary", testCanary},
		{"MetricsAPI", testMetricsAPI},
		{"Access", testAccess},
		{"SplitWithAccess", testSplitWithAccess},
		{"Guard", testGuard},
		{"ScaleAndRollBackends", testScaleAndRoll},
		{"UpgradeNodes", testUpgradeNodes},
		{"NodeProxyKilled", testNodeProxyKilled},
		{"ControllerGone", testControllerGone},
		{"APIServerStopped", testAPIServerStopped},
		{"CorefileOverwritten", testCorefileOverwritten},
		{"BadInput", testBadInput},
		{"Check", testCheck},
	} {
		if part.name == "APIServerStopped" && !c.own {
			t.Log("left out: the API server of this cluster is not the suite's to stop")
			continue
		}
		if !t.Run(part.name, func(t *testing.T) { part.run(c.in(t)) }) {
			c.describe()
		}
	}
	t.Run("Uninstall", func(t *testing.T) { testUninstall(c.in(t), before) })
}
