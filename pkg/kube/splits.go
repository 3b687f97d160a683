package kube

import (
	"context"

	"github.com/weft-mesh/weft/pkg/smi"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/tools/cache"
)

// addSplits adds TrafficSplit, whose CRD may come, go and change.
func (c *Cluster) addSplits() {
	f := c.newFeed(smi.TrafficSplit)
	var current string
	var reflector *cache.Reflector
	f.open = func(ctx context.Context) (*cache.Reflector, error) {
		version, err := c.servedSplits(ctx)
		if err != nil || version == "" {
			return nil, err
		}
		if version != current {
			client := c.config.Dynamic.Resource(smi.TrafficSplitResource(version))
			reflector = f.reflector(c.config.Dynamic, &unstructured.Unstructured{}, lister(client.List), client.Watch)
			current = version
		}
		return reflector, nil
	}
}

// servedSplits is the newest version of TrafficSplit that the API server
// serves, empty for none. It asks for the objects, not for what is served: the
// right to read the objects is one that Weft has anyway.
func (c *Cluster) servedSplits(ctx context.Context) (string, error) {
	for _, version := range smi.TrafficSplitVersions() {
		client := c.config.Dynamic.Resource(smi.TrafficSplitResource(version))
		_, err := client.List(ctx, metav1.ListOptions{Limit: 1})
		switch {
		case err == nil:
			return version, nil
		case !apierrors.IsNotFound(err):
			return "", err
		}
	}
	return "", nil
}
