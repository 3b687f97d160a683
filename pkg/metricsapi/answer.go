package metricsapi

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"

	"github.com/weft-mesh/weft/pkg/telemetry"
)

// object names an object of the query's kind.
type object struct{ namespace, name string }

// answerer is the scratch of one answer.
type answerer struct {
	query
	window metav1.Duration
	now    metav1.Time
	sets   map[object]string // by pod, the ReplicaSet that owns it; only where these are asked for
	rows   []telemetry.Row
}

// answer is a TrafficMetrics for one object, a list for several and for edges.
// Who asks for an object that is not there gets the API server's own error.
func (q *query) answer(ctx context.Context, client dynamic.Interface, traffic []telemetry.Traffic) (any, error) {
	a := &answerer{query: *q, window: metav1.Duration{Duration: min(q.window, telemetry.LongestWindow)}, now: metav1.Now()}
	for i := range traffic {
		a.rows = append(a.rows, traffic[i].Rows...)
		// The longest is what the figures are of.
		a.window.Duration = max(a.window.Duration, time.Duration(traffic[i].Seconds*float64(time.Second)).Truncate(time.Second))
	}
	objects, err := a.objects(ctx, client)
	if err != nil {
		return nil, err
	}
	if q.kind.Resource == "replicasets" {
		if err := a.findSets(ctx, client); err != nil {
			return nil, err
		}
	}
	switch {
	case q.edges:
		return a.list(a.edges(&objects[0])), nil
	case q.kind.Resource == splits:
		return a.list(a.splits(objects)), nil
	case q.name != "":
		return a.each(objects)[0], nil
	}
	return a.list(a.each(objects)), nil
}

// objects reads what is asked for: one, or those that the selector names.
func (a *answerer) objects(ctx context.Context, client dynamic.Interface) ([]unstructured.Unstructured, error) {
	of := client.Resource(a.kind.GroupVersionResource).Namespace(a.namespace)
	if a.name != "" {
		found, err := of.Get(ctx, a.name, metav1.GetOptions{})
		if err != nil {
			return nil, err
		}
		return []unstructured.Unstructured{*found}, nil
	}
	list, err := of.List(ctx, metav1.ListOptions{LabelSelector: a.selector})
	if err != nil {
		return nil, err
	}
	slices.SortFunc(list.Items, func(x, y unstructured.Unstructured) int {
		return cmp.Or(cmp.Compare(x.GetNamespace(), y.GetNamespace()), cmp.Compare(x.GetName(), y.GetName()))
	})
	return list.Items, nil
}

// findSets notes which pods the ReplicaSets own: a proxy knows a pod's
// Deployment only.
func (a *answerer) findSets(ctx context.Context, client dynamic.Interface) error {
	pods, err := client.Resource(schema.GroupVersionResource{Version: "v1", Resource: "pods"}).Namespace(a.namespace).List(ctx, metav1.ListOptions{})
	if err != nil {
		return err
	}
	a.sets = map[object]string{}
	for i := range pods.Items {
		for _, owner := range pods.Items[i].GetOwnerReferences() {
			if owner.Kind == "ReplicaSet" {
				a.sets[object{pods.Items[i].GetNamespace(), pods.Items[i].GetName()}] = owner.Name
			}
		}
	}
	return nil
}

// side is the object of the query's kind that a workload belongs to; ok is
// false where it belongs to none.
func (a *answerer) side(w *telemetry.Workload) (o object, ok bool) {
	switch a.kind.Resource {
	case "namespaces":
		o = object{"", w.Namespace}
	case "nodes":
		o = object{"", w.Node}
	case "pods":
		o = object{w.Namespace, w.Pod}
	case "replicasets":
		o = object{w.Namespace, a.sets[object{w.Namespace, w.Pod}]}
	default:
		if w.Kind == a.kind.kind {
			o = object{w.Namespace, w.Name}
		}
	}
	return o, o.name != ""
}

// served are the objects that a row's requests went to.
func (a *answerer) served(row *telemetry.Row) (out []object) {
	switch a.kind.Resource {
	case "services":
		out = append(out, object{row.Namespace, row.Service})
		if row.Backend != "" && row.Backend != row.Service {
			out = append(out, object{row.Namespace, row.Backend})
		}
	case splits:
	default:
		if o, ok := a.side(&row.Destination); ok {
			out = append(out, o)
		}
	}
	return out
}

// each measures the requests that each object served.
func (a *answerer) each(objects []unstructured.Unstructured) []TrafficMetrics {
	sums := map[object]*measured{}
	for i := range a.rows {
		for _, o := range a.served(&a.rows[i]) {
			sum(sums, o).add(&a.rows[i])
		}
	}
	out := make([]TrafficMetrics, 0, len(objects))
	for i := range objects {
		o := object{objects[i].GetNamespace(), objects[i].GetName()}
		out = append(out, a.metrics(o, sum(sums, o), Edge{Direction: "from", Side: side}))
	}
	return out
}

