package dns

import (
	"net/netip"
	"strings"

	"github.com/miekg/dns"
	"github.com/weft-mesh/weft/pkg/mesh"
)

// ttl is short, in seconds, because a mesh name may come and go with an edit.
// It is also how long a resolver may remember that there is no such name.
const ttl = 5

// zone is what the names below each domain mean. It is never edited.
type zone struct {
	serial uint32
	// names are relative to the domain: "orders.shop", "shop" and, for the
	// domain itself, "". A name with no address is an empty non-terminal.
	names map[string][]netip.Addr
}

// newZone compiles a Mesh.
func newZone(m *mesh.Mesh, serial uint32) *zone {
	z := &zone{serial: serial, names: map[string][]netip.Addr{"": nil}}
	for _, s := range m.Services {
		namespace := strings.ToLower(s.Name.Namespace)
		z.names[strings.ToLower(s.Name.Name)+"."+namespace] = s.Addresses
		if _, ok := z.names[namespace]; !ok {
			z.names[namespace] = nil
		}
	}
	return z
}

// question is one query's question, its name in lower case and split.
type question struct {
	dns.Question
	domain   string // the served domain that the name lies in, as "mesh."
	relative string // the rest of the name, as "orders.shop"
}

// answer fills the reply's answer, authority and code.
func (z *zone) answer(reply *dns.Msg, q question) {
	reply.Authoritative = true
	addresses, exists := z.names[q.relative]
	for _, address := range addresses {
		if record := record(q, address); record != nil {
			reply.Answer = append(reply.Answer, record)
		}
	}
	if q.relative == "" && (q.Qtype == dns.TypeSOA || q.Qtype == dns.TypeANY) {
		reply.Answer = append(reply.Answer, z.soa(q.domain))
	}
	if !exists {
		reply.Rcode = dns.RcodeNameError
	}
	if len(reply.Answer) == 0 {
		reply.Ns = append(reply.Ns, z.soa(q.domain))
	}
}

// record is an address as the question asks for it, nil where it does not. The
// owner is the name as it was asked, so that its case is kept.
func record(q question, address netip.Addr) dns.RR {
	header := dns.RR_Header{Name: q.Name, Class: dns.ClassINET, Ttl: ttl}
	address = address.Unmap()
	switch wanted := q.Qtype; {
	case address.Is4() && (wanted == dns.TypeA || wanted == dns.TypeANY):
		header.Rrtype = dns.TypeA
		return &dns.A{Hdr: header, A: address.AsSlice()}
	case address.Is6() && (wanted == dns.TypeAAAA || wanted == dns.TypeANY):
		header.Rrtype = dns.TypeAAAA
		return &dns.AAAA{Hdr: header, AAAA: address.AsSlice()}
	}
	return nil
}

// soa tells how long an absence may be remembered (RFC 2308 §5).
func (z *zone) soa(domain string) dns.RR {
	return &dns.SOA{
		Hdr:    dns.RR_Header{Name: domain, Rrtype: dns.TypeSOA, Class: dns.ClassINET, Ttl: ttl},
		Ns:     "ns.dns." + domain,
		Mbox:   "hostmaster." + domain,
		Serial: z.serial, Refresh: 3600, Retry: 600, Expire: 86400, Minttl: ttl,
	}
}
