package telemetry

import (
	"cmp"
	"strconv"
	"strings"
	"time"
)

// Workload is one side of a call: a pod and who owns it. Empty fields are not
// known; a Workload without a name is nobody known.
type Workload struct {
	Namespace string `json:"namespace,omitempty"`
	Kind      string `json:"kind,omitempty"` // of the owner: Deployment, StatefulSet, …; Pod where nothing owns it
	Name      string `json:"name,omitempty"` // of the owner
	Account   string `json:"serviceAccount,omitempty"`
	Pod       string `json:"pod,omitempty"`
	Node      string `json:"node,omitempty"`
}

// Is tells whether a person who names a namespace, or with a slash after it a
// workload, a pod or a service account, means it. Nothing means all.
func (w *Workload) Is(named string) bool {
	namespace, name, one := strings.Cut(named, "/")
	switch {
	case named == "":
		return true
	case namespace != w.Namespace:
		return false
	}
	return !one || name == w.Name || name == w.Pod || name == w.Account
}

// Call says between whom requests, connections or sessions run.
type Call struct {
	Source Workload `json:"source"`
	// Destination is who serves it; nobody where nothing was reached.
	Destination Workload `json:"destination"`
	// Service and Namespace are the Service that was called.
	Service   string `json:"service"`
	Namespace string `json:"namespace"`
	// Backend is the Service that served it, which a split may choose; empty
	// means that none did.
	Backend string `json:"backend,omitempty"`
	// Protocol is http, http2, grpc, tcp or udp.
	Protocol string `json:"protocol"`
}

const (
	// unknown stands where a label has no value: an empty label is a missing one.
	unknown = "unknown"
	// other stands in the labels of what is over the limit of series.
	other = "other"
	// trustDomain is where the identities of workloads hold.
	trustDomain = "cluster.local"
)

// callLabels are the labels of a Call, those of Istio and the backend.
func callLabels(more ...string) []string {
	return append([]string{
		"reporter",
		"source_workload", "source_workload_namespace", "source_principal",
		"destination_workload", "destination_workload_namespace", "destination_principal",
		"destination_service", "destination_service_name", "destination_service_namespace", "destination_backend",
		"request_protocol", "connection_security_policy",
	}, more...)
}

// values are those of callLabels. Pods are no labels.
func (c *Call) values(more ...string) []string {
	return append([]string{
		"source",
		orUnknown(c.Source.Name), orUnknown(c.Source.Namespace), c.Source.principal(),
		orUnknown(c.Destination.Name), orUnknown(c.Destination.Namespace), c.Destination.principal(),
		c.Service + "." + c.Namespace, c.Service, c.Namespace, orUnknown(c.Backend),
		c.Protocol, "none",
	}, more...)
}

// principal is the identity of a workload (SPIFFE ID).
func (w *Workload) principal() string {
	switch {
	case w.Name == other:
		return other
	case w.Account == "":
		return unknown
	}
	return "spiffe://" + trustDomain + "/ns/" + w.Namespace + "/sa/" + w.Account
}

func orUnknown(s string) string {
	if s == "" {
		return unknown
	}
	return s
}

// owners is the Call without its pods.
func (c Call) owners() Call {
	c.Source.Pod, c.Source.Node = "", ""
	c.Destination.Pod, c.Destination.Node = "", ""
	return c
}

// labelled is what the labels can tell apart.
func (c Call) labelled() Call {
	c = c.owners()
	c.Source.Kind, c.Destination.Kind = "", ""
	return c
}

// compare orders Calls by caller, then by what they called.
func (c *Call) compare(d *Call) int {
	return cmp.Or(
		c.Source.compare(&d.Source), cmp.Compare(c.Namespace, d.Namespace), cmp.Compare(c.Service, d.Service),
		cmp.Compare(c.Backend, d.Backend), c.Destination.compare(&d.Destination), cmp.Compare(c.Protocol, d.Protocol),
	)
}

func (w *Workload) compare(v *Workload) int {
	return cmp.Or(cmp.Compare(w.Namespace, v.Namespace), cmp.Compare(w.Name, v.Name), cmp.Compare(w.Pod, v.Pod))
}

// others is the Call that counts what is over the limit.
func (c Call) others() Call {
	nobody := Workload{Namespace: other, Name: other}
	return Call{Source: nobody, Destination: nobody, Service: other, Namespace: other, Backend: other, Protocol: c.Protocol}
}

// Outcome is what became of a request, or of a TCP connection or UDP session,
// which has no Code.
type Outcome struct {
	// Code is the status of the answer; 499 where the client left first.
	Code int
	// GRPC is the answer's grpc-status, made by the function GRPC; 0 where it has none.
	GRPC uint8
	// Reason is why Weft refused it or broke it off, the code in the header
	// weft-reason; empty where the endpoint answered.
	Reason string
	// Took is from the request's head to the last byte of the answer, First
	// from the choice of an endpoint to the first byte; 0 where none came.
	Took, First time.Duration
	// Received and Sent are the bytes of the bodies, from the client and to it; of
	// a connection all of its bytes, of a UDP session its datagrams.
	Received, Sent uint64
}

// Failed tells whether the destination failed, or the way to it.
func (o *Outcome) Failed() bool {
	return (&outcome{code: codeOf(o.Code), grpc: o.GRPC}).failed()
}

// GRPC is a grpc-status as an Outcome has it; -1 is none. What gRPC does not
// know counts as UNKNOWN.
func GRPC(status int) uint8 {
	const unknown, highest = 2, 16
	switch {
	case status < 0:
		return 0
	case status > highest:
		status = unknown
	}
	return uint8(status) + 1
}

// codeLabel bounds what an endpoint can make of a label.
func codeLabel(code int) string {
	if code < 100 || code > 599 {
		return unknown
	}
	return strconv.Itoa(code)
}

// grpcLabel is the status of a gRPC answer, by number as in Istio; empty for none.
func grpcLabel(status uint8) string {
	if status == 0 {
		return ""
	}
	return strconv.Itoa(int(status - 1))
}

// flagsLabel is "-" where nothing is to be said, as in Istio.
func flagsLabel(reason string) string {
	if reason == "" {
		return "-"
	}
	return reason
}
