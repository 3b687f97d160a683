package kube

import (
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/rs/zerolog"
	"github.com/weft-mesh/weft/pkg/mesh"
)

// inputs reads one file into Inputs.
func inputs(t testing.TB, content string) *mesh.Inputs {
	t.Helper()
	p := parser{trimmer: newTrimmer(""), log: zerolog.Nop()}
	return inputsOf(t, p, content)
}

func inputsOf(t testing.TB, p parser, content string) *mesh.Inputs {
	t.Helper()
	found, broken := p.parse("a.yaml", []byte(content))
	if len(broken) > 0 {
		t.Fatal(broken)
	}
	in, ledger := mesh.NewInputs(), newLedger()
	for _, r := range found {
		for _, e := range ledger.put(r.reading) {
			e.apply(in)
		}
	}
	return in
}

// check compares Inputs; an empty slice is as good as none.
func check(t testing.TB, want, got *mesh.Inputs) {
	t.Helper()
	if diff := cmp.Diff(want, got, cmp.Comparer(func(a, b netip.Addr) bool { return a == b }),
		cmp.Comparer(func(a, b netip.AddrPort) bool { return a == b }), cmpopts.EquateEmpty()); diff != "" {
		t.Error(diff)
	}
}

func name(s string) mesh.Name { return mesh.Name{Namespace: "shop", Name: s} }

func addr(s string) netip.Addr { return netip.MustParseAddr(s) }

func TestService(t *testing.T) {
	want := mesh.NewInputs()
	want.Services[name("orders")] = mesh.ServiceInput{
		Ref:         mesh.Ref{APIVersion: "v1", Kind: "Service", Namespace: "shop", Name: "orders", UID: "u-1"},
		Affinity:    true,
		Annotations: map[string]string{"weft.mesh/protocol": "http"},
		Ports: []mesh.ServicePort{
			{Name: "http", Number: 80, AppProtocol: "kubernetes.io/h2c"},
			{Name: "dns", Number: 53, Transport: mesh.UDP},
			{Name: "sctp", Number: 9, Unsupported: true},
		},
	}
	want.Services[mesh.Name{Namespace: "default", Name: "far"}] = mesh.ServiceInput{
		Ref: mesh.Ref{APIVersion: "v1", Kind: "Service", Namespace: "default", Name: "far"}, External: true,
	}
	check(t, want, inputs(t, `
apiVersion: v1
kind: Service
metadata:
  name: orders
  namespace: shop
  uid: u-1
  annotations: {weft.mesh/protocol: http, kubectl.kubernetes.io/last-applied-configuration: "{}"}
spec:
  type: ClusterIP
  clusterIP: 10.96.0.10
  sessionAffinity: ClientIP
  ports:
  - {name: http, port: 80, targetPort: web, protocol: TCP, appProtocol: kubernetes.io/h2c}
  - {name: dns, port: 53, protocol: UDP}
  - {name: sctp, port: 9, protocol: SCTP}
---
apiVersion: v1
kind: Service
metadata: {name: far}
spec: {type: ExternalName, externalName: example.com}
---
apiVersion: v1
kind: Service
metadata: {name: shadow, namespace: weft, labels: {app.kubernetes.io/managed-by: weft}}
spec: {ports: [{port: 80, targetPort: 10000}]}
`))
}

func TestShadowServicesAreFrontends(t *testing.T) {
	all := netip.IPv6Unspecified()
	want := mesh.NewInputs()
	want.Frontends[name("orders")] = mesh.Frontend{
		Addresses: []netip.Addr{addr("10.96.0.10"), addr("fd00::10")},
		Ports: []mesh.FrontendPort{
			{Number: 80, Listen: netip.AddrPortFrom(all, 10017)},
			{Number: 53, Transport: mesh.UDP, Listen: netip.AddrPortFrom(all, 10018)},
		},
	}
	want.Frontends[name("carts")] = mesh.Frontend{Addresses: []netip.Addr{addr("10.96.0.11")}}
	check(t, want, inputsOf(t, parser{trimmer: newTrimmer("weft")}, `
apiVersion: v1
kind: Service
metadata: {name: orders-abc, namespace: weft, labels: {app.kubernetes.io/managed-by: weft, weft.mesh/service: orders, weft.mesh/namespace: shop}}
spec:
  clusterIP: 10.96.0.10
  clusterIPs: [10.96.0.10, "fd00::10"]
  ports: [{port: 80, targetPort: 10017}, {port: 53, protocol: UDP, targetPort: 10018}, {port: 81, targetPort: named}]
---
apiVersion: v1
kind: Service
metadata: {name: carts-abc, namespace: weft, labels: {app.kubernetes.io/managed-by: weft, weft.mesh/service: carts, weft.mesh/namespace: shop}}
spec: {clusterIP: 10.96.0.11}
---
apiVersion: v1
kind: Service
metadata: {name: somebodys, namespace: weft, labels: {weft.mesh/service: else, weft.mesh/namespace: shop}}
spec: {clusterIP: 10.96.0.12, ports: [{port: 80, targetPort: 10019}]}
---
apiVersion: v1
kind: Service
metadata: {name: shop, namespace: weft, labels: {app.kubernetes.io/managed-by: weft}}
spec: {clusterIP: None}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: shop-1, namespace: weft, labels: {kubernetes.io/service-name: shop}}
addressType: IPv4
endpoints: [{addresses: [10.96.0.10]}]
`))
}

