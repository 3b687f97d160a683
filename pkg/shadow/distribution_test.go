package shadow

import "testing"

func TestDistributionByServerVersion(t *testing.T) {
	for minor, want := range map[string]string{"35": "PreferSameNode", "34+": "PreferSameNode", "33": "PreferClose", "31": "PreferClose", "30": "", "x": ""} {
		got := distribution("1", minor)
		if got == nil && want != "" || got != nil && *got != want {
			t.Errorf("1.%s: %v, want %q", minor, got, want)
		}
	}
}
