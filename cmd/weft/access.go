package main

import (
	"fmt"
	"net/netip"
	"strings"

	"github.com/weft-mesh/weft/pkg/mesh"
)

// accessConfig is the part of a configuration that says who may call whom.
type accessConfig struct {
	Mode           string   `description:"What becomes of calls that no TrafficTarget allows: off lets all pass, audit tells which would be refused, enforce refuses them. The annotation weft.mesh/access of a namespace goes before."`
	TrustedSources []string `description:"Networks (CIDRs) whose callers may do everything although they are no pods, such as those of the nodes; separated by commas, or given several times."`
}

func (c *accessConfig) settings() (mesh.AccessSettings, error) {
	var s mesh.AccessSettings
	if s.Mode.UnmarshalText([]byte(c.Mode)) != nil {
		return s, usageError("--access.mode=%s: takes off, audit or enforce", c.Mode)
	}
	for _, text := range c.TrustedSources {
		network, err := netip.ParsePrefix(text)
		if err != nil {
			return s, usageError("--access.trustedSources=%s: takes networks such as 10.0.0.0/24", text)
		}
		s.Trusted = append(s.Trusted, network.Masked())
	}
	return s, nil
}

// principal says whom a Principal means.
func principal(p mesh.Principal) string {
	if p.Binding {
		return "identity binding " + p.Name.String()
	}
	return "service account " + p.Name.String()
}

// owner names what owns a workload.
func owner(w *mesh.Workload) string {
	return w.OwnerKind + " " + mesh.Name{Namespace: w.Name.Namespace, Name: w.OwnerName}.String()
}

// modeLine says what a mode means for those who are not named further on.
func modeLine(mode mesh.AccessMode) string {
	switch mode {
	case mesh.AccessOff:
		return "everybody may do everything"
	case mesh.AccessAudit:
		return "everybody may do everything; what is not allowed is told"
	}
	return "nobody may do anything but what follows"
}

// grantedTo tells what grants allow at a destination, source by source.
func grantedTo(grants []*mesh.Grant, destination mesh.Principal) (out []string) {
	for _, g := range grants {
		if g.Destination == destination {
			out = append(out, sourcesMay(g)...)
		}
	}
	return out
}

// sourcesMay tells what each source of a Grant may do.
func sourcesMay(g *mesh.Grant) (out []string) {
	for _, from := range g.Sources {
		who := from.Name.String()
		if from.Binding {
			who = principal(from)
		}
		for _, may := range granted(g) {
			out = append(out, who+" may: "+may)
		}
	}
	return out
}

// granted writes what a Grant allows.
func granted(g *mesh.Grant) (out []string) {
	on := ""
	switch {
	case g.Port != 0:
		on = fmt.Sprintf(" on port %d", g.Port)
	case len(g.TCP.Only) > 0:
		on = fmt.Sprintf(" on TCP ports %s", numbers(g.TCP.Only))
	case len(g.UDP.Only) > 0:
		on = fmt.Sprintf(" on UDP ports %s", numbers(g.UDP.Only))
	}
	if !g.Requests {
		return []string{"everything" + on + by(g)}
	}
	for _, m := range g.Matches {
		out = append(out, requestsOf(m)+on+by(g))
	}
	return out
}

func by(g *mesh.Grant) string { return ", by " + g.Origin.String() }

func numbers(ports []uint16) string {
	return strings.Trim(strings.ReplaceAll(fmt.Sprint(ports), " ", ", "), "[]")
}
