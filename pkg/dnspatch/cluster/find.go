package cluster

import (
	"context"
	"fmt"
	"path"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/weft-mesh/weft/pkg/dnspatch"
)

// selectors find CoreDNS, the surest first: the first that finds a workload
// with a Corefile decides, as the later ones also match a CoreDNS that somebody
// runs for other purposes.
func selectors() []string {
	return []string{"k8s-app=kube-dns", "app.kubernetes.io/name=coredns", "kubernetes.io/name=CoreDNS"}
}

// workload is a Deployment or DaemonSet as far as it concerns the patch.
type workload struct {
	resource    string // "apps/deployments", "apps/daemonsets", "" for none
	name        string
	annotations map[string]string // of the pod template
	pod         corev1.PodSpec
}

// String is such as "deployments coredns".
func (w workload) String() string {
	return strings.TrimPrefix(w.resource+" "+w.name, "apps/")
}

// list gives the Deployments and DaemonSets of the namespace with the label.
func (p *Patcher) list(ctx context.Context, selector string) ([]workload, error) {
	apps, options := p.cfg.Client.AppsV1(), metav1.ListOptions{LabelSelector: selector}
	deployments, err := apps.Deployments(p.cfg.System).List(ctx, options)
	if err != nil {
		return nil, p.explain(err, "list", "apps/deployments", "")
	}
	daemons, err := apps.DaemonSets(p.cfg.System).List(ctx, options)
	if err != nil {
		return nil, p.explain(err, "list", "apps/daemonsets", "")
	}
	var all []workload
	for _, d := range deployments.Items {
		all = append(all, newWorkload("apps/deployments", d.Name, d.Spec.Template))
	}
	for _, d := range daemons.Items {
		all = append(all, newWorkload("apps/daemonsets", d.Name, d.Spec.Template))
	}
	return all, nil
}

func newWorkload(resource, name string, template corev1.PodTemplateSpec) workload {
	return workload{resource, name, template.Annotations, template.Spec}
}

// coreDNS is a workload and where its Corefile comes from.
type coreDNS struct {
	workload
	container corev1.Container
	path      string // of the Corefile inside the container
	corefile  source
}

// findCoreDNS gives the workloads that serve the cluster's DNS; never none.
func (p *Patcher) findCoreDNS(ctx context.Context) ([]coreDNS, error) {
	for _, selector := range selectors() {
		all, err := p.list(ctx, selector)
		if err != nil {
			return nil, err
		}
		var found []coreDNS
		for _, w := range all {
			if c, ok := withCorefile(w); ok {
				found = append(found, c)
			}
		}
		if len(found) > 0 {
			return found, nil
		}
	}
	return nil, fmt.Errorf("%w in %s", ErrNoCoreDNS, p.cfg.System)
}

// withCorefile looks for a container that mounts the file its flag -conf names.
func withCorefile(w workload) (coreDNS, bool) {
	for _, c := range w.pod.Containers {
		file := corefilePath(c)
		if s, ok := sourceOf(w.pod, c, file); ok {
			return coreDNS{w, c, file, s}, true
		}
	}
	return coreDNS{}, false
}

// corefilePath is the value of -conf, or CoreDNS's default.
func corefilePath(c corev1.Container) string {
	file := confFlag(slices.Concat(c.Command, c.Args))
	if !path.IsAbs(file) {
		file = path.Join("/", c.WorkingDir, file)
	}
	return path.Clean(file)
}

// confFlag is the value of the flag -conf on a command line.
func confFlag(words []string) string {
	for i, word := range words {
		name, value, inline := strings.Cut(word, "=")
		if strings.TrimLeft(name, "-") != "conf" || !strings.HasPrefix(name, "-") {
			continue
		}
		if !inline && i+1 < len(words) {
			value = words[i+1]
		}
		return value
	}
	return "Corefile"
}

// override is where a file for the imports of the Corefile in dir comes from.
func (c coreDNS) override(dir string) (source, bool) {
	if dir == "" {
		return source{}, false
	}
	if !path.IsAbs(dir) {
		dir = path.Join(path.Dir(c.path), dir)
	}
	return sourceOf(c.pod, c.container, path.Join(dir, dnspatch.OverrideFile))
}

// source is the key of a ConfigMap that a file in a container comes from.
type source struct {
	configMap, key string
	fixed          bool // mounted by subPath: running pods never see a change
	optional       bool // the ConfigMap need not exist
}

// sourceOf tells where a file in the container comes from, if a ConfigMap.
func sourceOf(pod corev1.PodSpec, c corev1.Container, file string) (source, bool) {
	mount, rest := corev1.VolumeMount{}, ""
	for _, m := range c.VolumeMounts {
		below, ok := strings.CutPrefix(file, strings.TrimSuffix(path.Clean(m.MountPath), "/"))
		if ok && (below == "" || below[0] == '/') && len(m.MountPath) > len(mount.MountPath) {
			mount, rest = m, path.Join(m.SubPath, below)
		}
	}
	i := slices.IndexFunc(pod.Volumes, func(v corev1.Volume) bool { return v.Name == mount.Name })
	if i < 0 || pod.Volumes[i].ConfigMap == nil {
		return source{}, false
	}
	volume := pod.Volumes[i].ConfigMap
	s := source{configMap: volume.Name, key: strings.TrimPrefix(rest, "/"), fixed: mount.SubPath != ""}
	s.optional = volume.Optional != nil && *volume.Optional
	if len(volume.Items) == 0 {
		return s, s.key != "" && !strings.Contains(s.key, "/")
	}
	i = slices.IndexFunc(volume.Items, func(item corev1.KeyToPath) bool { return path.Clean(item.Path) == s.key })
	if i < 0 {
		return source{}, false
	}
	s.key = volume.Items[i].Key
	return s, true
}
