package main

import (
	"net/netip"

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
