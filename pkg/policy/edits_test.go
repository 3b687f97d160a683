package policy_test

import (
	"testing"

	"github.com/weft-mesh/weft/pkg/policy"
)

func TestEdits(t *testing.T) {
	e, err := policy.NewEdits("X-Team: shop\n x-Empty:\n\n", "x-seen: a: b", []string{" Server", "x-powered-by"})
	if err != nil {
		t.Fatal(err)
	}
	got := ""
	for _, f := range e.Append {
		got += string(f.Name) + "=" + string(f.Value) + ";"
	}
	if want := "x-team=shop;x-empty=;x-seen=a: b;"; got != want {
		t.Errorf("appends %q; want %q", got, want)
	}
	for name, want := range map[string]bool{"x-team": true, "X-TEAM": true, "server": true, "X-Powered-By": true, "x_team": true, "x_powered-BY": true, "x-seen": false, "x-other": false} {
		if e.Drops([]byte(name)) != want {
			t.Errorf("%s is dropped: %v; want %v", name, !want, want)
		}
	}
	if none, err := policy.NewEdits(" \n", "", nil); none != nil || err != nil || none.Drops([]byte("server")) {
		t.Errorf("nothing to edit is %v, %v", none, err)
	}
	for _, wrong := range []string{": x", "x y: z", "content-length: 1", "Weft-Reason: x", "host: x", ":path: /", "x: a\x00b", "x_forwarded_for: 1"} {
		if _, err := policy.NewEdits(wrong, "", nil); err == nil {
			t.Errorf("%q is taken", wrong)
		}
	}
}
