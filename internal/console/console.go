// Package console is what the commands show: tables whose columns align, colour
// where a person looks at a terminal, or the same as JSON or YAML for a program.
//
//	p := console.New(os.Stdout, console.FormatTable)
//	if done, err := p.Structured(answer); done { return err }
//	t := console.Table{Columns: []string{"SERVICE", "SUCCESS"}}
//	t.Row("orders.shop", p.Good("99.9 %"))
//	t.Write(os.Stdout)
package console

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
	"unicode/utf8"

	"sigs.k8s.io/yaml"
)

// The formats.
const (
	FormatTable = "table"
	FormatWide  = "wide" // a table with more columns
	FormatJSON  = "json"
	FormatYAML  = "yaml"
)

// Printer writes in one format. Its zero value writes plain text to nobody.
type Printer struct {
	Out    io.Writer
	Format string
	// Colour is on only where Out is a terminal that may show it.
	Colour bool
}

// New returns a Printer that writes one of the formats.
func New(out io.Writer, format string) *Printer {
	return &Printer{Out: out, Format: format, Colour: IsTerminal(out) && Colourful(os.Getenv)}
}

// IsTerminal tells whether a person watches what is written.
func IsTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

// Colourful tells whether the environment leaves colour on: NO_COLOR, when it is
// not empty (no-color.org), and TERM=dumb turn it off.
func Colourful(getenv func(string) string) bool {
	return getenv("NO_COLOR") == "" && getenv("TERM") != "dumb"
}

// Structured writes a value where the format is JSON or YAML, and tells whether
// it is.
func (p *Printer) Structured(value any) (done bool, err error) {
	var text []byte
	switch p.Format {
	case FormatJSON:
		text, err = json.MarshalIndent(value, "", "  ")
		text = append(text, '\n')
	case FormatYAML:
		text, err = yaml.Marshal(value)
	default:
		return false, nil
	}
	if err == nil {
		_, err = p.Out.Write(text)
	}
	return true, err
}

// Wide tells whether tables show all their columns.
func (p *Printer) Wide() bool { return p.Format == FormatWide }

// Printf writes text. A reader that is gone is noticed by whoever writes last.
func (p *Printer) Printf(format string, args ...any) { fmt.Fprintf(p.Out, format, args...) }

// Good marks text as what should be.
func (p *Printer) Good(s string) string { return p.paint("32", s) }

// Bad marks text as what should not be.
func (p *Printer) Bad(s string) string { return p.paint("31", s) }

// Doubtful marks text as what should be looked at.
func (p *Printer) Doubtful(s string) string { return p.paint("33", s) }

// Strong marks a heading.
func (p *Printer) Strong(s string) string { return p.paint("1", s) }

// Faint marks what is beside the point.
func (p *Printer) Faint(s string) string { return p.paint("2", s) }

// paint puts the attribute (ECMA-48 §8.3.117, SGR) around text.
func (p *Printer) paint(attribute, s string) string {
	if !p.Colour || s == "" {
		return s
	}
	return "\x1b[" + attribute + "m" + s + "\x1b[m"
}

// Table is rows of cells under titles. Its columns are as wide as they must be.
type Table struct {
	Columns []string
	// Numbers is how many of the last columns align to the right.
	Numbers int
	// Indent stands before each row.
	Indent string
	rows   [][]string
}

// Row adds a row with a cell for each column.
func (t *Table) Row(cells ...string) { t.rows = append(t.rows, cells) }

// Len is how many rows were added.
func (t *Table) Len() int { return len(t.rows) }

// Write writes the titles and the rows.
func (t *Table) Write(w io.Writer) error {
	all := t.rows
	if len(t.Columns) > 0 {
		all = append([][]string{t.Columns}, t.rows...)
	}
	var widths []int
	for _, row := range all {
		for i, cell := range row {
			if i == len(widths) {
				widths = append(widths, 0)
			}
			widths[i] = max(widths[i], width(cell))
		}
	}
	var out strings.Builder
	for _, row := range all {
		var line strings.Builder
		line.WriteString(t.Indent)
		for i, cell := range row {
			if i > 0 {
				line.WriteString("  ")
			}
			pad := strings.Repeat(" ", widths[i]-width(cell))
			if i >= len(widths)-t.Numbers {
				line.WriteString(pad + cell)
			} else {
				line.WriteString(cell + pad)
			}
		}
		out.WriteString(strings.TrimRight(line.String(), " ") + "\n")
	}
	_, err := io.WriteString(w, out.String())
	return err
}

// width is how many columns of a terminal text takes: its runes, without the
// sequences of paint.
func width(s string) int {
	n := utf8.RuneCountInString(s)
	for {
		begin := strings.Index(s, "\x1b[")
		if begin < 0 {
			return n
		}
		end := strings.IndexByte(s[begin:], 'm')
		if end < 0 {
			return n
		}
		n -= end + 1
		s = s[begin+end+1:]
	}
}
