package main

import (
	"context"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/weft-mesh/weft/pkg/mesh"
)

// networkPolicies finds the meshed pods that a NetworkPolicy keeps the node
// proxies from: their callers see connections that time out.
func (c *checkCommand) networkPolicies(ctx context.Context, k *clients) []finding {
	policies, err := k.typed.NetworkingV1().NetworkPolicies("").List(ctx, metav1.ListOptions{})
	if err != nil {
		return []finding{doubts("", "NetworkPolicies cannot be read: %v", err)}
	}
	of := map[string][]networkingv1.NetworkPolicy{}
	for _, p := range policies.Items {
		if slices.Contains(p.Spec.PolicyTypes, networkingv1.PolicyTypeIngress) {
			of[p.Namespace] = append(of[p.Namespace], p)
		}
	}
	proxies, err := c.asPeers(ctx, k)
	if err != nil {
		return []finding{doubts("", "%v", err)}
	}
	var out []finding
	for _, namespace := range slices.Sorted(maps.Keys(of)) {
		kept, err := c.kept(ctx, k, namespace, of[namespace], proxies)
		if err != nil {
			out = append(out, doubts("", "namespace %s: %v", namespace, err))
		}
		for _, line := range kept {
			hint := fmt.Sprintf("allow ingress from pods labelled %s in namespace %s", nodeLabel, c.Namespace)
			out = append(out, fails(hint, "%s", line))
		}
	}
	if len(out) == 0 {
		return []finding{holds("no NetworkPolicy keeps the proxies from a meshed pod")}
	}
	return out
}

// nodeLabel is on the pods of the node proxies.
const nodeLabel = "app.kubernetes.io/name=weft-node"

// peers are the node proxies as a NetworkPolicy sees them.
type peers struct {
	namespace       string // by name, for policies of that very namespace
	namespaceLabels labels.Set
	pods            []corev1.Pod
}

func (c *checkCommand) asPeers(ctx context.Context, k *clients) (*peers, error) {
	namespace, err := k.typed.CoreV1().Namespaces().Get(ctx, c.Namespace, metav1.GetOptions{})
	if err != nil {
		return nil, err
	}
	pods, err := k.typed.CoreV1().Pods(c.Namespace).List(ctx, metav1.ListOptions{LabelSelector: nodeLabel})
	if err != nil {
		return nil, err
	}
	return &peers{namespace: c.Namespace, namespaceLabels: namespace.Labels, pods: pods.Items}, nil
}

// kept tells of the pods of a namespace that serve meshed Services and that not
// every proxy may reach, by Service.
func (c *checkCommand) kept(ctx context.Context, k *clients, namespace string, policies []networkingv1.NetworkPolicy, from *peers) (out []string, err error) {
	shadows, err := k.typed.CoreV1().Services(c.Namespace).List(ctx, metav1.ListOptions{LabelSelector: mesh.LabelNamespace + "=" + namespace})
	if err != nil {
		return nil, err
	}
	pods, err := k.typed.CoreV1().Pods(namespace).List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil, err
	}
	for i := range shadows.Items {
		name := shadows.Items[i].Labels[mesh.LabelService]
		service, err := k.typed.CoreV1().Services(namespace).Get(ctx, name, metav1.GetOptions{})
		if err != nil || len(service.Spec.Selector) == 0 {
			continue // gone, or served by what no selector names
		}
		selector := labels.SelectorFromSet(service.Spec.Selector)
		for j := range pods.Items {
			pod := &pods.Items[j]
			if pod.Spec.HostNetwork || !selector.Matches(labels.Set(pod.Labels)) {
				continue
			}
			for _, port := range service.Spec.Ports {
				if by := keptBy(policies, pod, port, from); len(by) > 0 {
					out = append(out, fmt.Sprintf("Service %s/%s: NetworkPolicy %s keeps the node proxies from port %d of pod %s", namespace, name, strings.Join(by, ", "), port.Port, pod.Name))
				}
			}
			break // the pods of a Service are alike; one line is enough
		}
	}
	return out, nil
}

// keptBy returns the policies that isolate a pod where none of them lets every
// proxy in; nothing where the port can be reached (NetworkPolicy v1: policies
// add to each other, and a pod that none selects is open).
func keptBy(policies []networkingv1.NetworkPolicy, pod *corev1.Pod, port corev1.ServicePort, from *peers) (names []string) {
	for _, p := range policies {
		selector, err := metav1.LabelSelectorAsSelector(&p.Spec.PodSelector)
		if err != nil || !selector.Matches(labels.Set(pod.Labels)) {
			continue
		}
		names = append(names, p.Name)
		for _, rule := range p.Spec.Ingress {
			if rulePort(rule.Ports, pod, port) && rulePeers(rule.From, p.Namespace, from) {
				return nil
			}
		}
	}
	return names
}

// rulePort tells whether a rule is for the pod's port behind a Service's.
func rulePort(ports []networkingv1.NetworkPolicyPort, pod *corev1.Pod, to corev1.ServicePort) bool {
	target, protocol := targetOf(pod, to.TargetPort, to.Port), to.Protocol
	if protocol == "" {
		protocol = corev1.ProtocolTCP
	}
	for _, p := range ports {
		switch {
		case p.Protocol != nil && *p.Protocol != protocol, p.Protocol == nil && protocol != corev1.ProtocolTCP:
			continue
		case p.Port == nil:
			return true
		}
		first := targetOf(pod, *p.Port, 0)
		if first == target || p.EndPort != nil && first <= target && target <= *p.EndPort {
			return true
		}
	}
	return len(ports) == 0
}

// targetOf is the number of a pod's port that may be named; otherwise stands
// where nothing is said.
func targetOf(pod *corev1.Pod, port intstr.IntOrString, otherwise int32) int32 {
	if port.Type == intstr.Int {
		if port.IntVal == 0 {
			return otherwise
		}
		return port.IntVal
	}
	for _, c := range pod.Spec.Containers {
		for _, p := range c.Ports {
			if p.Name == port.StrVal {
				return p.ContainerPort
			}
		}
	}
	return -1
}

// rulePeers tells whether a rule lets every proxy in.
func rulePeers(rule []networkingv1.NetworkPolicyPeer, namespace string, from *peers) bool {
	if len(rule) == 0 {
		return true
	}
	for i := range from.pods {
		pod := &from.pods[i]
		if !slices.ContainsFunc(rule, func(p networkingv1.NetworkPolicyPeer) bool { return isPeer(&p, namespace, pod, from) }) {
			return false
		}
	}
	return true
}

// isPeer tells whether a peer of a policy in a namespace names a proxy.
func isPeer(p *networkingv1.NetworkPolicyPeer, namespace string, pod *corev1.Pod, from *peers) bool {
	if p.IPBlock != nil {
		ip, err := netip.ParseAddr(pod.Status.PodIP)
		return err == nil && within(p.IPBlock.CIDR, ip) && !slices.ContainsFunc(p.IPBlock.Except, func(except string) bool { return within(except, ip) })
	}
	if p.NamespaceSelector == nil && namespace != from.namespace {
		return false
	}
	return selects(p.NamespaceSelector, from.namespaceLabels) && selects(p.PodSelector, labels.Set(pod.Labels))
}

func within(cidr string, ip netip.Addr) bool {
	prefix, err := netip.ParsePrefix(cidr)
	return err == nil && prefix.Contains(ip)
}

// selects tells whether a selector names what has the labels; none names all.
func selects(s *metav1.LabelSelector, set labels.Set) bool {
	if s == nil {
		return true
	}
	selector, err := metav1.LabelSelectorAsSelector(s)
	return err == nil && selector.Matches(set)
}
