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
	for format, want := range map[string]string{"json": "{\n  \"version\": \"" + version + "\"\n}\n", "yaml": "version: " + version + "\n"} {
		var out strings.Builder
		if err := run(t.Context(), []string{"version", "-o", format}, &out); err != nil || out.String() != want {
			t.Errorf("weft version -o %s: %q, %v", format, &out, err)
		}
	}
}
