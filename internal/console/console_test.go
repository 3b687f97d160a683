package console_test

import (
	"math"
	"os"
	"strings"
	"testing"

	"github.com/weft-mesh/weft/internal/console"
)

func TestColumnsAlignWithColourAndWithout(t *testing.T) {
	for _, colour := range []bool{false, true} {
		p := console.Printer{Colour: colour}
		table := console.Table{Columns: []string{"NAME", "OK", "RPS"}, Numbers: 1, Indent: " "}
		table.Row("orders.shop", p.Good("yes"), "1.5")
		table.Row("ä.b", p.Bad("no"), "100.0")
		table.Row("c", "")
		var out strings.Builder
		if err := table.Write(&out); err != nil {
			t.Fatal(err)
		}
		want := " NAME         OK     RPS\n orders.shop  yes    1.5\n ä.b          no   100.0\n c\n"
		plain := strings.NewReplacer("\x1b[32m", "", "\x1b[31m", "", "\x1b[m", "").Replace(out.String())
		if plain != want {
			t.Errorf("colour %v:\n%q\nwant\n%q", colour, plain, want)
		}
		if strings.Contains(out.String(), "\x1b") != colour {
			t.Errorf("colour %v: %q", colour, out.String())
		}
	}
}

func TestStructuredFormatsFollowTheNamesOfJSON(t *testing.T) {
	value := struct {
		MeshName string `json:"meshName"`
	}{"orders.shop.mesh"}
	for format, want := range map[string]string{
		"json":  "{\n  \"meshName\": \"orders.shop.mesh\"\n}\n",
		"yaml":  "meshName: orders.shop.mesh\n",
		"table": "", "wide": "",
	} {
		var out strings.Builder
		p := console.New(&out, format)
		if done, err := p.Structured(value); done != (want != "") || err != nil || out.String() != want {
			t.Errorf("%s: %v %v %q", format, done, err, out.String())
		}
	}
}

func TestTheEnvironmentTurnsColourOff(t *testing.T) {
	for _, test := range []struct {
		env  map[string]string
		want bool
	}{
		{nil, true},
		{map[string]string{"TERM": "xterm"}, true},
		{map[string]string{"TERM": "dumb"}, false},
		{map[string]string{"NO_COLOR": "1"}, false},
		{map[string]string{"NO_COLOR": ""}, true},
	} {
		if got := console.Colourful(func(name string) string { return test.env[name] }); got != test.want {
			t.Errorf("%v: %v", test.env, got)
		}
	}
}

func TestAFileIsNoTerminal(t *testing.T) {
	for _, path := range []string{t.TempDir() + "/out", os.DevNull} {
		f, err := os.Create(path)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		if console.IsTerminal(f) || console.IsTerminal(&strings.Builder{}) {
			t.Errorf("%s is taken for a terminal", path)
		}
		if columns, rows := console.Size(f); columns != math.MaxInt || rows != math.MaxInt {
			t.Errorf("%s has %d columns, %d rows", path, columns, rows)
		}
	}
}

func TestWhatDoesNotFitIsCut(t *testing.T) {
	const text = "NAME   OK\nä.b  \x1b[32myes\x1b[m\nc\n"
	for _, test := range []struct {
		columns, rows int
		want          string
	}{
		{math.MaxInt, math.MaxInt, text},
		{9, 3, text},
		{7, 3, "NAME   \nä.b  \x1b[32mye\x1b[m\nc\n"},
		{4, 2, "NAME\n… 2 \n"},
		{80, 2, "NAME   OK\n… 2 more lines\n"},
		{80, 1, "… 3 more lines\n"},
		{0, 0, "\n"},
		{1, 3, "N\nä\x1b[32m\x1b[m\nc\n"},
	} {
		if got := console.Fit(text, test.columns, test.rows); got != test.want {
			t.Errorf("%d columns, %d rows: %q; want %q", test.columns, test.rows, got, test.want)
		}
	}
}
