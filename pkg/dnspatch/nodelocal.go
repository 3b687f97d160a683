package dnspatch

import (
	"slices"
	"strings"
)

// isCopied reports whether the mesh domains' server block takes the plugin over
// from the cluster domain's. Not health: its port can be taken once only.
func isCopied(plugin string) bool {
	return slices.Contains([]string{"errors", "cache", "reload", "bind", "forward"}, plugin)
}

// ApplyNodeLocal gives the Corefile of node-local-dns with one more server
// block at its end, which forwards the mesh domains to where the cluster domain
// goes. Without it a mesh name would leave the cluster by the node's upstream.
//
// The block's lines are those of the cluster domain's block. A mesh domain that
// already has a server block keeps that one: CoreDNS would refuse a second;
// Inspect tells such zones.
//
// The error is ErrNoForwardBlock, ErrMarks (wrapped), a *SyntaxError, or says
// what is wrong in cfg.
func ApplyNodeLocal(corefile string, cfg Config) (string, error) {
	bare, err := Remove(corefile)
	if err != nil {
		return "", err
	}
	f, err := parse(bare)
	if err != nil {
		return "", err
	}
	domains, err := cfg.domains()
	if err != nil {
		return "", err
	}
	cluster, via, ok := f.forwarder(normalize(cfg.ClusterDomain))
	if !ok {
		return "", ErrNoForwardBlock
	}
	domains = slices.DeleteFunc(domains, f.taken)
	if len(domains) == 0 {
		return bare, nil
	}
	return appendBlock(bare, f.nodeLocalBlock(domains, cluster, via)), nil
}

// forwarder is the server block that forwards the cluster domain, and the key
// it does so under. Without a domain, or with one that only the environment
// knows, it is the first block of a named forward zone.
func (f *corefile) forwarder(zone string) (block, address, bool) {
	unknown := zone == "" || hasPlaceholder(zone)
	for _, b := range f.servers {
		if _, ok := find(f.plugins(b), "forward"); !ok {
			continue
		}
		for _, key := range b.keys {
			a := parseAddress(key.text)
			if a.zone == zone && zone != "" || unknown && a.zone != "" && !isReverse(a.zone) {
				return b, a, true
			}
		}
	}
	return block{}, address{}, false
}

// taken reports whether the zone has a server block of its own.
func (f *corefile) taken(zone string) bool {
	return slices.ContainsFunc(f.servers, func(b block) bool { return b.serves(zone) })
}

// nodeLocalBlock is the mesh domains' server block, line by line.
func (f *corefile) nodeLocalBlock(domains []string, like block, via address) []string {
	keys := make([]string, len(domains))
	for i, d := range domains {
		keys[i] = via.transport + d + via.port
	}
	lines := []string{strings.Join(keys, " ") + " {"}
	for _, d := range f.plugins(like) {
		if isCopied(d.name()) {
			lines = append(lines, f.indent(like)+f.copyOf(d))
		}
	}
	return append(lines, "}")
}

// copyOf is the text of a directive. What forward takes is widened to all
// names: a rule for the cluster domain alone would forward no mesh name.
func (f *corefile) copyOf(d directive) string {
	start, end := d[0].start, d[len(d)-1].end
	if d.name() != "forward" || len(d.args()) == 0 {
		return f.src[start:end]
	}
	return f.src[start:d[1].start] + "." + f.src[d[1].end:end]
}

// appendBlock puts marked lines behind the text, which may end without a
// newline; the block then does so too, see ownStart.
func appendBlock(text string, lines []string) string {
	eol := lineEnd(text)
	if strings.HasSuffix(text, "\n") {
		return text + frame(lines, "", eol) + eol
	}
	return text + eol + frame(lines, "", eol)
}
