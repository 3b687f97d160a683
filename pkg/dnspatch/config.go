package dnspatch

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
)

var (
	// ErrNoRootBlock says that there is no place for the rewrite rule.
	ErrNoRootBlock = errors.New("no server block serves the root zone with the kubernetes plugin")
	// ErrNoClusterDomain says that the Corefile does not tell the cluster's
	// domain and Config.ClusterDomain is empty.
	ErrNoClusterDomain = errors.New("the kubernetes plugin names no cluster domain (such as cluster.local): give it")
	// ErrNoForwardBlock says that a node-local Corefile has no server block to
	// take the forward rule from.
	ErrNoForwardBlock = errors.New("no server block forwards the cluster domain")
	// ErrMarks says that the marks of Weft's block no longer enclose it. A
	// person must delete what is left of it.
	ErrMarks = errors.New("the block of Weft is damaged")
)

// Config says which names resolve to what. The zero value is valid.
type Config struct {
	// Domains are the domains of mesh names. Empty means "mesh". Each must be
	// lower-case DNS labels and must not hold the cluster's own names.
	Domains []string
	// Namespace is the one Weft runs in. Empty means "weft".
	Namespace string
	// ClusterDomain is the domain of the cluster's Services. Empty means: read
	// it from the kubernetes plugin of the Corefile.
	ClusterDomain string
}

// domains are the configured ones, the deepest first: the rule for "mesh"
// would catch the names of "traefik.mesh" too.
func (c Config) domains() ([]string, error) {
	list := []string{"mesh"}
	if len(c.Domains) > 0 {
		list = make([]string, len(c.Domains))
		for i, d := range c.Domains {
			list[i] = normalize(d)
		}
	}
	for _, d := range list {
		if !isName(d) {
			return nil, fmt.Errorf("mesh domain %q is not a DNS name", d)
		}
	}
	slices.SortFunc(list, func(a, b string) int {
		return cmp.Or(strings.Count(b, ".")-strings.Count(a, "."), cmp.Compare(a, b))
	})
	return slices.Compact(list), nil
}

// nameTTL is how long, in seconds, an answer for a mesh name may be kept, as is
// usual for Services; above all the answer that a name does not exist, which
// CoreDNS's cache may else keep for half a minute after it does.
const nameTTL = 5

// rules are the rewrite lines for the cluster domain, without indentation: two
// for each domain, as one rule rewrites either the name or the TTL.
func (c Config) rules(clusterDomain string) ([]string, error) {
	target, err := c.target(clusterDomain)
	if err != nil {
		return nil, err
	}
	domains, err := c.domains()
	if err != nil {
		return nil, err
	}
	lines := make([]string, 0, 2*len(domains))
	for _, d := range domains {
		if strings.HasSuffix(target, "."+d) {
			return nil, fmt.Errorf("mesh domain %q holds the cluster's own names (%s)", d, target[1:])
		}
		lines = append(lines,
			fmt.Sprintf("rewrite continue ttl suffix .%s %d", d, nameTTL),
			fmt.Sprintf("rewrite name suffix .%s %s answer auto", d, target))
	}
	return lines, nil
}

// target is the suffix that a mesh domain is rewritten to.
func (c Config) target(clusterDomain string) (string, error) {
	namespace := cmp.Or(c.Namespace, "weft")
	if !isName(namespace) || strings.Contains(namespace, ".") {
		return "", fmt.Errorf("namespace %q is not a DNS label", namespace)
	}
	zone := normalize(cmp.Or(c.ClusterDomain, clusterDomain))
	if zone == "" {
		return "", ErrNoClusterDomain
	}
	if !isName(zone) && !isPlaceholder(zone) {
		return "", fmt.Errorf("cluster domain %q is not a DNS name", zone)
	}
	return "." + namespace + ".svc." + zone, nil
}

// isName reports whether s is DNS labels as Kubernetes allows them (RFC 1123).
func isName(s string) bool {
	for label := range strings.SplitSeq(s, ".") {
		if label == "" || len(label) > 63 || strings.Trim(label, "-") != label {
			return false
		}
		if strings.Trim(label, "abcdefghijklmnopqrstuvwxyz0123456789-") != "" {
			return false
		}
	}
	return len(s) <= 253
}

// isPlaceholder reports whether s is one word with a placeholder of CoreDNS,
// which goes into the rule as it is: CoreDNS puts the value in there as well.
func isPlaceholder(s string) bool {
	return hasPlaceholder(s) && !strings.ContainsAny(s, " \t\r\n\"#")
}
