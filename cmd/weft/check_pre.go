package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"

	authorizationv1 "k8s.io/api/authorization/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// rights asks the API server whether the person may make what is installed.
func (c *checkCommand) rights(ctx context.Context, k *clients) []finding {
	installer, err := newRemover(k, c.Namespace, io.Discard)
	if err != nil {
		return []finding{fails("", "%v", err)}
	}
	var missing []string
	for _, o := range installer.objects {
		group := o.GroupVersionKind().GroupKind()
		mapping, err := installer.mapper.RESTMapping(group, o.GroupVersionKind().Version)
		if err != nil {
			return []finding{fails("upgrade Kubernetes", "this cluster has no %s: %v", group, err)}
		}
		review, err := k.typed.AuthorizationV1().SelfSubjectAccessReviews().Create(ctx, &authorizationv1.SelfSubjectAccessReview{
			Spec: authorizationv1.SelfSubjectAccessReviewSpec{ResourceAttributes: &authorizationv1.ResourceAttributes{
				Verb: "create", Group: mapping.Resource.Group, Resource: mapping.Resource.Resource, Namespace: o.GetNamespace(),
			}},
		}, metav1.CreateOptions{})
		if err != nil {
			return []finding{fails("", "your rights cannot be asked for: %v", err)}
		}
		if name := mapping.Resource.Resource; !review.Status.Allowed && !slices.Contains(missing, name) {
			missing = append(missing, name)
		}
	}
	if len(missing) > 0 {
		return []finding{fails("have somebody install Weft who may, such as a cluster-admin", "you may not create %s", strings.Join(missing, ", "))}
	}
	return []finding{holds("you may create all that is installed")}
}

// corefile looks whether names can be patched in.
func (c *checkCommand) corefile(ctx context.Context, k *clients) []finding {
	statuses, err := c.patcher(k).Status(ctx)
	if err != nil {
		return []finding{fails("Weft patches CoreDNS; see docs/install.md for others", "the cluster's DNS: %v", err)}
	}
	var out []finding
	for _, s := range statuses {
		where := fmt.Sprintf("%s (ConfigMap %s, key %s)", s.Workload, s.ConfigMap, s.Key)
		if s.Err != nil {
			out = append(out, fails("", "%s: %v", where, s.Err))
			continue
		}
		out = append(out, holds("%s can be told of .%s names", where, c.Domain))
	}
	return out
}

// before looks for what an installation would meet.
func (c *checkCommand) before(ctx context.Context, k *clients) []finding {
	namespace, err := k.typed.CoreV1().Namespaces().Get(ctx, c.Namespace, metav1.GetOptions{})
	name, value, _ := strings.Cut(ownLabel, "=")
	switch {
	case apierrors.IsNotFound(err):
		return []finding{holds("there is no namespace %s yet", c.Namespace)}
	case err != nil:
		return []finding{fails("", "namespace %s cannot be read: %v", c.Namespace, err)}
	case namespace.Labels[name] != value:
		return []finding{fails("choose another namespace in an overlay of manifests", "namespace %s is somebody else's: it has no label %s", c.Namespace, ownLabel)}
	}
	return []finding{doubts("weft check without --pre says whether it is whole", "Weft is installed already")}
}
