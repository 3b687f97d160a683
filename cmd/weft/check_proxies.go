package main

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/weft-mesh/weft/pkg/admin"
	"github.com/weft-mesh/weft/pkg/mesh"
	"github.com/weft-mesh/weft/pkg/reach"
)

// longestSilence is how long a watch may be broken before it is told.
const longestSilence = 10 * time.Second

// fleet finds the proxies of the mesh that is checked.
func (c *checkCommand) fleet(ctx context.Context, k *clients) (*reach.Fleet, error) {
	if c.Admin != "" {
		return reach.Local(c.Admin, c.Timeout), nil
	}
	return reach.Cluster(ctx, reach.Config{REST: k.config, Client: k.typed, Namespace: c.Namespace, Timeout: c.Timeout})
}

// proxies asks all proxies what they see: one whose picture differs from the
// others' lags behind.
func (c *checkCommand) proxies(ctx context.Context, k *clients) []finding {
	fleet, err := c.fleet(ctx, k)
	if err != nil {
		return []finding{fails("", "%v", err)}
	}
	defer fleet.Close()
	return judge(reach.Ask[admin.Status](ctx, fleet.Proxies, "/api/status"))
}

// judge compares what the proxies say of themselves.
func judge(answers []reach.Answer[admin.Status]) (out []finding) {
	digests, versions := map[string]int{}, map[string]int{}
	for _, a := range answers {
		if a.Err == nil {
			digests[a.Value.Digest]++
			versions[a.Value.Version]++
		}
	}
	usual := most(digests)
	agree := 0
	for _, a := range answers {
		who := where(a.Proxy)
		switch s := a.Value; {
		case a.Err != nil:
			out = append(out, fails(askHint(a.Proxy), "%s could not be asked: %v", who, a.Err))
		case s.Digest != usual:
			out = append(out, fails("it may be catching up; if it stays so, its log says more", "%s lags behind: it routes by a picture of %s ago that differs from the others'", who, ago(s.Built)))
		case len(silent(s)) > 0:
			out = append(out, fails("can its node reach the API server?", "%s does not hear of changes to %s", who, strings.Join(silent(s), ", ")))
		default:
			agree++
		}
	}
	if agree > 0 {
		out = append([]finding{holds("%d of %d proxies route by the same picture", agree, len(answers))}, out...)
	}
	if own := cmp.Or(version, "dev"); len(versions) > 1 || len(versions) == 1 && versions[own] == 0 {
		out = append(out, doubts("bring them to one version", "weft is %s, the proxies are %s", own, strings.Join(slices.Sorted(maps.Keys(versions)), " and ")))
	}
	return out
}

// most is the key that counts most; the first by name of several.
func most(counts map[string]int) (key string) {
	for _, k := range slices.Sorted(maps.Keys(counts)) {
		if counts[k] > counts[key] {
			key = k
		}
	}
	return key
}

// silent are the kinds of which a proxy hears nothing.
func silent(s admin.Status) (kinds []string) {
	for _, kind := range slices.Sorted(maps.Keys(s.StaleSeconds)) {
		if d := time.Duration(s.StaleSeconds[kind] * float64(time.Second)); d > longestSilence {
			kinds = append(kinds, fmt.Sprintf("%ss (for %s)", kind, d.Truncate(time.Second)))
		}
	}
	return kinds
}

// proxyProblems are what the proxies find wrong with objects, each once.
func (c *checkCommand) proxyProblems(ctx context.Context, k *clients) []finding {
	fleet, err := c.fleet(ctx, k)
	if err != nil {
		return []finding{fails("", "%v", err)}
	}
	defer fleet.Close()
	var all []mesh.Problem
	for _, a := range reach.Ask[[]mesh.Problem](ctx, fleet.Proxies, "/api/problems") {
		all = append(all, a.Value...)
	}
	return told(mesh.SortProblems(all))
}

// told is a finding for each problem.
func told(problems []mesh.Problem) []finding {
	if len(problems) == 0 {
		return []finding{holds("no object has a problem")}
	}
	var out []finding
	for _, p := range problems {
		out = append(out, fails("", "%s: %s: %s", p.Object, p.Reason, p.Message))
	}
	return out
}
