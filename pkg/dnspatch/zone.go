package dnspatch

import (
	"net/netip"
	"slices"
	"strings"
)

// address is a server block's key: "dns://cluster.local:53" is transport
// "dns://", zone "cluster.local" and port ":53". The root zone is "".
type address struct {
	transport, zone, port string
}

// parseAddress splits a key. A placeholder for the environment stays as it is
// and so never equals a zone.
func parseAddress(key string) address {
	var a address
	if i := strings.Index(key, "://"); i >= 0 {
		a.transport, key = key[:i+3], key[i+3:]
	}
	if i := strings.LastIndexByte(key, ':'); i >= 0 && isPort(key[i+1:]) {
		key, a.port = key[:i], key[i:]
	}
	a.zone = normalize(key)
	return a
}

// isPort accepts digits, or a placeholder for them.
func isPort(s string) bool {
	return s != "" && (hasPlaceholder(s) || strings.Trim(s, "0123456789") == "")
}

// hasPlaceholder reports whether CoreDNS will put an environment variable into s.
func hasPlaceholder(s string) bool {
	return strings.Contains(s, "{$") || strings.Contains(s, "{%")
}

// normalize gives a zone in lower case without its last dot; a name with a
// placeholder keeps its case, because the names of variables have one.
func normalize(zone string) string {
	zone = strings.TrimSuffix(zone, ".")
	if hasPlaceholder(zone) {
		return zone
	}
	return strings.ToLower(zone)
}

// isReverse reports whether a zone holds addresses instead of names.
func isReverse(zone string) bool {
	for _, arpa := range []string{"in-addr.arpa", "ip6.arpa"} {
		if zone == arpa || strings.HasSuffix(zone, "."+arpa) {
			return true
		}
	}
	_, err := netip.ParsePrefix(zone)
	return err == nil
}

// serves reports whether one of the block's keys is the zone.
func (b block) serves(zone string) bool {
	return slices.ContainsFunc(b.keys, func(t token) bool {
		return parseAddress(t.text).zone == zone
	})
}

// find is the first of the plugins with that name.
func find(plugins []directive, name string) (directive, bool) {
	i := slices.IndexFunc(plugins, func(d directive) bool { return d.name() == name })
	if i < 0 {
		return nil, false
	}
	return plugins[i], true
}

// roots are the server blocks that serve the root zone with the kubernetes
// plugin. There can be several, for several ports or views.
func (f *corefile) roots() []block {
	var found []block
	for _, b := range f.servers {
		if _, ok := find(f.plugins(b), "kubernetes"); ok && b.serves("") {
			found = append(found, b)
		}
	}
	return found
}

// clusterDomain is the first zone of the block's kubernetes plugin that holds
// names; the plugin takes the block's own zones where it has none.
func (f *corefile) clusterDomain(b block) (string, error) {
	var zones []string
	if kubernetes, ok := find(f.plugins(b), "kubernetes"); ok {
		zones = kubernetes.args()
	}
	if len(zones) == 0 {
		for _, key := range b.keys {
			zones = append(zones, parseAddress(key.text).zone)
		}
	}
	for _, z := range zones {
		if z = normalize(z); z != "" && !isReverse(z) {
			return z, nil
		}
	}
	return "", ErrNoClusterDomain
}