func TestEndpointSlice(t *testing.T) {
	want := mesh.NewInputs()
	want.Slices[name("orders-1")] = mesh.SliceInput{
		Service: name("orders"),
		Ports:   []mesh.SlicePort{{Name: "http", Number: 8080}, {Number: 53, Transport: mesh.UDP}},
		Endpoints: []mesh.SliceEndpoint{
			{Address: addr("10.0.0.1"), Ready: true, Serving: true, Node: "n1", Zone: "z1", ForZones: []string{"z1", "z2"}, Pod: "orders-a"},
			{Address: addr("10.0.0.2"), Ready: true, Serving: true},
			{Address: addr("10.0.0.3")},
			{Address: addr("10.0.0.4"), Serving: true, Terminating: true},
		},
	}
	check(t, want, inputs(t, `
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: orders-1, namespace: shop, labels: {kubernetes.io/service-name: orders}}
addressType: IPv4
ports: [{name: http, port: 8080, protocol: TCP}, {port: 53, protocol: UDP}, {name: all}, {name: s, port: 9, protocol: SCTP}]
endpoints:
- addresses: [10.0.0.1, 10.9.9.9]
  nodeName: n1
  zone: z1
  hints: {forZones: [{name: z1}, {name: z2}]}
  targetRef: {kind: Pod, name: orders-a, namespace: shop}
- addresses: ["::ffff:10.0.0.2"]
  targetRef: {kind: Node, name: n1}
- {addresses: [10.0.0.3], conditions: {ready: false}}
- {addresses: [10.0.0.4], conditions: {ready: false, serving: true, terminating: true}}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: names, namespace: shop, labels: {kubernetes.io/service-name: orders}}
addressType: FQDN
endpoints: [{addresses: [example.com]}]
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: nobodys, namespace: shop}
addressType: IPv4
endpoints: [{addresses: [10.0.0.9]}]
`))
}

// The slices of the node proxies say in which zone a node is. Those of others,
// which anybody may write, do not.
func TestTheZoneOfTheNode(t *testing.T) {
	slice := func(namespace, name, node, zone string) string {
		return "apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata: {name: " + name + ", namespace: " + namespace +
			", labels: {kubernetes.io/service-name: x}}\naddressType: IPv4\nendpoints:\n- {addresses: [10.0.0.1], nodeName: other, zone: z9}\n" +
			"- {addresses: [10.0.0.2], nodeName: " + node + ", zone: " + zone + ", conditions: {ready: false}}\n---\n"
	}
	trimmer := newTrimmer("weft")
	trimmer.node = "n1"
	in := inputsOf(t, parser{trimmer: trimmer}, slice("weft", "orders-1", "n1", "z1")+slice("weft", "carts-1", "n2", "z2")+slice("shop", "orders-1", "n1", "z3"))
	want := map[mesh.Name]string{{Namespace: "weft", Name: "orders-1"}: "z1"}
	if diff := cmp.Diff(want, in.Zones); diff != "" {
		t.Error(diff)
	}
	if len(in.Slices) != 1 {
		t.Errorf("%d slices are kept; want the one of shop", len(in.Slices))
	}
}

