package main

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/client-go/discovery/cached/memory"
	"k8s.io/client-go/restmapper"

	"github.com/weft-mesh/weft/manifests"
	"github.com/weft-mesh/weft/pkg/dnspatch/cluster"
	"github.com/weft-mesh/weft/pkg/guard"
	"github.com/weft-mesh/weft/pkg/shadow"
)

// uninstallCommand is `weft uninstall`: everything gone, the Corefile as it was.
type uninstallCommand struct {
	Kubeconfig string        `description:"The kubeconfig file; by default KUBECONFIG, ~/.kube/config or the pod's own service account."`
	Namespace  string        `description:"Weft's own namespace."`
	Timeout    time.Duration `description:"How long to wait until everything is gone."`
}

func newUninstall() runner { return &uninstallCommand{Namespace: "weft", Timeout: 2 * time.Minute} }

// Run removes Weft in the order in which nothing writes anything back: the
// metrics API, which must not stand without its server, the controller, the DNS
// patch, what the controller wrote, what was installed.
func (c *uninstallCommand) Run(ctx context.Context, out io.Writer) error {
	if err := cmp.Or(checkNamespace(c.Namespace), checkDuration("timeout", c.Timeout, time.Second)); err != nil {
		return err
	}
	k, err := connect(c.Kubeconfig)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, c.Timeout)
	defer cancel()
	remover, err := newRemover(k, c.Namespace, out)
	if err != nil {
		return err
	}
	if err := remover.own(ctx); err != nil {
		return err
	}
	for _, step := range []struct {
		does string
		run  func(context.Context) error
	}{
		{"the metrics API", remover.metricsAPI},
		{"the controller", remover.controller},
		{"the DNS patch", cluster.New(cluster.Config{Client: k.typed}).Remove},
		{"shadow Services and mesh names", func(ctx context.Context) error { return shadow.RemoveAll(ctx, k.typed, c.Namespace) }},
		{"guards", func(ctx context.Context) error { return guard.RemoveAll(ctx, k.typed) }},
		{"everything that was installed", remover.installed},
	} {
		if err := step.run(ctx); err != nil {
			return fmt.Errorf("removing %s: %w", step.does, err)
		}
		fmt.Fprintln(out, "✓ removed", step.does)
	}
	return nil
}

// remover deletes the objects of install.yaml.
type remover struct {
	clients   *clients
	namespace string
	out       io.Writer
	mapper    meta.RESTMapper
	objects   []*unstructured.Unstructured
}

func newRemover(k *clients, namespace string, out io.Writer) (*remover, error) {
	r := &remover{clients: k, namespace: namespace, out: out}
	r.mapper = restmapper.NewDeferredDiscoveryRESTMapper(memory.NewMemCacheClient(k.typed.Discovery()))
	decoder := yaml.NewYAMLOrJSONDecoder(bytes.NewReader(manifests.Install()), 4096)
	for {
		o := &unstructured.Unstructured{}
		if err := decoder.Decode(&o.Object); errors.Is(err, io.EOF) {
			return r, nil
		} else if err != nil {
			return nil, fmt.Errorf("install.yaml: %w", err)
		}
		r.objects = append(r.objects, o)
	}
}

// ownLabel is on the namespace that install.yaml makes, whatever its name.
const ownLabel = "app.kubernetes.io/name=weft"

// own refuses a namespace that is somebody else's, for it would be deleted with
// all that is in it; and one that is not there while Weft is in another. One
// that is gone everywhere is fine: the rest of Weft may still be there.
func (r *remover) own(ctx context.Context) error {
	namespaces := r.clients.typed.CoreV1().Namespaces()
	ours, err := namespaces.List(ctx, metav1.ListOptions{LabelSelector: ownLabel})
	if err != nil {
		return fmt.Errorf("looking for Weft's namespace: %w", err)
	}
	var names []string
	for i := range ours.Items {
		names = append(names, ours.Items[i].Name)
	}
	if slices.Contains(names, r.namespace) {
		return nil
	}
	_, err = namespaces.Get(ctx, r.namespace, metav1.GetOptions{})
	switch {
	case err == nil:
		return usageError("--namespace=%s: that namespace is not Weft's, it has no label %s; nothing was removed", r.namespace, ownLabel)
	case !apierrors.IsNotFound(err):
		return fmt.Errorf("looking for Weft's namespace: %w", err)
	case len(names) > 0:
		return usageError("--namespace=%s: there is no such namespace, Weft is in %s; nothing was removed", r.namespace, strings.Join(names, ", "))
	}
	return nil
}

