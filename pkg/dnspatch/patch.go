package dnspatch

import (
	"slices"
	"strings"
)

// Apply gives the Corefile with the rewrite rules of cfg in every server block
// that serves the root zone with the kubernetes plugin. Rules of an earlier
// Apply are replaced.
//
// The error is ErrNoRootBlock, ErrNoClusterDomain, ErrMarks (wrapped), a
// *SyntaxError, or says what is wrong in cfg.
func Apply(corefile string, cfg Config) (string, error) {
	bare, err := Remove(corefile)
	if err != nil {
		return "", err
	}
	f, err := parse(bare)
	if err != nil {
		return "", err
	}
	roots := f.roots()
	if len(roots) == 0 {
		return "", ErrNoRootBlock
	}
	for _, b := range slices.Backward(roots) {
		lines, err := f.ruleLines(b, cfg)
		if err != nil {
			return "", err
		}
		at := f.firstLine(b)
		eol := "\n"
		if strings.HasSuffix(f.src[:at], "\r\n") {
			eol = "\r\n"
		}
		bare = bare[:at] + frame(lines, f.indent(b), eol) + eol + bare[at:]
	}
	return bare, nil
}

// Remove gives the Corefile without what Apply or ApplyNodeLocal put into it,
// every other byte unchanged. It works on a Corefile that CoreDNS would refuse
// too. The error is a wrapped ErrMarks.
func Remove(corefile string) (string, error) {
	spans, err := marked(corefile)
	if err != nil {
		return "", err
	}
	for _, s := range slices.Backward(spans) {
		// Two blocks at the very end may both claim the newline between them.
		corefile = corefile[:s.start] + corefile[min(s.end, len(corefile)):]
	}
	return corefile, nil
}

// Override is the text of a file that the root server block imports, for
// clusters whose Corefile belongs to somebody else but imports "*.override"
// (AKS, k3s). cfg.ClusterDomain must be given: Inspect reads it from the
// Corefile.
func Override(cfg Config) (string, error) {
	lines, err := cfg.rules("")
	if err != nil {
		return "", err
	}
	return frame(lines, "", "\n") + "\n", nil
}

// ruleLines are the rules for one server block.
func (f *corefile) ruleLines(b block, cfg Config) ([]string, error) {
	if cfg.ClusterDomain != "" {
		return cfg.rules("")
	}
	zone, err := f.clusterDomain(b)
	if err != nil {
		return nil, err
	}
	return cfg.rules(zone)
}

// firstLine is the first byte of the first line in the block where a directive
// can stand. That is the line behind the "{", unless directives stand on the
// same line as it does.
func (f *corefile) firstLine(b block) int {
	last := b.head
	for _, d := range b.directives {
		if d[0].line > last.endLine {
			break
		}
		last = d[len(d)-1]
	}
	return last.end + strings.IndexByte(f.src[last.end:], '\n') + 1
}

// indent is the white space before the block's first directive that starts a
// line, else four spaces.
func (f *corefile) indent(b block) string {
	for _, d := range b.directives {
		line := f.src[strings.LastIndexByte(f.src[:d[0].start], '\n')+1 : d[0].start]
		if strings.Trim(line, " \t") == "" {
			return line
		}
	}
	return "    "
}
