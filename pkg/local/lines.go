package local

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/weft-mesh/weft/pkg/mesh"
)

// lines is one line per meshed port, "orders.shop.mesh 127.77.0.3:80 http",
// sorted. Where all Services share one address the line also says which port of
// the Service it is, for the listening one does not.
func lines(m *mesh.Mesh, domain string, shared bool) []string {
	var out []string
	for _, s := range m.Services {
		for _, p := range s.Ports {
			line := fmt.Sprintf("%s.%s.%s %s %s", s.Name.Name, s.Name.Namespace, domain, p.Listen, spoken(p))
			if shared {
				line += fmt.Sprintf(" (port %d)", p.Number)
			}
			out = append(out, line)
		}
	}
	slices.Sort(out)
	return out
}

// spoken is what goes over a port: its protocol, or udp.
func spoken(p *mesh.Port) string {
	if p.Transport == mesh.UDP {
		return "udp"
	}
	return p.Protocol.String()
}

// tellFirst writes the table and "ready" at once. A reader that is gone does
// not stop the mesh.
func tellFirst(w io.Writer, now []string) {
	_, _ = io.WriteString(w, strings.Join(append(slices.Clone(now), "ready\n"), "\n"))
}

// tellChanges writes what went and what came.
func tellChanges(w io.Writer, before, now []string) {
	var out strings.Builder
	for _, line := range before {
		if _, still := slices.BinarySearch(now, line); !still {
			out.WriteString("- " + line + "\n")
		}
	}
	for _, line := range now {
		if _, already := slices.BinarySearch(before, line); !already {
			out.WriteString("+ " + line + "\n")
		}
	}
	_, _ = io.WriteString(w, out.String())
}