// metricsAPI deletes the APIServices: one that nobody serves keeps namespaces
// from being deleted.
func (r *remover) metricsAPI(ctx context.Context) error {
	for _, o := range r.objects {
		if o.GetKind() == "APIService" {
			if err := r.delete(ctx, o); err != nil {
				return err
			}
		}
	}
	return nil
}

// controller deletes the controllers and waits for their pods: one that is
// still there would write everything again.
func (r *remover) controller(ctx context.Context) error {
	deployments := r.clients.typed.AppsV1().Deployments(r.namespace)
	foreground := metav1.DeletePropagationForeground
	err := deployments.Delete(ctx, "weft-controller", metav1.DeleteOptions{PropagationPolicy: &foreground})
	if err != nil && !apierrors.IsNotFound(err) {
		return err
	}
	pods := r.clients.typed.CoreV1().Pods(r.namespace)
	return r.until(ctx, "the controllers have ended", func(ctx context.Context) (bool, error) {
		list, err := pods.List(ctx, metav1.ListOptions{LabelSelector: "app.kubernetes.io/name=weft-controller"})
		return err == nil && len(list.Items) == 0, err
	})
}

// installed deletes what install.yaml holds, the last first. What lies in
// Weft's namespace goes with it. The definition of a kind is kept while
// somebody's objects of that kind are left: they would be deleted with it.
func (r *remover) installed(ctx context.Context) error {
	var failed []error
	for _, o := range slices.Backward(r.objects) {
		if o.GetNamespace() != r.installedNamespace() {
			failed = append(failed, r.delete(ctx, o))
		}
	}
	if err := errors.Join(failed...); err != nil {
		return err
	}
	namespaces := r.clients.typed.CoreV1().Namespaces()
	return r.until(ctx, "namespace "+r.namespace+" is gone", func(ctx context.Context) (bool, error) {
		_, err := namespaces.Get(ctx, r.namespace, metav1.GetOptions{})
		if apierrors.IsNotFound(err) {
			return true, nil
		}
		return false, err
	})
}

// installedNamespace is the namespace that install.yaml writes to.
func (r *remover) installedNamespace() string {
	for _, o := range r.objects {
		if o.GetKind() == "Namespace" {
			return o.GetName()
		}
	}
	return r.namespace
}

func (r *remover) delete(ctx context.Context, o *unstructured.Unstructured) error {
	name := o.GetName()
	if o.GetKind() == "Namespace" {
		name = r.namespace
	}
	if o.GetKind() == "CustomResourceDefinition" {
		if left, err := r.left(ctx, o); err != nil || left > 0 {
			fmt.Fprintf(r.out, "kept the definition of %s: %d objects are left; without them: kubectl delete crd %s\n", o.GetName(), left, name)
			return err
		}
	}
	mapping, err := r.mapper.RESTMapping(o.GroupVersionKind().GroupKind(), o.GroupVersionKind().Version)
	if err != nil {
		return fmt.Errorf("%s %s: %w", o.GetKind(), name, err)
	}
	err = r.clients.dynamic.Resource(mapping.Resource).Namespace(o.GetNamespace()).Delete(ctx, name, metav1.DeleteOptions{})
	if err != nil && !apierrors.IsNotFound(err) {
		return fmt.Errorf("%s %s: %w", o.GetKind(), name, err)
	}
	return nil
}

// left counts the objects of the kind that a CustomResourceDefinition defines.
func (r *remover) left(ctx context.Context, crd *unstructured.Unstructured) (int, error) {
	group, _, _ := unstructured.NestedString(crd.Object, "spec", "group")
	plural, _, _ := unstructured.NestedString(crd.Object, "spec", "names", "plural")
	versions, _, _ := unstructured.NestedSlice(crd.Object, "spec", "versions")
	for _, v := range versions {
		version, _, _ := unstructured.NestedString(v.(map[string]any), "name")
		list, err := r.clients.dynamic.Resource(schema.GroupVersionResource{Group: group, Version: version, Resource: plural}).List(ctx, metav1.ListOptions{})
		if apierrors.IsNotFound(err) {
			continue // not served, perhaps not installed
		}
		if err != nil {
			return 0, err
		}
		return len(list.Items), nil
	}
	return 0, nil
}

// until repeats a check each second until it holds, saying what it waits for.
func (r *remover) until(ctx context.Context, what string, holds wait.ConditionWithContextFunc) error {
	waiting := progress{out: r.out}
	return waiting.until(ctx, func(ctx context.Context) (string, error) {
		if done, err := holds(ctx); done || err != nil {
			return "", err
		}
		return "waiting until " + what, nil
	})
}
