package kube

import (
	"fmt"
	"runtime"
	"testing"
	"time"

	"github.com/rs/zerolog"
	"github.com/weft-mesh/weft/pkg/mesh"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// copied makes a string of its own, as a decoder does.
func copied(format string, args ...any) string { return fmt.Sprintf(format, args...) }

func bigPod(i int) *corev1.Pod {
	yes := true
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: copied("shop-%d", i%50), Name: copied("orders-%d-7d9f8c6b5-x%05d", i%1000, i), UID: "u",
			CreationTimestamp: metav1.NewTime(time.Unix(int64(i), 0)),
			Labels:            map[string]string{"pod-template-hash": copied("7d9f8c6b5"), "app": copied("orders-%d", i%1000)},
			OwnerReferences:   []metav1.OwnerReference{{Kind: copied("ReplicaSet"), Name: copied("orders-%d-7d9f8c6b5", i%1000), Controller: &yes}},
			ManagedFields:     []metav1.ManagedFieldsEntry{{FieldsV1: &metav1.FieldsV1{Raw: make([]byte, 4096)}}},
		},
		Spec:   corev1.PodSpec{ServiceAccountName: copied("orders"), NodeName: copied("node-%d", i%100)},
		Status: corev1.PodStatus{PodIPs: []corev1.PodIP{{IP: copied("10.%d.%d.%d", i>>16, i>>8&255, i&255)}}},
	}
}

func bigSlice(i int) *discoveryv1.EndpointSlice {
	port, http := int32(8080), copied("http")
	s := &discoveryv1.EndpointSlice{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: copied("shop-%d", i%50), Name: copied("orders-%d-abcde", i), Labels: map[string]string{discoveryv1.LabelServiceName: copied("orders-%d", i)},
			ManagedFields: []metav1.ManagedFieldsEntry{{FieldsV1: &metav1.FieldsV1{Raw: make([]byte, 4096)}}},
		},
		Ports: []discoveryv1.EndpointPort{{Name: &http, Port: &port}},
	}
	for j := range 10 {
		pod := bigPod(10*i + j)
		s.Endpoints = append(s.Endpoints, discoveryv1.Endpoint{
			Addresses: []string{pod.Status.PodIPs[0].IP}, NodeName: &pod.Spec.NodeName, TargetRef: &corev1.ObjectReference{Kind: "Pod", Name: pod.Name},
		})
	}
	return s
}

func heap() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// 10,000 pods and their endpoints are held, inputs and ledgers together, in a
// few MB: nothing pins the objects that they were trimmed from.
func TestTenThousandPodsAreSmall(t *testing.T) {
	in := mesh.NewInputs()
	of := func(kind string) *store {
		return &store{
			kind: kind, trimmer: newTrimmer("weft"), ledger: newLedger(), status: newStatus(kind, zerolog.Nop()),
			emit: func(c mesh.Change) { c.Apply(in) }, first: func() {},
		}
	}
	pods, slices := of("Pod"), of("EndpointSlice")
	before := heap()
	for i := range 10_000 {
		if err := pods.Add(bigPod(i)); err != nil {
			t.Fatal(err)
		}
	}
	for i := range 1000 {
		if err := slices.Add(bigSlice(i)); err != nil {
			t.Fatal(err)
		}
	}
	used := float64(heap()-before) / (1 << 20)
	t.Logf("%.1f MB", used)
	if used > 12 {
		t.Errorf("got %.1f MB, want at most 12", used)
	}
	if len(in.Pods) != 10_000 || len(in.Slices) != 1000 {
		t.Errorf("got %d pods and %d slices", len(in.Pods), len(in.Slices))
	}
	runtime.KeepAlive(pods)
	runtime.KeepAlive(slices)
}
