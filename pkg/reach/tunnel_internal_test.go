package reach

import (
	"fmt"
	"net/http"
	"testing"
)

type roundTripper func(*http.Request) (*http.Response, error)

// RoundTrip answers by the function.
func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// What the kubelet says is all that is told, also where package net/http had not
// written the request yet and says that in front.
func TestTheKubeletsWordsStandAlone(t *testing.T) {
	p := Proxy{client: &http.Client{Transport: roundTripper(func(*http.Request) (*http.Response, error) {
		return nil, fmt.Errorf("net/http: HTTP/1.x transport connection broken: readLoopPeekFailLocked: %w", kubeletError("nothing listens"))
	})}}
	if _, err := p.Stream(t.Context(), "/"); err == nil || err.Error() != "nothing listens" {
		t.Errorf("got %v", err)
	}
}
