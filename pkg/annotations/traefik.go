package annotations

import (
	"slices"
	"strings"

	"github.com/weft-mesh/weft/pkg/mesh"
)

// foreignPrefixes are those of Traefik Mesh, the newer last: it wins.
func foreignPrefixes() []string { return []string{"maesh.containo.us/", "mesh.traefik.io/"} }

// foreign are the annotations of Traefik Mesh, without their prefixes.
func foreign(all map[string]string) map[string]string {
	out := map[string]string{}
	for _, prefix := range foreignPrefixes() {
		for name, value := range all {
			if short, has := strings.CutPrefix(name, prefix); has {
				out[short] = value
			}
		}
	}
	return out
}

// translated puts the annotations of Traefik Mesh into Weft's words.
func translated(all map[string]string) map[string]string {
	out := map[string]string{}
	said := foreign(all)
	for _, same := range []string{"retry-attempts", "circuit-breaker-expression"} {
		if value, ok := said[same]; ok {
			out[Prefix+same] = value
		}
	}
	if _, ok := said["retry-attempts"]; ok {
		out[Prefix+"retry-on"] = "connect-failure,refused-stream,reset-before-response" // it retries after network errors only
	}
	average, hasAverage := said["ratelimit-average"]
	burst, hasBurst := said["ratelimit-burst"]
	if hasAverage && hasBurst { // one alone has no meaning there
		out[Prefix+"ratelimit-average"], out[Prefix+"ratelimit-burst"] = average, burst
		out[Prefix+"ratelimit-by"] = "address"
	}
	if protocol := protocolOf(said["traffic-type"], said["scheme"]); protocol != "" {
		out[Prefix+"protocol"] = protocol
	}
	if said["scheme"] == mesh.SchemeHTTPS {
		out[Prefix+"scheme"] = mesh.SchemeHTTPS
	}
	return out
}

// protocolOf is the value of weft.mesh/protocol that says what a traffic type
// and a scheme say; empty for nothing. UDP is told by the port itself.
func protocolOf(trafficType, scheme string) string {
	switch {
	case trafficType == "tcp":
		return "tcp"
	case trafficType == "udp":
		return ""
	case scheme == "h2c":
		return "h2c"
	case trafficType == "http" || scheme == mesh.SchemeHTTP || scheme == mesh.SchemeHTTPS:
		return "http"
	}
	return ""
}

// refuseForeign tells which annotations of Traefik Mesh take no effect.
func (d *decoder) refuseForeign(all map[string]string) {
	said := foreign(all)
	for name, words := range map[string][]string{"traffic-type": {"http", "tcp", "udp"}, "scheme": {"http", "https", "h2c"}} {
		value, ok := said[name]
		if !ok {
			continue
		}
		if err := oneOf(value, words...); err != nil {
			d.problem("%s of Traefik Mesh is %q; %v; it takes no effect", name, value, err)
		}
	}
	known := []string{"traffic-type", "scheme", "retry-attempts", "circuit-breaker-expression", "ratelimit-average", "ratelimit-burst"}
	for name := range said {
		if !slices.Contains(known, name) {
			d.problem("%s is not an annotation of Traefik Mesh; it takes no effect", name)
		}
	}
	_, average := said["ratelimit-average"]
	if _, burst := said["ratelimit-burst"]; average != burst {
		d.problem("ratelimit-average and ratelimit-burst of Traefik Mesh take effect together only; there is no limit")
	}
}
