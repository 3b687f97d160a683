package policy

import (
	"fmt"
	"strings"
)

// Field is one header field, its name in lower case.
type Field struct{ Name, Value []byte }

// Edits change the header fields of a message. A nil *Edits changes none.
type Edits struct {
	drop []string
	// Append are the fields that are added at the end.
	Append []Field
}

// NewEdits reads fields to set (in place of those of the name) and to add, one
// to a line as "name: value", and the names of fields to remove. Nothing at all
// is nil.
func NewEdits(set, add string, remove []string) (*Edits, error) {
	e := &Edits{}
	for i, text := range []string{set, add} {
		for line := range strings.Lines(text) {
			if line = strings.TrimSpace(line); line == "" {
				continue
			}
			name, value, _ := strings.Cut(line, ":")
			name, value = strings.ToLower(strings.TrimSpace(name)), strings.TrimSpace(value)
			if err := judge(name, value); err != nil {
				return nil, err
			}
			e.Append = append(e.Append, Field{[]byte(name), []byte(value)})
			if i == 0 {
				e.drop = append(e.drop, name)
			}
		}
	}
	for _, name := range remove {
		name = strings.ToLower(strings.TrimSpace(name))
		if err := judge(name, ""); err != nil {
			return nil, err
		}
		e.drop = append(e.drop, name)
	}
	if len(e.drop)+len(e.Append) == 0 {
		return nil, nil
	}
	return e, nil
}

// Lines are the fields to append as HTTP/1.1 writes them; nil for none.
func (e *Edits) Lines() (b []byte) {
	for _, f := range e.Append {
		b = append(append(append(append(b, f.Name...), ": "...), f.Value...), "\r\n"...)
	}
	return b
}

// Drops tells whether a field of the message is left out. Case does not matter,
// and an underscore is a dash: many servers read both as one.
func (e *Edits) Drops(name []byte) bool {
	if e == nil {
		return false
	}
	for _, d := range e.drop {
		if len(d) == len(name) && alike(name, d) {
			return true
		}
	}
	return false
}

func alike(name []byte, lower string) bool {
	for i, c := range name {
		switch {
		case 'A' <= c && c <= 'Z':
			c |= 0x20
		case c == '_':
			c = '-'
		}
		if c != lower[i] {
			return false
		}
	}
	return true
}

// judge tells what is wrong with a field that is to be edited: what frames or
// routes a message is not a matter of policy.
func judge(name, value string) error {
	if name == "" {
		return fmt.Errorf("each line is name: value")
	}
	for _, c := range []byte(name) {
		if !(c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || c == '-' || c == '.') {
			return fmt.Errorf("%q is no name of a field", name)
		}
	}
	for _, c := range []byte(value) {
		if c < ' ' && c != '\t' || c == 0x7f {
			return fmt.Errorf("the value of %s has a control character", name)
		}
	}
	switch name {
	case "connection", "keep-alive", "proxy-connection", "transfer-encoding", "upgrade", "te", "trailer",
		"content-length", "host", "expect", "x-forwarded-for", "forwarded", "proxy", "grpc-status", "grpc-message", "date":
		return fmt.Errorf("%s cannot be edited", name)
	}
	if strings.HasPrefix(name, "weft-") || strings.HasPrefix(name, "sec-websocket-") {
		return fmt.Errorf("%s cannot be edited", name)
	}
	return nil
}
