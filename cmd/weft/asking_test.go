package main

import (
	"context"
	"errors"
	"io"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/weft-mesh/weft/internal/console"
	"github.com/weft-mesh/weft/pkg/reach"
)

// A watch goes on where proxies do not answer for a while. Where the first answer
// fails, or nobody can read what is shown, it ends.
func TestAWatchGoesOn(t *testing.T) { synctest.Test(t, watchGoesOn) }

func watchGoesOn(t *testing.T) {
	refused := errors.New("connection refused")
	watch := func(out io.Writer, answers ...error) (shown int, err error) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		p := console.New(out, console.FormatTable)
		err = repeat(ctx, reach.Local("127.0.0.1:1", time.Second), true, p, func() error {
			answer := answers[shown]
			if shown++; shown == len(answers) {
				cancel()
			}
			if answer == nil {
				p.Printf("picture %d\n", shown)
			}
			return answer
		})
		return shown, err
	}
	var out strings.Builder
	if shown, err := watch(&out, nil, refused, refused, nil); err != nil || shown != 4 || out.String() != "picture 1\npicture 4\n" {
		t.Errorf("asked %d times, %v, %q", shown, err, &out)
	}
	if shown, err := watch(&out, refused, nil); !errors.Is(err, refused) || shown != 1 {
		t.Errorf("where the first answer fails: asked %d times, %v", shown, err)
	}
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer full.Close()
	if shown, err := watch(full, nil, nil); err == nil || shown != 1 {
		t.Errorf("where nothing can be written: asked %d times, %v", shown, err)
	}
}
