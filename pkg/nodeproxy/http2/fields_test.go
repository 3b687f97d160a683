package http2_test

import (
	"github.com/google/go-cmp/cmp"
	"golang.org/x/net/http2/hpack"
)

func field(name, value string) hpack.HeaderField { return hpack.HeaderField{Name: name, Value: value} }

func compare(got, want map[string]string) string { return cmp.Diff(want, got) }
