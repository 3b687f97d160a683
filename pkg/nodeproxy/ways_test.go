package nodeproxy_test

import (
	"io"
	"net/http"
	"slices"
	"testing"

	"github.com/weft-mesh/weft/pkg/mesh"
	"github.com/weft-mesh/weft/pkg/nodeproxy"
)

// The fields that no endpoint gets of a client, and no client of an endpoint,
// are the same whatever both speak (docs/http.md).
func TestEveryWayDropsTheSameFields(t *testing.T) {
	kept := []string{"X-A", "My_header", "Cookie", "X-Forwarded-Proto", "Via", "L5d", "Weft", "Authorization"}
	identity := []string{"Forwarded", "X-Real-Ip", "X-Forwarded-Client-Cert", "L5d-Client-Id", "X-Envoy-Peer", "Proxy"}
	never := []string{
		"Weft-Source", "Weft-Reason", "Proxy-Authorization", "Proxy-Authenticate", "Http2-Settings",
		"X_forwarded_for", "X-Forwarded_for", "Weft_reason", "Content_length", "Transfer_encoding", "X_real_ip",
	}
	offered := slices.Concat(kept, identity, never)
	each(t, ways, func(t *testing.T, way way) {
		w := newWorld(t, nodeproxy.Config{})
		var got http.Header
		at := w.service("orders", way.port, backend(t, func(w http.ResponseWriter, r *http.Request) {
			got = r.Header
			for _, name := range offered {
				w.Header()[name] = []string{"1"}
			}
		}))
		w.publish()
		r, _ := http.NewRequest(http.MethodGet, "http://"+at, nil)
		for _, name := range offered {
			r.Header[name] = []string{"1"}
		}
		res, err := client(t, way.http2).Do(r)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, res.Body)
		_ = res.Body.Close()
		for _, name := range offered {
			key := http.CanonicalHeaderKey(name)
			if _, has := got[key]; has != slices.Contains(kept, name) {
				t.Errorf("the endpoint gets %s: %v", name, has)
			}
			if _, has := res.Header[key]; has == slices.Contains(never, name) {
				t.Errorf("the client gets %s: %v", name, has)
			}
		}
	})
}

// A rule sees a field as its endpoint may: many servers cannot tell x_user from
// x-user, and take either.
func TestRulesSeeNamesThatAreAlike(t *testing.T) {
	each(t, ways, func(t *testing.T, way way) {
		w := newWorld(t, nodeproxy.Config{})
		answer := func(status int) string {
			return backend(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(status) })
		}
		at := w.service("orders", way.port, answer(http.StatusForbidden))
		w.service("alices", way.port, answer(http.StatusOK))
		w.RouteGroups[shop("alice")] = mesh.RouteGroupInput{
			Ref:     mesh.Ref{Kind: "HTTPRouteGroup", Namespace: "shop", Name: "alice"},
			Matches: []mesh.RequestMatch{{Name: "alice", Headers: []mesh.HeaderMatch{{Name: "x-user", Value: "alice"}}}},
		}
		w.split("orders", map[string]int64{"alices": 1})
		split := w.Splits[shop("orders")]
		split.Matches = []mesh.Ref{{Kind: "HTTPRouteGroup", Name: "alice"}}
		w.Splits[shop("orders")] = split
		w.publish()
		c := client(t, way.http2)
		for _, test := range []struct {
			header http.Header
			want   int
		}{
			{http.Header{"X-User": {"alice"}}, http.StatusOK},
			{http.Header{"X-User": {"alice"}, "X_user": {"alice"}}, http.StatusOK},
			{http.Header{"X-User": {"alice"}, "X_user": {"mallory"}}, http.StatusForbidden},
			{http.Header{"X_user": {"alice"}}, http.StatusForbidden},
			{http.Header{}, http.StatusForbidden},
		} {
			r, _ := http.NewRequest(http.MethodGet, "http://"+at, nil)
			r.Header = test.header
			res, err := c.Do(r)
			if err != nil {
				t.Fatal(err)
			}
			_ = res.Body.Close()
			if res.StatusCode != test.want {
				t.Errorf("%v: %d; want %d", test.header, res.StatusCode, test.want)
			}
		}
	})
}
