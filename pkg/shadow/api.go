package shadow

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	typedcorev1 "k8s.io/client-go/kubernetes/typed/core/v1"
	typeddiscoveryv1 "k8s.io/client-go/kubernetes/typed/discovery/v1"

	"github.com/weft-mesh/weft/pkg/mesh"
	"github.com/weft-mesh/weft/pkg/reconcile"
)

// api writes to Weft's namespace. The caches that it is told from may be old:
// where the server says so, it looks at what really stands and tries once more.
type api struct {
	services typedcorev1.ServiceInterface
	slices   typeddiscoveryv1.EndpointSliceInterface
	written  *atomic.Uint64
}

func newAPI(client kubernetes.Interface, namespace string, written *atomic.Uint64) api {
	return api{
		services: client.CoreV1().Services(namespace),
		slices:   client.DiscoveryV1().EndpointSlices(namespace),
		written:  written,
	}
}

// service makes a Service stand as wanted and returns it.
func (a api) service(ctx context.Context, have, want *corev1.Service) (*corev1.Service, error) {
	out, err := a.writeService(ctx, have, want)
	if !reconcile.Outdated(err) {
		return out, err
	}
	have, readErr := a.services.Get(ctx, want.Name, metav1.GetOptions{})
	switch {
	case apierrors.IsNotFound(readErr):
		have = nil
	case readErr != nil:
		return nil, errors.Join(err, readErr)
	case !managed(have):
		return nil, reconcile.ErrTaken
	}
	return a.writeService(ctx, have, want)
}

func (a api) writeService(ctx context.Context, have, want *corev1.Service) (*corev1.Service, error) {
	if have != nil && replaced(have, want) {
		if err := a.deleteService(ctx, have); err != nil {
			return nil, err
		}
		have = nil
	}
	if have == nil {
		a.written.Add(1)
		return a.services.Create(ctx, want, metav1.CreateOptions{})
	}
	next := merge(have, want)
	if next == nil {
		return have, nil
	}
	a.written.Add(1)
	return a.services.Update(ctx, next, metav1.UpdateOptions{})
}

// slice makes an EndpointSlice stand as wanted.
func (a api) slice(ctx context.Context, have, want *discoveryv1.EndpointSlice) error {
	err := a.writeSlice(ctx, have, want)
	if !reconcile.Outdated(err) {
		return err
	}
	have, readErr := a.slices.Get(ctx, want.Name, metav1.GetOptions{})
	switch {
	case apierrors.IsNotFound(readErr):
		have = nil
	case readErr != nil:
		return errors.Join(err, readErr)
	case !managedSlice(have):
		return reconcile.ErrTaken
	}
	return a.writeSlice(ctx, have, want)
}

func (a api) writeSlice(ctx context.Context, have, want *discoveryv1.EndpointSlice) error {
	if have != nil && have.AddressType != want.AddressType {
		if err := a.deleteSlice(ctx, have); err != nil {
			return err
		}
		have = nil
	}
	var err error
	if have == nil {
		a.written.Add(1)
		_, err = a.slices.Create(ctx, want, metav1.CreateOptions{})
	} else if next := mergeSlice(have, want); next != nil {
		a.written.Add(1)
		_, err = a.slices.Update(ctx, next, metav1.UpdateOptions{})
	}
	return err
}

// deleteService deletes a Service exactly as it was seen: not one that somebody
// has edited since, perhaps to make it his own.
func (a api) deleteService(ctx context.Context, svc *corev1.Service) error {
	a.written.Add(1)
	return reconcile.IgnoreNotFound(a.services.Delete(ctx, svc.Name, reconcile.Exactly(&svc.ObjectMeta)))
}

func (a api) deleteSlice(ctx context.Context, s *discoveryv1.EndpointSlice) error {
	a.written.Add(1)
	return reconcile.IgnoreNotFound(a.slices.Delete(ctx, s.Name, reconcile.Exactly(&s.ObjectMeta)))
}

// RemoveAll deletes every Service and EndpointSlice of Weft's from its
// namespace, for an uninstall. It deletes as much as it can and returns what
// failed. The controller must be gone before, or it writes them again.
func RemoveAll(ctx context.Context, client kubernetes.Interface, namespace string) error {
	ours := func(label string) metav1.ListOptions {
		return metav1.ListOptions{LabelSelector: label + "=" + mesh.ManagedBy}
	}
	var failed []error
	services := client.CoreV1().Services(namespace)
	list, err := services.List(ctx, ours(mesh.LabelManagedBy))
	if err != nil {
		return fmt.Errorf("listing shadow Services: %w", err)
	}
	for i := range list.Items {
		failed = append(failed, reconcile.IgnoreNotFound(services.Delete(ctx, list.Items[i].Name, metav1.DeleteOptions{})))
	}
	slices := client.DiscoveryV1().EndpointSlices(namespace)
	names, err := slices.List(ctx, ours(discoveryv1.LabelManagedBy))
	if err != nil {
		return errors.Join(append(failed, fmt.Errorf("listing name slices: %w", err))...)
	}
	for i := range names.Items {
		failed = append(failed, reconcile.IgnoreNotFound(slices.Delete(ctx, names.Items[i].Name, metav1.DeleteOptions{})))
	}
	return errors.Join(failed...)
}
