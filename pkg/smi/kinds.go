package smi

import "k8s.io/apimachinery/pkg/runtime/schema"

// SplitGroup is the API group of TrafficSplit.
const SplitGroup = "split.smi-spec.io"

// TrafficSplit is the kind of a split, trafficsplits its resource.
const (
	TrafficSplit         = "TrafficSplit"
	trafficSplitResource = "trafficsplits"
)

// TrafficSplitVersions are the versions of TrafficSplit that Weft reads, newest
// first.
func TrafficSplitVersions() []string {
	return []string{"v1alpha4", "v1alpha3", "v1alpha2", "v1alpha1"}
}

// TrafficSplitResource is the resource of TrafficSplit in one version.
func TrafficSplitResource(version string) schema.GroupVersionResource {
	return schema.GroupVersionResource{Group: SplitGroup, Version: version, Resource: trafficSplitResource}
}
