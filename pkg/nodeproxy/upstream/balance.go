package upstream

import (
	"bytes"
	"strconv"
	"strings"
)

// balancer is how the next endpoint is chosen.
type balancer uint8

const (
	ewma         balancer = iota // the better of two by latency and load
	leastRequest                 // the better of two by load
	roundRobin
	random
	ringHash // by a key: rendezvous hashing
)

// balancerOf reads the name of a balancer. One that is not known was told where
// it was read.
func balancerOf(name string) balancer {
	switch name {
	case "least-request":
		return leastRequest
	case "round-robin":
		return roundRobin
	case "random":
		return random
	case "ring-hash":
		return ringHash
	}
	return ewma
}

func (c *Cluster) balancer() balancer {
	if c.policies == nil {
		return ewma
	}
	return c.policies.balance
}

// Fields is what policies read of a request: the i-th field of a name in lower
// case.
type Fields interface {
	Header(name string, i int) (value []byte, ok bool)
}

// Steer lets a Try stay with the endpoint that the request's own words lead to:
// a header, or a cookie of Weft's. It comes before the first Next.
func (c *Call) Steer(t *Try, fields Fields) {
	p := c.policies
	if p == nil {
		return
	}
	if p.Spec.StickyCookie != "" {
		if value, ok := cookie(fields, p.Spec.StickyCookie); ok {
			t.wanted, _ = strconv.ParseUint(string(value), 16, 64)
		}
	}
	by := p.Spec.StickyHeader
	if by != "" {
		by = "header:" + strings.ToLower(by)
	} else if p.balance == ringHash {
		by = p.Spec.LoadBalancerBy
	}
	kind, name, _ := strings.Cut(by, ":")
	var value []byte
	switch kind {
	case "source":
		ip := t.client.As16()
		t.key, t.keyed = hash(ip[:], 0), true
		return
	case "header":
		value, t.keyed = fields.Header(strings.ToLower(name), 0)
	case "cookie":
		value, t.keyed = cookie(fields, name)
	}
	t.key = hash(value, 0)
}

// cookie returns the value of a cookie (RFC 6265 §5.4).
func cookie(fields Fields, name string) (value []byte, ok bool) {
	for i := 0; ; i++ {
		field, more := fields.Header("cookie", i)
		if !more {
			return nil, false
		}
		for pair := range bytes.SplitSeq(field, []byte(";")) {
			key, value, _ := bytes.Cut(bytes.TrimSpace(pair), []byte("="))
			if string(key) == name {
				return value, true
			}
		}
	}
}

// Cookie returns the Set-Cookie that keeps the client on the endpoint that
// answers, empty where it needs none.
func (c *Call) Cookie(t *Try) string {
	if c.policies == nil || c.policies.Spec.StickyCookie == "" || t.count == 0 {
		return ""
	}
	e := t.tried[t.count-1]
	if e.hash == t.wanted {
		return ""
	}
	return c.policies.Spec.StickyCookie + "=" + strconv.FormatUint(e.hash, 16) + "; Path=/; HttpOnly; SameSite=Lax"
}
