package reconcile

import (
	"context"
	"testing"

	"github.com/rs/zerolog"
	"github.com/weft-mesh/weft/pkg/mesh"
	"go.uber.org/goleak"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// A job that fails is put off and told when it is the author's; the others are
// done; a job that nobody wants any more is forgotten.
func TestAFailureStopsNoOther(t *testing.T) {
	w := NewWriter("test", zerolog.Nop())
	tried, done := 0, 0
	refused := apierrors.NewInvalid(corev1.SchemeGroupVersion.WithKind("Service").GroupKind(), "1shop", nil)
	jobs := []Job{
		{ID: "bad", About: mesh.Ref{Kind: "Namespace", Name: "1shop"}, Do: func(context.Context) error { tried++; return refused }},
		{ID: "good", Do: func(context.Context) error { done++; return nil }},
	}
	for range 2 {
		w.Begin()
		for _, j := range jobs {
			w.Run(t.Context(), []Job{j})
		}
	}
	problems, again := w.End()
	if tried != 1 || done != 2 || again <= 0 || again > firstDelay {
		t.Errorf("tried %d, done %d, again in %v", tried, done, again)
	}
	if len(problems) != 1 || problems[0].Reason != NotWritten || problems[0].Object.Name != "1shop" {
		t.Errorf("problems %v", problems)
	}
	w.Begin()
	if problems, again := w.End(); len(problems) > 0 || again != 0 {
		t.Errorf("not forgotten: %v, %v", problems, again)
	}
}