func TestEndpoints(t *testing.T) {
	want := mesh.NewInputs()
	want.Endpoints[name("orders")] = mesh.SliceInput{
		Service: name("orders"), Ports: []mesh.SlicePort{{Name: "http", Number: 8080}},
		Endpoints: []mesh.SliceEndpoint{
			{Address: addr("10.0.0.1"), Ready: true, Serving: true, Node: "n1", Pod: "orders-a"}, {Address: addr("10.0.0.2")},
		},
	}
	want.Endpoints[name("orders/1")] = mesh.SliceInput{
		Service: name("orders"), Ports: []mesh.SlicePort{{Name: "http", Number: 9090}},
		Endpoints: []mesh.SliceEndpoint{{Address: addr("10.0.0.3"), Ready: true, Serving: true}},
	}
	check(t, want, inputs(t, `
apiVersion: v1
kind: Endpoints
metadata: {name: orders, namespace: shop}
subsets:
- addresses: [{ip: 10.0.0.1, nodeName: n1, targetRef: {kind: Pod, name: orders-a}}]
  notReadyAddresses: [{ip: 10.0.0.2}]
  ports: [{name: http, port: 8080}, {name: s, port: 9, protocol: SCTP}]
- addresses: [{ip: 10.0.0.3}]
  ports: [{name: http, port: 9090}]
---
apiVersion: v1
kind: Endpoints
metadata: {name: empty, namespace: shop}
`))
}

func TestPods(t *testing.T) {
	created := time.Date(2026, 11, 20, 10, 0, 0, 0, time.UTC)
	want := mesh.NewInputs()
	want.Pods[name("orders-7d9f8-x")] = mesh.PodInput{
		IPs: []netip.Addr{addr("10.0.0.1"), addr("fd00::1")}, ServiceAccount: "orders", Node: "n1",
		OwnerKind: "Deployment", OwnerName: "orders", Created: created, Labels: map[string]string{"pod-template-hash": "7d9f8"},
	}
	want.Pods[name("plain")] = mesh.PodInput{IPs: []netip.Addr{addr("10.0.0.2")}, OwnerKind: "Pod", OwnerName: "plain", HostNetwork: true}
	want.Pods[name("done")] = mesh.PodInput{OwnerKind: "Job", OwnerName: "job", Finished: true}
	want.Pods[name("odd")] = mesh.PodInput{OwnerKind: "ReplicaSet", OwnerName: "odd-rs", Finished: true, Labels: map[string]string{"pod-template-hash": "other"}}
	check(t, want, inputs(t, `
apiVersion: v1
kind: Pod
metadata:
  name: orders-7d9f8-x
  namespace: shop
  creationTimestamp: "2026-11-20T10:00:00Z"
  labels: {pod-template-hash: 7d9f8}
  ownerReferences:
  - {apiVersion: v1, kind: Node, name: n1, uid: a}
  - {apiVersion: apps/v1, kind: ReplicaSet, name: orders-7d9f8, uid: b, controller: true}
spec: {serviceAccountName: orders, nodeName: n1}
status: {phase: Running, podIP: 10.0.0.1, podIPs: [{ip: 10.0.0.1}, {ip: "fd00::1"}]}
---
apiVersion: v1
kind: Pod
metadata: {name: plain, namespace: shop}
spec: {hostNetwork: true}
status: {podIP: 10.0.0.2}
---
apiVersion: v1
kind: Pod
metadata: {name: done, namespace: shop, ownerReferences: [{apiVersion: batch/v1, kind: Job, name: job, uid: c, controller: true}]}
status: {phase: Succeeded}
---
apiVersion: v1
kind: Pod
metadata: {name: odd, namespace: shop, labels: {pod-template-hash: other}, ownerReferences: [{apiVersion: apps/v1, kind: ReplicaSet, name: odd-rs, uid: d, controller: true}]}
status: {phase: Failed}
`))
}

