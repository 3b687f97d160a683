package stdhttp

import (
	"net/http"
	"net/http/httputil"
	"strings"

	"github.com/weft-mesh/weft/pkg/mesh"
	"github.com/weft-mesh/weft/pkg/nodeproxy/upstream"
	"golang.org/x/net/http/httpguts"
)

// judge finds what makes a request impossible to proxy; an empty reason means nothing.
func judge(r *http.Request) (reason upstream.Reason, what string) {
	switch {
	case r.Method == http.MethodConnect || r.Method == http.MethodTrace:
		return upstream.MethodRefused, r.Method + " is not proxied"
	case r.RequestURI == "*" && r.Method != http.MethodOptions:
		return upstream.BadRequest, "the target * is for OPTIONS only" // RFC 9112 §3.2.4
	case strings.Contains(r.RequestURI, "#"):
		return upstream.BadRequest, "the request target has a fragment"
	case r.URL.Scheme != "" && r.URL.Scheme != "http" && r.URL.Scheme != "https":
		return upstream.BadRequest, "the request target is neither http nor https"
	}
	return "", ""
}

// rewrite makes the request that the endpoint gets: the client's own, with its
// address appended to X-Forwarded-For. Hop-by-hop headers (RFC 9110 §7.6.1)
// are gone already.
func rewrite(p *httputil.ProxyRequest) {
	x := exchangeOf(p.In)
	p.Out.URL.Scheme = "http"
	p.Out.URL.RawQuery = p.In.URL.RawQuery
	if target, _, _ := strings.Cut(p.In.RequestURI, "?"); strings.HasPrefix(target, "/") && !strings.HasPrefix(target, "//") {
		p.Out.URL.Opaque = target // as the client spelt it
	}
	if p.Out.Host == "" {
		// HTTP/1.0 needs none, but the transport would say the endpoint's address.
		p.Out.Host = x.route.Port.Service.Name + "." + x.route.Port.Service.Namespace
	}
	// The same map: it is filled when the client's trailers arrive.
	p.Out.Trailer = p.In.Trailer
	forward(p.In.Header, p.Out.Header, x)
	if !upgrades(p.In) || x.speaksHTTP2() {
		p.Out.Header.Del("Connection")
		p.Out.Header.Del("Upgrade")
	}
}

// forward appends the client to X-Forwarded-For, keeps what other proxies said,
// and drops what must not go on: Proxy, which CGI programs take for their own
// setting, and Expect, which this proxy answers itself.
func forward(in, out http.Header, x *exchange) {
	seen := append(in["X-Forwarded-For"][:len(in["X-Forwarded-For"]):len(in["X-Forwarded-For"])], x.client.String())
	out.Set("X-Forwarded-For", strings.Join(seen, ", "))
	for _, name := range []string{"Forwarded", "X-Forwarded-Host", "X-Forwarded-Proto"} {
		if said, ok := in[name]; ok && !httpguts.HeaderValuesContainsToken(in["Connection"], name) {
			out[name] = said
		}
	}
	out.Del("Proxy")
	out.Del("Expect")
}

// upgrades tells whether a request asks for the one upgrade that is passed on.
// Any other is ignored, as a server may (RFC 9110 §7.8): h2c would open a way
// around the proxy.
func upgrades(r *http.Request) bool {
	asked := r.Header["Upgrade"]
	return r.Method == http.MethodGet && r.ProtoMajor == 1 && len(asked) == 1 && strings.EqualFold(asked[0], "websocket")
}

// speaksHTTP2 tells what the endpoint is spoken to in.
func (x *exchange) speaksHTTP2() bool {
	return x.in.ProtoMajor == 2 || x.route.Port.Protocol == mesh.HTTP2
}
