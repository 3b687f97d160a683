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
	"math"
	"os"
	"slices"
	"strings"
	"unicode/utf8"

	"golang.org/x/term"
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
	f, ok := w.(descriptor)
	return ok && term.IsTerminal(int(f.Fd()))
}

// Size is how much a terminal shows; of what is none, or does not know, as much
// as can be.
func Size(w io.Writer) (columns, rows int) {
	if f, ok := w.(descriptor); ok {
		if columns, rows, err := term.GetSize(int(f.Fd())); err == nil && columns > 0 && rows > 0 {
			return columns, rows
		}
	}
	return math.MaxInt, math.MaxInt
}

// descriptor is what writes to a file, such as the file itself.
type descriptor interface{ Fd() uintptr }

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

// Fit cuts text to so many rows of so many columns. Where it has more lines, the
// last row says how many.
func Fit(text string, columns, rows int) string {
	lines := slices.Collect(strings.Lines(text))
	if shown := max(rows, 1) - 1; len(lines) > shown+1 {
		lines = append(lines[:shown], fmt.Sprintf("… %d more lines\n", len(lines)-shown))
	}
	for i := range lines {
		lines[i] = Cut(lines[i], columns)
	}
	return strings.Join(lines, "")
}

// Cut cuts a line to so many columns. Its end stays, and so do the sequences of
// paint, for colour must end.
func Cut(line string, columns int) string {
	var out strings.Builder
	sequence := false
	for _, r := range line {
		switch {
		case sequence:
			sequence = r != 'm'
		case r == '\x1b':
			sequence = true
		case r == '\n':
		case columns <= 0:
			continue
		default:
			columns--
		}
		out.WriteRune(r)
	}
	return out.String()
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
