package route

import (
	"regexp"
	"regexp/syntax"
)

// pattern is a regular expression (RE2), reduced to a comparison where it is no
// more than that.
type pattern struct {
	text    string // the expression as it was written
	literal string // what a match begins with
	kind    patternKind
	rest    *regexp.Regexp // of a kind other than prefix and exact: the whole expression
}

type patternKind uint8

const (
	prefix patternKind = iota
	exact
	expression
)

// match tells whether the pattern holds for a text, from its start on.
func (p *pattern) match(text []byte) bool {
	if len(text) < len(p.literal) || string(text[:len(p.literal)]) != p.literal {
		return false
	}
	switch p.kind {
	case prefix:
		return true
	case exact:
		return len(text) == len(p.literal)
	}
	return p.rest.Match(text)
}

// compile compiles an expression that is anchored at its start, and at its end
// too if whole. It is nil for one that is malformed.
func compile(text string, whole bool) *pattern {
	parsed, err := syntax.Parse(text, syntax.Perl)
	if err != nil {
		return nil
	}
	if p := reduce(parsed, whole); p != nil {
		p.text = text
		return p
	}
	anchored := "^(?:" + text + ")"
	if whole {
		anchored += "$"
	}
	rest, err := regexp.Compile(anchored)
	if err != nil {
		return nil
	}
	p := &pattern{text: text, kind: expression, rest: rest}
	if parts := parts(parsed); len(parts) > 0 {
		p.literal, _ = literal(parts[0])
	}
	return p
}

// reduce returns the comparison that an expression amounts to, nil where it is
// more than that: a literal, with or without ".*" or "$" behind. No text that is
// matched holds a line break, so "." is any byte.
func reduce(parsed *syntax.Regexp, whole bool) *pattern {
	out := &pattern{kind: prefix}
	if whole {
		out.kind = exact
	}
	rest := parts(parsed)
	if len(rest) > 0 {
		if text, ok := literal(rest[0]); ok {
			out.literal, rest = text, rest[1:]
		}
	}
	if len(rest) > 0 && anything(rest[0]) {
		out.kind, rest = prefix, rest[1:]
		if len(rest) > 0 && rest[0].Op == syntax.OpEndText {
			rest = rest[1:]
		}
	} else if len(rest) > 0 && rest[0].Op == syntax.OpEndText {
		out.kind, rest = exact, rest[1:]
	}
	if len(rest) > 0 {
		return nil
	}
	return out
}

// parts are what an expression is a sequence of, without an anchor at its start.
func parts(re *syntax.Regexp) []*syntax.Regexp {
	all := []*syntax.Regexp{re}
	if re.Op == syntax.OpConcat {
		all = re.Sub
	}
	for len(all) > 0 && (all[0].Op == syntax.OpBeginText || all[0].Op == syntax.OpEmptyMatch) {
		all = all[1:]
	}
	return all
}

func literal(re *syntax.Regexp) (string, bool) {
	if re.Op != syntax.OpLiteral || re.Flags&syntax.FoldCase != 0 {
		return "", false
	}
	return string(re.Rune), true
}

func anything(re *syntax.Regexp) bool {
	return re.Op == syntax.OpStar && (re.Sub[0].Op == syntax.OpAnyCharNotNL || re.Sub[0].Op == syntax.OpAnyChar)
}
