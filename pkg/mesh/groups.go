package mesh

import (
	"fmt"
	"regexp/syntax"
	"slices"
	"strings"
)

// What an HTTPRouteGroup may ask for. What goes beyond never matches.
const (
	mostMatches      = 256  // of a group
	mostHeaders      = 32   // of a match
	longestPattern   = 1024 // bytes of an expression
	largestPattern   = 4096 // states it needs, counted roughly
	methodEverything = "*"
)

// group is an HTTPRouteGroup with those of its matches that can hold.
type group struct {
	matches []*RequestMatch
	names   map[string]*RequestMatch // nil for one that never holds
}

// indexGroups judges the groups. A match with a broken expression never holds:
// leaving the expression out would let it hold for more than was meant.
func (b *builder) indexGroups() {
	b.groups = make(map[Name]*group, len(b.in.RouteGroups))
	for name, input := range b.in.RouteGroups {
		b.problems = append(b.problems, input.Problems...)
		g := &group{names: make(map[string]*RequestMatch, len(input.Matches))}
		if len(input.Matches) > mostMatches {
			b.problem(input.Ref, GroupTooLarge, "the group has %d matches; those after the first %d never hold", len(input.Matches), mostMatches)
		}
		for i := range input.Matches {
			b.match(g, &input, i)
		}
		b.groups[name] = g
	}
}

// match takes the i-th match of a group in.
func (b *builder) match(g *group, input *RouteGroupInput, i int) {
	m := &input.Matches[i]
	if _, twice := g.names[m.Name]; twice {
		b.problem(input.Ref, MatchTwice, "two matches have the name %q; the later one never holds", m.Name)
		return
	}
	g.names[m.Name] = nil
	if i >= mostMatches {
		return
	}
	if wrong := m.wrong(); wrong != "" {
		b.problem(input.Ref, BadExpression, "match %q: %s; it never holds", m.Name, wrong)
		return
	}
	if slices.Contains(m.Methods, methodEverything) {
		m = &RequestMatch{Name: m.Name, Path: m.Path, Headers: m.Headers}
	}
	g.names[m.Name] = m
	g.matches = append(g.matches, m)
}

// wrong tells why a match cannot hold; empty where it can.
func (m *RequestMatch) wrong() string {
	if what := wrongPattern(m.Path); what != "" {
		return "the path expression " + what
	}
	if len(m.Headers) > mostHeaders {
		return fmt.Sprintf("it has %d headers; at most %d are allowed", len(m.Headers), mostHeaders)
	}
	for _, h := range m.Headers {
		if what := wrongPattern(h.Value); what != "" {
			return "the expression of header " + h.Name + " " + what
		}
	}
	return ""
}

// wrongPattern tells why an expression is not used.
func wrongPattern(pattern string) string {
	if len(pattern) > longestPattern {
		return fmt.Sprintf("has %d bytes; at most %d are allowed", len(pattern), longestPattern)
	}
	if !strings.ContainsAny(pattern, `\^$|()[]{}?+`) && !strings.Contains(strings.TrimSuffix(pattern, ".*"), "*") {
		return ""
	}
	parsed, err := syntax.Parse(pattern, syntax.Perl)
	if err != nil {
		return "is malformed: " + err.Error()
	}
	if states(parsed) > largestPattern {
		return "needs too many states"
	}
	return ""
}

// states estimates the size of a compiled expression: a repetition is written
// out as often as it may occur.
func states(re *syntax.Regexp) int {
	n := 1 + len(re.Rune)
	for _, sub := range re.Sub {
		n += states(sub)
	}
	if re.Op == syntax.OpRepeat {
		n *= max(re.Max, re.Min+1, 1)
	}
	return min(n, largestPattern+1)
}