// side is where all is measured: on the caller's node.
const side = "client"

func sum[K comparable](all map[K]*measured, key K) *measured {
	m := all[key]
	if m == nil {
		m = &measured{}
		all[key] = m
	}
	return m
}

func (a *answerer) metrics(o object, m *measured, edge Edge) TrafficMetrics {
	return TrafficMetrics{
		TypeMeta:   a.typeMeta("TrafficMetrics"),
		ObjectMeta: metav1.ObjectMeta{Namespace: o.namespace, Name: o.name, CreationTimestamp: a.now},
		Resource:   a.kind.reference(o.namespace, o.name),
		Edge:       edge, Timestamp: a.now, Window: a.window, Metrics: m.metrics(),
	}
}

func (a *answerer) typeMeta(kind string) metav1.TypeMeta {
	return metav1.TypeMeta{Kind: kind, APIVersion: Group + "/" + a.version}
}

func (a *answerer) list(items []TrafficMetrics) TrafficMetricsList {
	return TrafficMetricsList{
		TypeMeta: a.typeMeta("TrafficMetricsList"), Resource: a.kind.reference(a.namespace, a.name),
		Selector: a.selector, Items: items,
	}
}

// neighbour is the other end of an edge.
type neighbour struct {
	direction string
	reference corev1.ObjectReference
}

// edges measures what ran between one object and each other that is known: of
// the same kind, and for a Service or a TrafficSplit the workloads that called it.
func (a *answerer) edges(of *unstructured.Unstructured) []TrafficMetrics {
	self, root := object{of.GetNamespace(), of.GetName()}, object{of.GetNamespace(), rootOf(of)}
	sums := map[neighbour]*measured{}
	for i := range a.rows {
		row := &a.rows[i]
		from, fromKnown := a.side(&row.Source)
		to, toKnown := a.side(&row.Destination)
		switch caller := (resourceKind{kind: row.Source.Kind}); {
		case a.kind.Resource == "services" && slices.Contains(a.served(row), self),
			a.kind.Resource == splits && root == object{row.Namespace, row.Service}:
			if row.Source.Name != "" {
				caller.GroupVersionResource.Version, caller.Group = "v1", groupOf(row.Source.Kind)
				sum(sums, neighbour{"from", caller.reference(row.Source.Namespace, row.Source.Name)}).add(row)
			}
		case toKnown && to == self && fromKnown:
			sum(sums, neighbour{"from", a.kind.reference(from.namespace, from.name)}).add(row)
		}
		if fromKnown && from == self && toKnown {
			sum(sums, neighbour{"to", a.kind.reference(to.namespace, to.name)}).add(row)
		}
	}
	out := make([]TrafficMetrics, 0, len(sums))
	for n, m := range sums {
		out = append(out, a.metrics(self, m, Edge{Direction: n.direction, Side: side, Resource: &n.reference}))
	}
	slices.SortFunc(out, func(x, y TrafficMetrics) int {
		return cmp.Or(cmp.Compare(x.Edge.Direction, y.Edge.Direction),
			cmp.Compare(x.Edge.Resource.Namespace, y.Edge.Resource.Namespace), cmp.Compare(x.Edge.Resource.Name, y.Edge.Resource.Name))
	})
	return out
}

// groupOf is the API group of an owner of pods.
func groupOf(kind string) string {
	for _, k := range kinds() {
		if k.kind == kind {
			return k.Group
		}
	}
	return ""
}

// splits measures the requests to each split's Service by the backend that
// served them: an item for each.
func (a *answerer) splits(objects []unstructured.Unstructured) []TrafficMetrics {
	type served struct {
		root    object
		backend string
	}
	sums := map[served]*measured{}
	for i := range a.rows {
		row := &a.rows[i]
		sum(sums, served{object{row.Namespace, row.Service}, row.Backend}).add(row)
	}
	out := []TrafficMetrics{}
	for i := range objects {
		split := &objects[i]
		root := rootOf(split)
		backends, _, _ := unstructured.NestedSlice(split.Object, "spec", "backends")
		for _, b := range backends {
			backend, _ := b.(map[string]any)
			name, _, _ := unstructured.NestedString(backend, "service")
			item := a.metrics(object{split.GetNamespace(), split.GetName()},
				sum(sums, served{object{split.GetNamespace(), root}, name}), Edge{Direction: "from", Side: side})
			item.Backend = &Backend{Apex: root, Name: name, Weight: backend["weight"]}
			out = append(out, item)
		}
	}
	return out
}

// rootOf is the name of the Service that a TrafficSplit stands on; it may be
// written as a longer DNS name.
func rootOf(split *unstructured.Unstructured) string {
	service, _, _ := unstructured.NestedString(split.Object, "spec", "service")
	name, _, _ := strings.Cut(service, ".")
	return name
}
