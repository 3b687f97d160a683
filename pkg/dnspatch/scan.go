package dnspatch

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// byteOrderMark may stand at the start of a Corefile; CoreDNS skips it.
const byteOrderMark = "\ufeff"

// token is one word of a Corefile, or one of the words "{" and "}".
type token struct {
	text       string // without its quotes and escapes
	start, end int    // bytes of the source, quotes included
	line       int    // of the first byte, from 1
	endLine    int    // of the last byte: a quoted word may span lines
	unclosed   bool   // a quoted word that the end of the text cut off
}

// comment is a comment with nothing but white space before it on its line.
type comment struct {
	text      string // from '#' to the end of the line, trimmed
	lineStart int    // first byte of its line
	lineEnd   int    // first byte of the next line, or the length of the text
	line      int    // from 1
}

// scanner holds the position in the source; its methods each read one thing.
type scanner struct {
	src      string
	pos      int
	line     int
	fresh    bool // nothing but white space so far on this line
	tokens   []token
	comments []comment
}

// scan cuts src into words and the comments that stand on lines of their own.
// It never fails, as the lexer of CoreDNS never does.
func scan(src string) ([]token, []comment) {
	s := scanner{src: src, line: 1, fresh: true}
	if strings.HasPrefix(src, byteOrderMark) {
		s.pos, s.fresh = len(byteOrderMark), false
	}
	for s.pos < len(s.src) {
		r, size := utf8.DecodeRuneInString(s.src[s.pos:])
		switch {
		case r == '\n':
			s.pos, s.line, s.fresh = s.pos+1, s.line+1, true
		case unicode.IsSpace(r):
			s.pos += size
		case r == '#':
			s.comment()
		case r == '"':
			s.quoted()
		default:
			s.word()
		}
	}
	return s.tokens, s.comments
}

// comment reads from '#' up to the end of the line.
func (s *scanner) comment() {
	start, end := s.pos, len(s.src)
	if i := strings.IndexByte(s.src[s.pos:], '\n'); i >= 0 {
		end = s.pos + i
	}
	s.pos = end
	if !s.fresh {
		return
	}
	s.comments = append(s.comments, comment{
		text:      strings.TrimSpace(s.src[start:end]),
		lineStart: strings.LastIndexByte(s.src[:start], '\n') + 1,
		lineEnd:   min(end+1, len(s.src)),
		line:      s.line,
	})
}

// quoted reads a word in quotes. Only a quote can be escaped.
func (s *scanner) quoted() {
	t := token{start: s.pos, line: s.line, unclosed: true}
	var text strings.Builder
	i := s.pos + 1
	for ; i < len(s.src) && t.unclosed; i++ {
		switch c := s.src[i]; {
		case c == '"':
			t.unclosed = false
		case c == '\\' && strings.HasPrefix(s.src[i+1:], `"`):
			i++
			text.WriteByte('"')
		case c == '\\' && i+1 < len(s.src):
			// The byte after a backslash is taken as it is: a second
			// backslash does not escape a third character.
			i++
			text.WriteString(s.src[i-1 : i+1])
		default:
			text.WriteByte(c)
		}
	}
	t.text, t.end = text.String(), i
	s.push(t)
}

// word reads up to white space. A '#' inside a word hides the rest of the word
// but not what follows the next white space, and a carriage return inside a
// word vanishes; both are so in the lexer of CoreDNS.
func (s *scanner) word() {
	t := token{start: s.pos, line: s.line}
	var text strings.Builder
	hidden, i := false, s.pos
	for i < len(s.src) {
		r, size := utf8.DecodeRuneInString(s.src[i:])
		if unicode.IsSpace(r) && r != '\r' {
			break
		}
		hidden = hidden || r == '#'
		if !hidden && r != '\r' {
			text.WriteString(s.src[i : i+size])
		}
		i += size
	}
	t.text, t.end = text.String(), s.pos+len(strings.TrimRight(s.src[s.pos:i], "\r"))
	s.push(t)
}

// push adds a token and moves behind it.
func (s *scanner) push(t token) {
	s.line += strings.Count(s.src[t.start:t.end], "\n")
	t.endLine = s.line
	s.pos, s.fresh = t.end, false
	s.tokens = append(s.tokens, t)
}
