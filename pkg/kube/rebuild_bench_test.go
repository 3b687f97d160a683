package kube

import (
	"fmt"
	"testing"
	"time"

	"github.com/weft-mesh/weft/pkg/mesh"
	"github.com/weft-mesh/weft/pkg/route"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// BenchmarkRebuild is the full rebuild after any change, Inputs → Mesh → Table,
// with Inputs read from real Services, shadow Services, EndpointSlices of ten
// pods each, Pods, and a TrafficSplit on every tenth Service. At most 10 ms for
// 1,000 Services and 60 ms for 5,000 on one core (-cpu 1).
func BenchmarkRebuild(b *testing.B) {
	for _, services := range []int{1000, 5000} {
		b.Run(fmt.Sprintf("services=%d/endpoints=%d", services, services*10), func(b *testing.B) {
			in := manyInputs(b, services)
			b.ReportAllocs()
			for b.Loop() {
				table := route.Compile(mesh.Build(in))
				if len(table.Ports()) != services {
					b.Fatalf("%d ports; want %d", len(table.Ports()), services)
				}
			}
		})
	}
}

// manyInputs reads the objects of a large cluster as the sources do.
func manyInputs(b *testing.B, services int) *mesh.Inputs {
	in, trimmer := mesh.NewInputs(), newTrimmer("weft")
	put := func(o metav1.Object) {
		r := trimmer.read(o)
		if r.problem != nil {
			b.Fatal(r.problem)
		}
		r.piece.put(in, mesh.Name{Namespace: o.GetNamespace(), Name: o.GetName()})
	}
	for n := range services {
		meta := metav1.ObjectMeta{Namespace: fmt.Sprintf("shop-%02d", n%50), Name: fmt.Sprintf("orders-%04d", n)}
		put(&corev1.Service{ObjectMeta: meta, Spec: corev1.ServiceSpec{Ports: []corev1.ServicePort{{Name: "http", Port: 80}}}})
		put(shadowOf(meta, n))
		slice := &discoveryv1.EndpointSlice{ObjectMeta: meta, AddressType: discoveryv1.AddressTypeIPv4}
		slice.Labels = map[string]string{discoveryv1.LabelServiceName: meta.Name}
		port, name := int32(8080), "http"
		slice.Ports = []discoveryv1.EndpointPort{{Name: &name, Port: &port}}
		for i := range 10 {
			pod := podOfService(meta, n*10+i)
			put(pod)
			slice.Endpoints = append(slice.Endpoints, discoveryv1.Endpoint{
				Addresses: []string{pod.Status.PodIPs[0].IP}, NodeName: &pod.Spec.NodeName,
				TargetRef: &corev1.ObjectReference{Kind: "Pod", Name: pod.Name},
			})
		}
		put(slice)
		if n%10 == 0 {
			put(splitOf(meta))
		}
	}
	return in
}

func shadowOf(source metav1.ObjectMeta, n int) *corev1.Service {
	return &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Namespace: "weft", Name: source.Name + "-x", Labels: map[string]string{
			mesh.LabelService: source.Name, mesh.LabelNamespace: source.Namespace,
		}},
		Spec: corev1.ServiceSpec{
			ClusterIPs: []string{fmt.Sprintf("10.96.%d.%d", n>>8, n&255)},
			Ports:      []corev1.ServicePort{{Name: "http", Port: 80, TargetPort: intstr.FromInt(10000 + n)}},
		},
	}
}

func podOfService(service metav1.ObjectMeta, n int) *corev1.Pod {
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: service.Namespace, Name: fmt.Sprintf("%s-7d9f8c6b5-%05d", service.Name, n),
			CreationTimestamp: metav1.NewTime(time.Unix(int64(n), 0)),
		},
		Spec:   corev1.PodSpec{ServiceAccountName: "orders", NodeName: fmt.Sprintf("node-%d", n%100)},
		Status: corev1.PodStatus{PodIPs: []corev1.PodIP{{IP: fmt.Sprintf("10.%d.%d.%d", n>>16, n>>8&255, n&255)}}},
	}
}

func splitOf(root metav1.ObjectMeta) *unstructured.Unstructured {
	return &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "split.smi-spec.io/v1alpha4", "kind": "TrafficSplit",
		"metadata": map[string]any{"namespace": root.Namespace, "name": root.Name},
		"spec": map[string]any{"service": root.Name, "backends": []any{
			map[string]any{"service": root.Name, "weight": int64(1)},
		}},
	}}
}
