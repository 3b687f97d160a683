package mesh

import "slices"

// TLS is how the endpoints of a port are spoken to where weft.mesh/scheme is
// https. Each must prove to be the Service before it is sent anything.
type TLS struct {
	// ServerName is the DNS name, or the IP address, that an endpoint's
	// certificate must be for (RFC 9525), and that it is told (SNI, RFC 6066 §3).
	ServerName string `json:"serverName"`
	// CASecret is the Secret, in the Service's namespace, whose CA must vouch for
	// the certificate; empty means the system's roots.
	CASecret string `json:"caSecret,omitempty"`
	// CA is the certificates of the CASecret, as PEM. While it is empty nobody
	// vouches for anyone, and no endpoint is spoken to.
	CA string `json:"-"`
}

// CAInput is what Weft reads of a Secret that holds a CA.
type CAInput struct {
	// PEM is its certificates; empty while none could be read.
	PEM string
	// Problem says why it cannot be read now; empty where it can.
	Problem string
}

// The values of Policy.Scheme.
const (
	SchemeHTTP  = "http"
	SchemeHTTPS = "https"
)

// CASecrets names the Secrets that the policies of an object want, in its
// namespace. A Namespace wants them for the Services in it.
func (p *Policies) CASecrets() (names []string) {
	if p.All != nil && p.All.Policy.TLSCaSecret != "" {
		names = append(names, p.All.Policy.TLSCaSecret)
	}
	for _, of := range p.Ports {
		if of.Policy.TLSCaSecret != "" {
			names = append(names, of.Policy.TLSCaSecret)
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// tls is how the endpoints of a port are spoken to; nil for no TLS.
func (b *builder) tls(s *ServiceInput, from *ServicePort, port *Port) *TLS {
	p := port.Policy
	if p == nil || p.Scheme != SchemeHTTPS || port.Transport != TCP {
		return nil
	}
	if port.Protocol == Opaque {
		own := DefaultPolicy()
		if s.Policies.lay(from, &own); own.Scheme == SchemeHTTPS {
			b.problem(s.Ref, SchemeNotApplied, "scheme is https, but port %d is TCP to Weft, which carries its bytes as they come; it takes no effect on that port", port.Number)
		}
		return nil
	}
	out := &TLS{ServerName: p.TLSServerName, CASecret: p.TLSCaSecret}
	if out.ServerName == "" {
		out.ServerName = s.Ref.Name + "." + s.Ref.Namespace + ".svc"
	}
	if out.CASecret != "" {
		out.CA = b.authority(s, out.CASecret)
	}
	return out
}

// authority is the CA in a Secret of a Service's namespace. What keeps it from
// being read is a problem on the Service.
func (b *builder) authority(s *ServiceInput, secret string) string {
	name := Name{Namespace: s.Ref.Namespace, Name: secret}
	found, known := b.in.CAs[name]
	why, meanwhile := found.Problem, "calls are answered with 502 meanwhile"
	if !known {
		why = "there is no such Secret"
	}
	if found.PEM != "" {
		meanwhile = "what was read of it before stays in effect"
	}
	if why != "" {
		b.problem(s.Ref, CAUnreadable, "tls-ca-secret is %q, but the CA in Secret %s cannot be read: %s; %s", secret, name, why, meanwhile)
	}
	return found.PEM
}
