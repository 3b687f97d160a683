package dnspatch

import (
	"fmt"
	"slices"
	"strings"
)

// SyntaxError is a Corefile that CoreDNS would not load either, or only by
// accident. Nothing is edited in such a file.
type SyntaxError struct {
	Line int    // from 1
	Msg  string // what is wrong there
}

// Error says the line and what is wrong there.
func (e *SyntaxError) Error() string {
	return fmt.Sprintf("Corefile line %d: %s", e.Line, e.Msg)
}

// directive is one plugin's line with the block that may follow it; its first
// word is the plugin's name.
type directive []token

func (d directive) name() string { return d[0].text }

// args are the words behind the name, up to the plugin's own block.
func (d directive) args() []string {
	var words []string
	for _, t := range d[1:] {
		if t.text == "{" || t.line > d[0].endLine {
			break
		}
		words = append(words, t.text)
	}
	return words
}

// block is one server block or snippet.
type block struct {
	keys       []token
	head       token // the last word before the directives: "{", or a key if there are no braces
	directives []directive
	tail       *token // "}", nil without braces
}

// corefile is the parsed text; every token points into it.
type corefile struct {
	src      string
	servers  []block
	snippets map[string][]directive
}

// parser walks the tokens of one file.
type parser struct {
	tokens []token
	pos    int
}

// parse reads the blocks of src. The error is a *SyntaxError.
func parse(src string) (*corefile, error) {
	tokens, _ := scan(src)
	if n := len(tokens); n > 0 && tokens[n-1].unclosed {
		return nil, &SyntaxError{tokens[n-1].line, "a quote is not closed"}
	}
	p := &parser{tokens: tokens}
	f := &corefile{src: src, snippets: map[string][]directive{}}
	for p.more() {
		b, err := p.block()
		if err != nil {
			return nil, err
		}
		if name, ok := snippetName(b); ok {
			f.snippets[name] = b.directives
		} else if len(b.keys) > 0 {
			f.servers = append(f.servers, b)
		}
	}
	return f, nil
}

// snippetName is the name of a block whose only key is in parentheses.
func snippetName(b block) (string, bool) {
	if len(b.keys) != 1 {
		return "", false
	}
	name, open := strings.CutPrefix(b.keys[0].text, "(")
	name, closed := strings.CutSuffix(name, ")")
	return name, open && closed
}

func (p *parser) more() bool { return p.pos < len(p.tokens) }

// at reports whether the next word is text.
func (p *parser) at(text string) bool {
	return p.more() && p.tokens[p.pos].text == text
}

// newLine reports whether the next word starts a line.
func (p *parser) newLine() bool {
	return p.pos == 0 || p.tokens[p.pos].line > p.tokens[p.pos-1].endLine
}

// fail is an error at the next word, or at the last one.
func (p *parser) fail(msg string) error {
	return &SyntaxError{p.tokens[min(p.pos, len(p.tokens)-1)].line, msg}
}

// block reads keys and what belongs to them.
func (p *parser) block() (block, error) {
	var b block
	if err := p.keys(&b); err != nil || !p.more() {
		return b, err
	}
	braces := p.at("{")
	if braces {
		b.head = p.tokens[p.pos]
		p.pos++
	}
	for p.more() && !p.at("}") {
		d, err := p.directive()
		if err != nil {
			return b, err
		}
		b.directives = append(b.directives, d)
	}
	if braces && !p.more() {
		return b, &SyntaxError{b.head.line, `this "{" is never closed`}
	}
	if !braces && p.more() {
		return b, p.fail(`"}" closes nothing`)
	}
	if braces {
		b.tail = &p.tokens[p.pos]
		p.pos++
	}
	return b, nil
}

// keys reads the addresses of a block: the words of one line, and of the next
// one after a comma at the end. An import here stands for whole blocks of
// another file, which are not ours to see.
func (p *parser) keys(b *block) error {
	comma := false
	for p.more() && !p.at("{") {
		if p.at("import") && p.newLine() {
			if _, err := p.importLine(); err != nil {
				return err
			}
			continue
		}
		t := p.tokens[p.pos]
		b.head = t
		t.text, comma = strings.CutSuffix(t.text, ",")
		if t.text != "" {
			b.keys = append(b.keys, t)
		}
		p.pos++
		if p.more() && !comma && p.newLine() {
			break
		}
	}
	if comma {
		return p.fail("a key is missing after the comma")
	}
	return nil
}

// importLine reads "import pattern".
func (p *parser) importLine() (directive, error) {
	start := p.pos
	p.pos++
	for p.more() && !p.newLine() {
		p.pos++
	}
	d := directive(p.tokens[start:p.pos])
	if len(d) != 2 {
		return nil, &SyntaxError{d[0].line, "import takes one name or pattern"}
	}
	return d, nil
}

// directive reads one plugin's line and its block.
func (p *parser) directive() (directive, error) {
	if p.at("import") {
		return p.importLine()
	}
	if p.at("{") {
		return nil, p.fail(`"{" without a plugin before it`)
	}
	start, depth := p.pos, 0
	for p.pos++; p.more(); p.pos++ {
		switch {
		case p.at("{"):
			depth++
		case depth == 0 && p.newLine():
			return p.tokens[start:p.pos], nil
		case p.at("}") && depth == 0:
			return nil, p.fail(`"}" must stand on a line of its own`)
		case p.at("}"):
			depth--
		}
	}
	if depth > 0 {
		return nil, &SyntaxError{p.tokens[start].line, `the "{" of this plugin is never closed`}
	}
	return p.tokens[start:p.pos], nil
}

// plugins are the directives of b with the snippets it imports put in, which
// may import others, but not themselves.
func (f *corefile) plugins(b block) []directive {
	return f.expand(b.directives, nil)
}

func (f *corefile) expand(list []directive, inside []string) []directive {
	var all []directive
	for _, d := range list {
		if d.name() != "import" {
			all = append(all, d)
			continue
		}
		name := d[1].text
		body, ok := f.snippets[name]
		switch {
		case !ok: // a file, which we cannot see
			all = append(all, d)
		case !slices.Contains(inside, name):
			all = append(all, f.expand(body, append(slices.Clone(inside), name))...)
		}
	}
	return all
}
