package cluster

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/weft-mesh/weft/pkg/dnspatch"
)

const (
	customConfigMap = "coredns-custom" // AKS, k3s
	nodeLocal       = "node-local-dns" // the name of its ConfigMap and the value of its label
)

// place is one key of one ConfigMap in which Weft has a say.
type place struct {
	source
	reader workload      // whose pods read it
	info   dnspatch.Info // of the reader's Corefile
	// want gives the right text for the one that is there.
	want func(have string) (string, error)
	// own is whether the whole key is Weft's, so that "" means that it is gone.
	own bool
	// stale is whether nothing of Weft belongs here any more.
	stale bool
	// changedAt is the value of that annotation, known after ensure.
	changedAt string
}

// restarts reports whether the reader needs a restart to see a change.
func (pl place) restarts() bool {
	return pl.reader.resource != "" && (!pl.info.Reload || pl.fixed)
}

// places are all places of the cluster, without those that the errors hide.
func (p *Patcher) places(ctx context.Context) ([]place, []error) {
	var all []place
	var errs []error
	found, err := p.findCoreDNS(ctx)
	if err != nil {
		errs = append(errs, err)
	}
	names := p.cfg.Names
	for _, c := range found {
		some, err := p.placesOf(ctx, c)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		all = append(all, some...)
		names.ClusterDomain = cmp.Or(names.ClusterDomain, some[0].info.ClusterDomain)
	}
	local, err := p.nodeLocal(ctx, names)
	if err != nil {
		errs = append(errs, err)
	}
	return append(all, local...), errs
}

// placesOf are the places of one CoreDNS; the first is its Corefile.
func (p *Patcher) placesOf(ctx context.Context, c coreDNS) ([]place, error) {
	text, err := p.text(ctx, c.corefile)
	if err != nil {
		return nil, err
	}
	// A Corefile that cannot be read is told by the edit, with the same error.
	info, _ := dnspatch.Inspect(text)
	names := p.cfg.Names
	corefile := place{source: c.corefile, reader: c.workload, info: info}
	corefile.want = func(have string) (string, error) { return dnspatch.Apply(have, names) }
	override, ok := c.override(info.OverrideDir)
	if !ok {
		return append([]place{corefile}, staleCustom(corefile)...), nil
	}
	corefile.stale, corefile.want = true, dnspatch.Remove
	names.ClusterDomain = cmp.Or(names.ClusterDomain, info.ClusterDomain)
	custom := place{source: override, reader: c.workload, info: info, own: true}
	custom.want = func(string) (string, error) { return dnspatch.Override(names) }
	return []place{corefile, custom}, nil
}

// staleCustom is the key that an earlier Ensure wrote into coredns-custom, when
// the Corefile no longer imports it.
func staleCustom(corefile place) []place {
	mounted := slices.ContainsFunc(corefile.reader.pod.Volumes, func(v corev1.Volume) bool {
		return v.ConfigMap != nil && v.ConfigMap.Name == customConfigMap
	})
	if !mounted || corefile.configMap == customConfigMap {
		return nil
	}
	custom := corefile
	custom.source = source{configMap: customConfigMap, key: dnspatch.OverrideFile, optional: true}
	custom.own, custom.stale = true, true
	custom.want = func(string) (string, error) { return "", nil }
	return []place{custom}
}

// nodeLocal is the place of node-local-dns, if the cluster has one.
func (p *Patcher) nodeLocal(ctx context.Context, names dnspatch.Config) ([]place, error) {
	s := source{configMap: nodeLocal, key: "Corefile"}
	text, err := p.text(ctx, s)
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	readers, err := p.list(ctx, "k8s-app="+nodeLocal)
	if err != nil {
		return nil, err
	}
	info, _ := dnspatch.Inspect(text)
	pl := place{source: s, info: info}
	pl.want = func(have string) (string, error) { return dnspatch.ApplyNodeLocal(have, names) }
	if len(readers) > 0 {
		pl.reader = readers[0]
	}
	return []place{pl}, nil
}

// text is what stands in a key that must be there.
func (p *Patcher) text(ctx context.Context, s source) (string, error) {
	cm, err := p.get(ctx, s.configMap)
	if err != nil {
		return "", err
	}
	text, ok := cm.Data[s.key]
	if !ok {
		return "", fmt.Errorf("ConfigMap %s in %s has no key %s", s.configMap, p.cfg.System, s.key)
	}
	return text, nil
}

// get reads a ConfigMap.
func (p *Patcher) get(ctx context.Context, name string) (*corev1.ConfigMap, error) {
	cm, err := p.cfg.Client.CoreV1().ConfigMaps(p.cfg.System).Get(ctx, name, metav1.GetOptions{})
	return cm, p.explain(err, "get", "configmaps", name)
}
