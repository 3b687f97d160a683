package annotations

import (
	"maps"
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

// written is how whoever wrote an annotation spelled it: one of Weft's whose
// prefix is off, or the one of Traefik Mesh that stands for it.
func (d *decoder) written(full string) string {
	if _, own := d.all[Prefix+full]; own {
		return Prefix + full
	}
	switch full {
	case "retry-on":
		return spelled(d.all, "retry-attempts")
	case "ratelimit-by":
		return spelled(d.all, "ratelimit-average")
	case "protocol":
		if _, said := foreign(d.all)["traffic-type"]; said {
			return spelled(d.all, "traffic-type")
		}
		return spelled(d.all, "scheme")
	}
	return spelled(d.all, full)
}

// spelled is an annotation of Traefik Mesh with the prefix that it counts by.
func spelled(all map[string]string, name string) string {
	newest := name
	for _, prefix := range foreignPrefixes() {
		if _, said := all[prefix+name]; said {
			newest = prefix + name
		}
	}
	return newest
}

// refuseForeign tells which annotations of Traefik Mesh take no effect.
func (d *decoder) refuseForeign() {
	all := d.all
	said := foreign(all)
	words := map[string][]string{"traffic-type": {"http", "tcp", "udp"}, "scheme": {"http", "https", "h2c"}}
	others := []string{"retry-attempts", "circuit-breaker-expression", "ratelimit-average", "ratelimit-burst"}
	for _, name := range slices.Sorted(maps.Keys(said)) {
		takes, limited := words[name]
		if !limited && !slices.Contains(others, name) {
			d.problem("%s is not an annotation of Traefik Mesh; it takes no effect", spelled(all, name))
		}
		if err := oneOf(said[name], takes...); limited && err != nil {
			d.problem("%s is %q; %v; it takes no effect", spelled(all, name), said[name], err)
		}
	}
	_, average := said["ratelimit-average"]
	_, burst := said["ratelimit-burst"]
	switch {
	case average && !burst:
		d.problem("%s takes effect with a ratelimit-burst beside it only; there is no limit", spelled(all, "ratelimit-average"))
	case burst && !average:
		d.problem("%s takes effect with a ratelimit-average beside it only; there is no limit", spelled(all, "ratelimit-burst"))
	}
}
