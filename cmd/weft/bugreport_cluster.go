package main

import (
	"cmp"
	"context"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/yaml"

	"github.com/weft-mesh/weft/pkg/dnspatch/cluster"
)

// kindOf is a kind of objects in one namespace, or in all.
type kindOf struct {
	schema.GroupVersionResource
	namespace string
}

// reported are the objects that go into a report: Weft's own, and what it reads
// but for the pods and endpoints of others, which the proxies' tables show.
func reported(namespace string) []kindOf {
	own := func(group, version, resource string) kindOf {
		return kindOf{schema.GroupVersionResource{Group: group, Version: version, Resource: resource}, namespace}
	}
	all := func(group, version, resource string) kindOf {
		return kindOf{schema.GroupVersionResource{Group: group, Version: version, Resource: resource}, ""}
	}
	return []kindOf{
		own("apps", "v1", "daemonsets"), own("apps", "v1", "deployments"), own("", "v1", "pods"), own("", "v1", "services"),
		own("discovery.k8s.io", "v1", "endpointslices"), own("", "v1", "events"), own("coordination.k8s.io", "v1", "leases"),
		all("", "v1", "namespaces"), all("", "v1", "nodes"), all("", "v1", "services"), all("networking.k8s.io", "v1", "networkpolicies"),
		all("split.smi-spec.io", "v1alpha4", "trafficsplits"), all("access.smi-spec.io", "v1alpha3", "traffictargets"),
		all("specs.smi-spec.io", "v1alpha4", "httproutegroups"), all("specs.smi-spec.io", "v1alpha4", "tcproutes"),
		all("specs.smi-spec.io", "v1alpha4", "udproutes"),
	}
}

// logLines is how many of its last lines a container's log is cut to.
const logLines = 2000

// cluster adds objects, logs and the DNS configuration. Secrets are never read.
func (c *bugreportCommand) cluster(ctx context.Context, a *archive) {
	k, err := connect(c.Kubeconfig)
	if err != nil {
		a.add("cluster", nil, err)
		return
	}
	version, err := k.typed.Discovery().ServerVersion()
	if err == nil {
		a.add("cluster/version.txt", []byte(version.GitVersion+"\n"), nil)
	}
	for _, r := range reported(c.Namespace) {
		c.objects(ctx, a, k, r)
	}
	statuses, err := cluster.New(cluster.Config{Client: k.typed}).Status(ctx)
	for _, s := range statuses {
		c.corefile(ctx, a, k, s.ConfigMap)
	}
	if err != nil {
		a.add("cluster/dns", nil, err)
	}
	c.logs(ctx, a, k)
}

// objects adds all of a kind, trimmed.
func (c *bugreportCommand) objects(ctx context.Context, a *archive, k *clients, r kindOf) {
	name := "cluster/" + cmp.Or(r.namespace, "all") + "-" + r.Resource + ".yaml"
	a.tell("waiting for " + name)
	ctx, cancel := context.WithTimeout(ctx, c.Timeout)
	defer cancel()
	list, err := k.dynamic.Resource(r.GroupVersionResource).Namespace(r.namespace).List(ctx, metav1.ListOptions{})
	if err != nil {
		a.add(name, nil, err)
		return
	}
	for i := range list.Items {
		trim(&list.Items[i])
	}
	text, err := yaml.Marshal(list.Items)
	a.add(name, text, err)
}

// trim takes out what says nothing and what may hold secrets: the managed
// fields, annotations that repeat the object, the values of environment variables.
func trim(o *unstructured.Unstructured) {
	o.SetManagedFields(nil)
	unstructured.RemoveNestedField(o.Object, "metadata", "annotations", corev1.LastAppliedConfigAnnotation)
	blotEnv(o.Object)
}

func blotEnv(v any) {
	switch v := v.(type) {
	case map[string]any:
		for key, value := range v {
			if variables, ok := value.([]any); ok && key == "env" {
				for _, one := range variables {
					if one, ok := one.(map[string]any); ok && one["value"] != nil {
						one["value"] = "[left out]"
					}
				}
			}
			blotEnv(value)
		}
	case []any:
		for _, one := range v {
			blotEnv(one)
		}
	}
}

func (c *bugreportCommand) corefile(ctx context.Context, a *archive, k *clients, name string) {
	m, err := k.typed.CoreV1().ConfigMaps(metav1.NamespaceSystem).Get(ctx, name, metav1.GetOptions{})
	var text []byte
	if err == nil {
		text, err = yaml.Marshal(m.Data)
	}
	a.add("cluster/dns-"+name+".yaml", text, err)
}

// logs adds the end of the log of each of Weft's containers, and of the one
// before where it was started again.
func (c *bugreportCommand) logs(ctx context.Context, a *archive, k *clients) {
	pods, err := k.typed.CoreV1().Pods(c.Namespace).List(ctx, metav1.ListOptions{})
	if err != nil {
		a.add("logs", nil, err)
		return
	}
	lines := int64(logLines)
	for i := range pods.Items {
		pod := &pods.Items[i]
		for _, status := range pod.Status.ContainerStatuses {
			for suffix, previous := range map[string]bool{".log": false, ".previous.log": true} {
				if previous && status.RestartCount == 0 {
					continue
				}
				name := "logs/" + pod.Name + "-" + status.Name + suffix
				a.tell("waiting for " + name)
				read, cancel := context.WithTimeout(ctx, c.Timeout)
				text, err := k.typed.CoreV1().Pods(c.Namespace).GetLogs(pod.Name, &corev1.PodLogOptions{
					Container: status.Name, Previous: previous, TailLines: &lines,
				}).DoRaw(read)
				cancel()
				a.add(name, text, err)
			}
		}
	}
}