// A List's items, of whatever kinds, are read as documents of their own.
func TestListsAndJSON(t *testing.T) {
	want := mesh.NewInputs()
	for _, n := range []string{"a", "b"} {
		ref := mesh.Ref{APIVersion: "v1", Kind: "Service", Namespace: "shop", Name: n}
		want.Services[name(n)] = mesh.ServiceInput{Ref: ref}
	}
	want.Splits[name("s")] = mesh.SplitInput{
		Ref:  mesh.Ref{APIVersion: "split.smi-spec.io/v1alpha1", Kind: "TrafficSplit", Namespace: "shop", Name: "s"},
		Root: "a", Backends: []mesh.SplitBackend{{Service: "b", Weight: 500}},
	}
	split := `{"apiVersion":"split.smi-spec.io/v1alpha1","kind":"TrafficSplit","metadata":{"name":"s","namespace":"shop"},"spec":{"service":"a","backends":[{"service":"b","weight":"500m"}]}}`
	for what, content := range map[string]string{
		"List": `{"kind":"List","items":[{"apiVersion":"v1","kind":"Namespace","metadata":{"name":"shop"}},
			{"apiVersion":"v1","kind":"List","items":[` + split + `]},
			{"apiVersion":"v1","kind":"ServiceList","items":[{"metadata":{"name":"a","namespace":"shop"}},{"metadata":{"name":"b","namespace":"shop"}}]}]}`,
		"JSON after JSON, with tabs": "{\t\"apiVersion\":\n\t\t\"v1\",\"kind\":\"Service\",\"metadata\":{\"name\":\"a\",\"namespace\":\"shop\"}}\n" +
			`{"apiVersion":"v1","kind":"Service","metadata":{"name":"b","namespace":"shop"}}` + split,
		"documents": "# only a comment\n--- # one\napiVersion: v1\nkind: Service\nmetadata: {name: a, namespace: shop}\n---\n---\n" +
			"apiVersion: v1\nkind: Service\nmetadata: {name: b, namespace: shop}\n--- " + split,
	} {
		t.Run(what, func(t *testing.T) { check(t, want, inputs(t, content)) })
	}
}

// What cannot be read of an object is told on that object.
func TestMalformedObjects(t *testing.T) {
	head := "\nmetadata: {name: orders, namespace: shop, uid: u-1}\n"
	for content, message := range map[string]string{
		"apiVersion: v1\nkind: Service" + head + "spec: {ports: [{port: 70000}]}":                                                                                                           "spec.ports[0].port is 70000; want 1 to 65535",
		"apiVersion: v1\nkind: Service" + head + "spec: {ports: [{port: http}]}":                                                                                                            "json: cannot unmarshal string into Go struct field ServicePort.spec.ports.port of type int32",
		"apiVersion: v1\nkind: Endpoints" + head + "subsets: [{addresses: [{ip: x}]}]":                                                                                                      `subsets[0].addresses[0].ip is "x"; want an IP address`,
		"apiVersion: v1\nkind: Endpoints" + head + "subsets: [{ports: [{port: 0}]}]":                                                                                                        "subsets[0].ports[0].port is 0; want 1 to 65535",
		"apiVersion: split.smi-spec.io/v1alpha4\nkind: TrafficSplit" + head + "spec: {service: a, backends: [{service: b, weight: x}]}":                                                     `spec.backends[0].weight: "x": want a number or a quantity, such as 10, 0.5 or "500m"`,
		"apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata: {name: orders, namespace: shop, uid: u-1, labels: {kubernetes.io/service-name: a}}\nendpoints: [{addresses: [x]}]": `endpoints[0].addresses[0] is "x"; want an IP address`,
	} {
		in := inputs(t, content)
		if len(in.Problems) != 1 {
			t.Errorf("%s: got problems %v, want one", content, in.Problems)
		}
		for ref, p := range in.Problems {
			want := mesh.Problem{Object: ref, Reason: mesh.Malformed, Message: message + "; what was read of it before stays in effect"}
			if ref.Name != "orders" || ref.Namespace != "shop" || ref.UID != "u-1" || ref.APIVersion == "" || p != want {
				t.Errorf("got  %+v\nwant %+v", p, want)
			}
		}
	}
}

func inputsAddresses(ips ...string) (out []netip.Addr) {
	for _, ip := range ips {
		if ip != "" {
			out = append(out, addr(ip))
		}
	}
	return out
}

// Two subsets serve one port by different numbers, each its own addresses.
func TestEndpointsOfTwoSubsetsServe(t *testing.T) {
	in := inputs(t, `
apiVersion: v1
kind: Service
metadata: {name: orders, namespace: shop}
spec: {ports: [{name: http, port: 80}]}
---
apiVersion: v1
kind: Endpoints
metadata: {name: orders, namespace: shop}
subsets:
- {addresses: [{ip: 10.0.0.1}], ports: [{name: http, port: 8080}]}
- {addresses: [{ip: 10.0.0.2}], ports: [{name: http, port: 9090}]}
`)
	in.Frontends[name("orders")] = mesh.Frontend{Ports: []mesh.FrontendPort{{Number: 80}}}
	var got []string
	for _, e := range mesh.Build(in).Services[0].Ports[0].Endpoints {
		got = append(got, e.Address.String())
	}
	if diff := cmp.Diff([]string{"10.0.0.1:8080", "10.0.0.2:9090"}, got); diff != "" {
		t.Error(diff)
	}
}
