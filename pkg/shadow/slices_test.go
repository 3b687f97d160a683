package shadow

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
	discoveryv1 "k8s.io/api/discovery/v1"
)

// shopNames are n names of namespace shop with one IPv4 address each.
func shopNames(n int) map[string][]string {
	out := map[string][]string{}
	for i := range n {
		out[fmt.Sprintf("s%03d", i)] = []string{fmt.Sprintf("10.0.%d.%d", i/250, i%250+1)}
	}
	return out
}

// write plans the names over what stands and returns what stands then, and
// which slices were written.
func write(names map[string][]string, have []*discoveryv1.EndpointSlice) (stands []*discoveryv1.EndpointSlice, written []string) {
	want, dead := planSlices("weft", "shop", names, have)
	for _, c := range want {
		stands = append(stands, c.want)
		if c.differs() {
			written = append(written, c.want.Name)
		}
	}
	for _, s := range dead {
		written = append(written, "-"+s.Name)
	}
	return stands, written
}

func sizes(have []*discoveryv1.EndpointSlice) (out []int) {
	for _, s := range have {
		out = append(out, len(s.Endpoints))
	}
	return out
}

func TestAChangeOfOneNameWritesOneSlice(t *testing.T) {
	names := shopNames(250)
	have, written := write(names, nil)
	if diff := cmp.Diff([]int{100, 100, 50}, sizes(have)); diff != "" {
		t.Fatal(diff)
	}
	if diff := cmp.Diff([]string{"shop-v4-0", "shop-v4-1", "shop-v4-2"}, written); diff != "" {
		t.Error(diff)
	}
	for step, test := range []struct {
		edit func()
		want []string
	}{
		{func() {}, nil},
		{func() { delete(names, "s120") }, []string{"shop-v4-1"}},
		{func() { names["a-new-one"] = []string{"10.0.9.9"} }, []string{"shop-v4-1"}}, // into the gap
		{func() { names["s000"] = []string{"10.0.9.8"} }, []string{"shop-v4-0"}},
		{func() { names["z"] = []string{"10.0.9.7"} }, []string{"shop-v4-2"}},
		{func() { names["z"] = []string{"10.0.9.7", "fd00::7"} }, []string{"shop-v6-0"}},
		{func() { names["z"] = []string{"10.0.9.7"} }, []string{"-shop-v6-0"}},
	} {
		test.edit()
		have, written = write(names, have)
		if diff := cmp.Diff(test.want, written); diff != "" {
			t.Errorf("step %d: %s", step, diff)
		}
	}
}

func TestSlicesOfAnotherHandAreRepaired(t *testing.T) {
	names := shopNames(3)
	have, _ := write(names, nil)
	twice := have[0].DeepCopy()
	twice.Name = "shop-v4-1"
	stands, written := write(names, append(have, twice))
	if diff := cmp.Diff([]string{"-shop-v4-1"}, written); diff != "" {
		t.Errorf("a doubled slice: %s", diff)
	}
	edited := stands[0].DeepCopy()
	edited.Endpoints[1].Addresses = []string{"10.9.9.9"}
	edited.Endpoints[2].Conditions.Ready = new(false)
	stands, written = write(names, []*discoveryv1.EndpointSlice{edited})
	if diff := cmp.Diff([]string{"shop-v4-0"}, written); diff != "" {
		t.Errorf("edited endpoints: %s", diff)
	}
	if diff := cmp.Diff(have, stands); diff != "" {
		t.Errorf("edited endpoints: %s", diff)
	}
}
