package dnspatch

import (
	"cmp"
	"path"
	"slices"
	"strings"
	"time"
)

// OverrideFile is the name of the file whose text Override gives.
const OverrideFile = "weft.override"

// Info is what a Corefile says about itself.
type Info struct {
	// Patched is whether a marked block is there, whatever stands in it.
	Patched bool
	// Root is whether Apply finds a server block to edit.
	Root bool
	// ClusterDomain is the domain of the cluster's Services, "" if the Corefile
	// does not tell it. It may hold a placeholder such as {$ZONE}.
	ClusterDomain string
	// Reload is whether CoreDNS notices a change by itself.
	Reload bool
	// OverrideDir is the folder from which every root block imports a file
	// named OverrideFile, as written in the Corefile; "" if there is none.
	OverrideDir string
	// Zones are the named zones with a server block of their own, sorted. A
	// mesh domain among them is answered there and not by Weft's rule.
	Zones []string
}

// Inspect reads a Corefile; Weft's own block is left out of all but Patched.
// The error is a wrapped ErrMarks or a *SyntaxError.
func Inspect(corefile string) (Info, error) {
	spans, err := marked(corefile)
	if err != nil {
		return Info{}, err
	}
	bare, _ := Remove(corefile) // fails only where marked does
	f, err := parse(bare)
	if err != nil {
		return Info{}, err
	}
	info := Info{Patched: len(spans) > 0, Reload: f.reloads(), Zones: f.zones()}
	roots := f.roots()
	if len(roots) == 0 {
		return info, nil
	}
	info.Root = true
	info.ClusterDomain, _ = f.clusterDomain(roots[0]) // "" says it as well
	info.OverrideDir = f.overrideDir(roots[0])
	for _, b := range roots[1:] {
		if f.overrideDir(b) != info.OverrideDir {
			info.OverrideDir = ""
		}
	}
	return info, nil
}

// reloads reports whether any server block has the reload plugin: one is
// enough for the process. An interval of zero switches it off.
func (f *corefile) reloads() bool {
	return slices.ContainsFunc(f.servers, func(b block) bool {
		d, ok := find(f.plugins(b), "reload")
		if !ok {
			return false
		}
		interval, err := time.ParseDuration(cmp.Or(append(d.args(), "")[0], "30s"))
		return err != nil || interval != 0
	})
}

// zones are the zones of all server blocks but the root and reverse ones.
func (f *corefile) zones() []string {
	var zones []string
	for _, b := range f.servers {
		for _, key := range b.keys {
			if z := parseAddress(key.text).zone; z != "" && !isReverse(z) {
				zones = append(zones, z)
			}
		}
	}
	slices.Sort(zones)
	return slices.Compact(zones)
}

// overrideDir is the folder of the block's import that takes in OverrideFile.
func (f *corefile) overrideDir(b block) string {
	for _, d := range f.plugins(b) {
		if d.name() != "import" {
			continue
		}
		pattern := d[1].text
		if ok, err := path.Match(path.Base(pattern), OverrideFile); ok && err == nil {
			return path.Dir(pattern)
		}
	}
	return ""
}

// Shadowed are the mesh domains of cfg that a server block of their own, or of
// a zone above them, answers before the rule of Weft is asked.
func (i Info) Shadowed(cfg Config) []string {
	domains, err := cfg.domains()
	if err != nil {
		return nil
	}
	var shadowed []string
	for _, d := range domains {
		if slices.ContainsFunc(i.Zones, func(zone string) bool { return d == zone || strings.HasSuffix(d, "."+zone) }) {
			shadowed = append(shadowed, d)
		}
	}
	return shadowed
}
