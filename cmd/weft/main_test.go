package main

import (
	"strings"
	"testing"
)

func TestVersionIsPrintedEitherWay(t *testing.T) {
	for _, asked := range []string{"version", "--version"} {
		var out strings.Builder
		if err := run(t.Context(), []string{asked}, &out); err != nil || out.String() != "weft "+version+"\n" {
			t.Errorf("weft %s: %q, %v", asked, &out, err)
		}
	}
}
