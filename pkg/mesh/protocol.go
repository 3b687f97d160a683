package mesh

import (
	"fmt"
	"slices"
	"strings"
)

// Transport is the layer-4 protocol of a port.
type Transport uint8

// The transports that Weft carries. TCP is the zero value, as in Kubernetes.
const (
	TCP Transport = iota
	UDP
)

// String is "TCP" or "UDP", as Kubernetes writes them.
func (t Transport) String() string {
	if t == UDP {
		return "UDP"
	}
	return "TCP"
}

// ParseTransport reads the protocol of a Kubernetes port: none is TCP, as in
// the API. What the mesh does not carry (SCTP) is not ok.
func ParseTransport(protocol string) (t Transport, ok bool) {
	switch protocol {
	case "TCP", "":
		return TCP, true
	case "UDP":
		return UDP, true
	}
	return TCP, false
}

// MarshalText writes a Transport as String does.
func (t Transport) MarshalText() ([]byte, error) { return []byte(t.String()), nil }

// UnmarshalText reads what MarshalText wrote.
func (t *Transport) UnmarshalText(text []byte) error {
	switch string(text) {
	case "TCP":
		*t = TCP
	case "UDP":
		*t = UDP
	default:
		return fmt.Errorf("transport %q: want TCP or UDP", text)
	}
	return nil
}

// Protocol is what is spoken over a TCP port.
type Protocol uint8

const (
	// Detect lets the first bytes of a connection decide between HTTP/1,
	// HTTP/2 and opaque bytes.
	Detect Protocol = iota
	// HTTP is HTTP/1.1 or HTTP/2 with prior knowledge, as the client begins;
	// the endpoint is spoken to in the client's version.
	HTTP
	// HTTP2 is HTTP with endpoints that speak HTTP/2 with prior knowledge
	// whatever the client speaks (gRPC servers do).
	HTTP2
	// Opaque is bytes both ways, with no look inside.
	Opaque
)

var protocolNames = [...]string{Detect: "detect", HTTP: "http", HTTP2: "http2", Opaque: "tcp"}

// String is "detect", "http", "http2" or "tcp".
func (p Protocol) String() string { return protocolNames[p] }

// MarshalText writes a Protocol as String does.
func (p Protocol) MarshalText() ([]byte, error) { return []byte(p.String()), nil }

// UnmarshalText reads what MarshalText wrote.
func (p *Protocol) UnmarshalText(text []byte) error {
	for i, name := range protocolNames {
		if name == string(text) {
			*p = Protocol(i)
			return nil
		}
	}
	return fmt.Errorf("protocol %q: want detect, http, http2 or tcp", text)
}

// saysTLS tells whether a name that ParseProtocol takes means a protocol in TLS.
func saysTLS(name string) bool {
	return slices.Contains([]string{"https", "tls", "wss", "kubernetes.io/wss"}, strings.ToLower(name))
}

// ParseProtocol reads the value of a Service port's appProtocol, of the
// annotation weft.mesh/protocol, or the first word of a port's name. Names that
// say nothing known to Weft are not ok. Protocols in which TLS begins the
// connection are opaque: the client's TLS passes through.
func ParseProtocol(name string) (p Protocol, ok bool) {
	switch strings.ToLower(name) {
	case "http", "http1", "http1.1", "kubernetes.io/ws", "ws", "websocket":
		return HTTP, true
	case "http2", "h2c", "grpc", "kubernetes.io/h2c":
		return HTTP2, true
	case "tcp", "https", "tls", "wss", "kubernetes.io/wss", "amqp", "ftp", "imap", "kafka", "ldap",
		"mongo", "mongodb", "mysql", "nats", "postgres", "postgresql", "redis", "smtp", "ssh":
		return Opaque, true
	case "detect":
		return Detect, true
	}
	return Detect, false
}
