package main

import (
	"context"
	"fmt"
	"io"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// installCommand is `weft install`: what `kubectl apply` does with install.yaml,
// from this binary alone.
type installCommand struct {
	Kubeconfig string        `description:"The kubeconfig file; by default KUBECONFIG, ~/.kube/config or the pod's own service account."`
	Wait       time.Duration `description:"How long to wait until everything is ready, showing what is waited for; 0 does not wait."`
}

func newInstall() runner { return &installCommand{Wait: 2 * time.Minute} }

// Run applies the objects in their order, and waits for what they bring about.
func (c *installCommand) Run(ctx context.Context, out io.Writer) error {
	if err := checkDuration("wait", c.Wait, 0); err != nil {
		return err
	}
	k, err := connect(c.Kubeconfig)
	if err != nil {
		return err
	}
	installer, err := newRemover(k, "weft", out)
	if err != nil {
		return err
	}
	for _, o := range installer.objects {
		if err := installer.apply(ctx, o); err != nil {
			return fmt.Errorf("%s %s: %w", o.GetKind(), o.GetName(), err)
		}
	}
	fmt.Fprintf(out, "✓ applied %d objects\n", len(installer.objects))
	if c.Wait == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, c.Wait)
	defer cancel()
	check := &checkCommand{Asking: Asking{Namespace: "weft"}}
	for _, part := range []struct {
		name  string
		check func(context.Context, *clients) []finding
	}{{"controller", check.controller}, {"node proxies", check.nodes}} {
		waiting := progress{out: out}
		if err := waiting.until(ctx, func(ctx context.Context) (string, error) {
			return firstFailure(part.check(ctx, k)), nil
		}); err != nil {
			return err
		}
		fmt.Fprintln(out, "✓ ready:", part.name)
	}
	return nil
}

// firstFailure is the text of what does not hold, empty for nothing.
func firstFailure(findings []finding) string {
	for _, f := range findings {
		if !f.ok {
			return f.text
		}
	}
	return ""
}

// manager is whose fields those of install.yaml are (server-side apply).
const manager = "weft-install"

// apply makes an object as install.yaml has it, once its namespace is there.
func (r *remover) apply(ctx context.Context, o *unstructured.Unstructured) error {
	waiting := progress{out: r.out}
	return waiting.until(ctx, func(ctx context.Context) (string, error) {
		mapping, err := r.mapper.RESTMapping(o.GroupVersionKind().GroupKind(), o.GroupVersionKind().Version)
		if meta.IsNoMatchError(err) {
			return "", fmt.Errorf("this cluster does not know the kind: %w", err)
		}
		if err != nil {
			return "", err
		}
		_, err = r.clients.dynamic.Resource(mapping.Resource).Namespace(o.GetNamespace()).
			Apply(ctx, o.GetName(), o, metav1.ApplyOptions{FieldManager: manager, Force: true})
		if apierrors.IsNotFound(err) {
			return "waiting until namespace " + o.GetNamespace() + " is there", nil
		}
		return "", err
	})
}
