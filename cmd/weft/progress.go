package main

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/weft-mesh/weft/internal/console"
)

// progress tells a person what is waited for: on a terminal in one line that is
// written over each second, elsewhere in a line whenever that changes. JSON and
// YAML must not be mixed with it, so it goes to standard error there.
type progress struct {
	out  io.Writer
	said string
}

// until asks each second what is still waited for, until that is nothing. An
// error ends it at once. When the context ends, the error says what was missing.
func (w *progress) until(ctx context.Context, missing func(context.Context) (string, error)) error {
	began := time.Now()
	ticker := time.NewTicker(time.Second)
	defer ticker.Stop()
	defer w.clear()
	for {
		what, err := missing(ctx)
		if err != nil || what == "" {
			return err
		}
		if ctx.Err() != nil && w.said != "" {
			what = w.said // what could not be asked in time is not what is waited for
		}
		w.tell(what, time.Since(began))
		select {
		case <-ctx.Done():
			return fmt.Errorf("%s: %w", what, ctx.Err())
		case <-ticker.C:
		}
	}
}

// tell says what is waited for.
func (w *progress) tell(what string, since time.Duration) {
	if console.IsTerminal(w.out) {
		columns, _ := console.Size(w.out)
		took := fmt.Sprintf(" (%s)", since.Truncate(time.Second))
		// What takes a second row, or has two lines, would stay there.
		line := console.Cut("… "+strings.ReplaceAll(what, "\n", " "), columns-len(took))
		fmt.Fprint(w.out, "\r\x1b[K"+line+took)
	} else if what != w.said {
		fmt.Fprintf(w.out, "… %s\n", what)
	}
	w.said = what
}

// clear takes the line off a terminal.
func (w *progress) clear() {
	if w.said != "" && console.IsTerminal(w.out) {
		fmt.Fprint(w.out, "\r\x1b[K")
	}
}
