package metricsapi

import (
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/weft-mesh/weft/pkg/telemetry"
)

// Group is the API group.
const Group = "metrics.smi-spec.io"

// Versions are those that are served. They differ in nothing: what v1alpha2 has
// more, a client of v1alpha1 overlooks.
func Versions() []string { return []string{"v1alpha1", "v1alpha2"} }

// TrafficMetrics is what was measured of one resource, or on one edge between two.
type TrafficMetrics struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata"`
	Resource          corev1.ObjectReference `json:"resource"`
	Edge              Edge                   `json:"edge"`
	Backend           *Backend               `json:"backend,omitempty"` // of a TrafficSplit
	Timestamp         metav1.Time            `json:"timestamp"`
	Window            metav1.Duration        `json:"window"`
	Metrics           []Metric               `json:"metrics"`
}

// Edge is the other side of what was measured; a nil Resource means all.
type Edge struct {
	Direction string                  `json:"direction"` // to or from that resource
	Side      string                  `json:"side"`      // always client: the proxy on the caller's node measures
	Resource  *corev1.ObjectReference `json:"resource"`
}

// Backend is a backend of a TrafficSplit. Its weight is as it was written.
type Backend struct {
	Apex   string `json:"apex"`
	Name   string `json:"name"`
	Weight any    `json:"weight,omitempty"`
}

// Metric is one figure.
type Metric struct {
	Name  string            `json:"name"`
	Unit  string            `json:"unit,omitempty"`
	Value resource.Quantity `json:"value"`
}

// TrafficMetricsList is several TrafficMetrics.
type TrafficMetricsList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata"`
	Resource        corev1.ObjectReference `json:"resource"`
	Selector        string                 `json:"selector,omitempty"`
	Items           []TrafficMetrics       `json:"items"`
}

// resourceKind is a kind of object that is measured.
type resourceKind struct {
	schema.GroupVersionResource
	kind       string
	namespaced bool
}

// kinds are all that the specification names.
func kinds() []resourceKind {
	core, apps := schema.GroupVersion{Version: "v1"}, schema.GroupVersion{Group: "apps", Version: "v1"}
	return []resourceKind{
		{apps.WithResource("daemonsets"), "DaemonSet", true},
		{apps.WithResource("deployments"), "Deployment", true},
		{schema.GroupVersion{Group: "batch", Version: "v1"}.WithResource("jobs"), "Job", true},
		{core.WithResource("namespaces"), "Namespace", false},
		{core.WithResource("nodes"), "Node", false},
		{core.WithResource("pods"), "Pod", true},
		{apps.WithResource("replicasets"), "ReplicaSet", true},
		{core.WithResource("replicationcontrollers"), "ReplicationController", true},
		{core.WithResource("services"), "Service", true},
		{apps.WithResource("statefulsets"), "StatefulSet", true},
		{schema.GroupVersion{Group: "split.smi-spec.io", Version: "v1alpha4"}.WithResource(splits), "TrafficSplit", true},
	}
}

const splits = "trafficsplits"

func kindOf(plural string) (resourceKind, bool) {
	for _, k := range kinds() {
		if k.Resource == plural {
			return k, true
		}
	}
	return resourceKind{}, false
}

func (k *resourceKind) reference(namespace, name string) corev1.ObjectReference {
	return corev1.ObjectReference{Kind: k.kind, APIVersion: k.GroupVersion().String(), Namespace: namespace, Name: name}
}

// measured sums up what ran.
type measured struct {
	success, failure uint64
	latencies        telemetry.Latencies
}

func (m *measured) add(row *telemetry.Row) {
	if row.Protocol == "tcp" || row.Protocol == "udp" {
		return // connections and sessions are no requests
	}
	m.success += row.Success
	m.failure += row.Failure
	m.latencies = m.latencies.Merge(row.Latencies)
}

// metrics are the figures that the specification names. Latencies are in
// milliseconds, as the SDK of the specification and its first implementation
// have it; without traffic all are zero.
func (m *measured) metrics() []Metric {
	latency := func(name string, share float64) Metric {
		us := m.latencies.Quantile(share) / time.Microsecond
		return Metric{Name: name, Unit: "ms", Value: *resource.NewMilliQuantity(int64(us), resource.DecimalSI)}
	}
	count := func(name string, n uint64) Metric {
		return Metric{Name: name, Value: *resource.NewQuantity(int64(n), resource.DecimalSI)}
	}
	return []Metric{
		latency("p99_response_latency", 0.99), latency("p90_response_latency", 0.90), latency("p50_response_latency", 0.50),
		count("success_count", m.success), count("failure_count", m.failure),
	}
}
