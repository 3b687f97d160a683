package dnspatch

import (
	"fmt"
	"strings"
)

const (
	beginMark = "# weft begin"
	endMark   = "# weft end"
	beginLine = beginMark + ` (mesh names; managed, do not edit; "weft uninstall" removes it)`
)

// span is a marked block: whole lines, the marks' own included.
type span struct{ start, end int }

// isMark reports whether c is the mark, alone or followed by more words.
func isMark(c comment, mark string) bool {
	rest, ok := strings.CutPrefix(c.text, mark)
	return ok && (rest == "" || rest[0] == ' ' || rest[0] == '\t')
}

// marked finds the marked blocks. A begin and an end that do not belong
// together are an ErrMarks that tells the line.
func marked(src string) ([]span, error) {
	tokens, comments := scan(src)
	var spans []span
	var begin *comment
	for _, c := range comments {
		switch {
		case isMark(c, beginMark) && begin != nil:
			return nil, lostMark(*begin, endMark)
		case isMark(c, beginMark):
			begin = &c
		case isMark(c, endMark) && begin == nil:
			return nil, lostMark(c, beginMark)
		case isMark(c, endMark):
			if line := unbalanced(tokens, begin.lineStart, c.lineEnd); line > 0 {
				return nil, fmt.Errorf("%w: the brace in line %d belongs outside of it; repair or delete the block by hand", ErrMarks, line)
			}
			spans = append(spans, span{ownStart(src, begin.lineStart, c.lineEnd), c.lineEnd})
			begin = nil
		}
	}
	if begin != nil {
		return nil, lostMark(*begin, endMark)
	}
	return spans, nil
}

// lostMark is the error for a mark without its other half.
func lostMark(c comment, missing string) error {
	return fmt.Errorf("%w: line %d, %q, has no %q; delete that line and the other lines of Weft by hand",
		ErrMarks, c.line, c.text, missing)
}

// unbalanced is the line of a brace between start and end whose partner stands
// outside, 0 if there is none.
func unbalanced(tokens []token, start, end int) int {
	var open []int
	for _, t := range tokens {
		if t.start < start || t.start >= end {
			continue
		}
		switch {
		case t.text == "{":
			open = append(open, t.line)
		case t.text == "}" && len(open) == 0:
			return t.line
		case t.text == "}":
			open = open[:len(open)-1]
		}
	}
	if len(open) > 0 {
		return open[0]
	}
	return 0
}

// ownStart is the first byte of a marked block. A block that was appended to a
// text without a final newline ends without one itself, and then the newline
// before it is part of it.
func ownStart(src string, start, end int) int {
	if end < len(src) || strings.HasSuffix(src[:end], "\n") || start == 0 {
		return start
	}
	if strings.HasSuffix(src[:start], "\r\n") && lineEnd(src[start:]) == "\r\n" {
		return start - 2
	}
	return start - 1
}

// lineEnd is how the first line of src ends, "\n" if none does.
func lineEnd(src string) string {
	line, _, ok := strings.Cut(src, "\n")
	if ok && strings.HasSuffix(line, "\r") {
		return "\r\n"
	}
	return "\n"
}

// frame puts the marks around lines. The last line has no line end.
func frame(lines []string, indent, eol string) string {
	var b strings.Builder
	b.WriteString(indent + beginLine + eol)
	for _, line := range lines {
		b.WriteString(indent + line + eol)
	}
	b.WriteString(indent + endMark)
	return b.String()
}
