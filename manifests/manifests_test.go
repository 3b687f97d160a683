package manifests_test

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/yaml"

	"github.com/weft-mesh/weft/manifests"
)

// kinds makes an empty object of each kind that has a type in k8s.io/api.
func kinds() map[string]func() metav1.Object {
	return map[string]func() metav1.Object{
		"v1/Namespace":                                    func() metav1.Object { return &corev1.Namespace{} },
		"v1/Service":                                      func() metav1.Object { return &corev1.Service{} },
		"v1/ServiceAccount":                               func() metav1.Object { return &corev1.ServiceAccount{} },
		"apps/v1/DaemonSet":                               func() metav1.Object { return &appsv1.DaemonSet{} },
		"apps/v1/Deployment":                              func() metav1.Object { return &appsv1.Deployment{} },
		"policy/v1/PodDisruptionBudget":                   func() metav1.Object { return &policyv1.PodDisruptionBudget{} },
		"rbac.authorization.k8s.io/v1/Role":               func() metav1.Object { return &rbacv1.Role{} },
		"rbac.authorization.k8s.io/v1/RoleBinding":        func() metav1.Object { return &rbacv1.RoleBinding{} },
		"rbac.authorization.k8s.io/v1/ClusterRole":        func() metav1.Object { return &rbacv1.ClusterRole{} },
		"rbac.authorization.k8s.io/v1/ClusterRoleBinding": func() metav1.Object { return &rbacv1.ClusterRoleBinding{} },
		// Only their metadata: the API server knows their schema.
		"apiextensions.k8s.io/v1/CustomResourceDefinition": func() metav1.Object { return &metav1.PartialObjectMetadata{} },
		"apiregistration.k8s.io/v1/APIService":             func() metav1.Object { return &metav1.PartialObjectMetadata{} },
		"split.smi-spec.io/v1alpha4/TrafficSplit":          func() metav1.Object { return &metav1.PartialObjectMetadata{} },
	}
}

// decode reads YAML documents into typed objects. An unknown kind, field or
// value fails the test.
func decode(t *testing.T, content []byte) []metav1.Object {
	t.Helper()
	var objects []metav1.Object
	documents := utilyaml.NewYAMLReader(bufio.NewReader(bytes.NewReader(content)))
	for {
		document, err := documents.Read()
		if errors.Is(err, io.EOF) {
			return objects
		}
		if err != nil {
			t.Fatal(err)
		}
		var meta metav1.TypeMeta
		if err := yaml.Unmarshal(document, &meta); err != nil {
			t.Fatal(err)
		}
		empty, known := kinds()[meta.APIVersion+"/"+meta.Kind]
		if !known {
			t.Fatalf("unknown kind %q in\n%s", meta.APIVersion+"/"+meta.Kind, document)
		}
		object := empty()
		unmarshal := yaml.UnmarshalStrict
		if _, partial := object.(*metav1.PartialObjectMetadata); partial {
			unmarshal = yaml.Unmarshal
		}
		if err := unmarshal(document, object); err != nil {
			t.Fatalf("%v in\n%s", err, document)
		}
		objects = append(objects, object)
	}
}

// installed are the objects that install Weft.
func installed(t *testing.T) []metav1.Object { return decode(t, manifests.Install()) }

// only is the one installed object of a type with the name.
func only[T metav1.Object](t *testing.T, name string) T {
	t.Helper()
	for _, object := range installed(t) {
		if typed, ok := object.(T); ok && typed.GetName() == name {
			return typed
		}
	}
	t.Fatalf("no %T %s", *new(T), name)
	panic("unreachable")
}

// templates are the pods of Weft, by the name of what makes them.
func templates(t *testing.T) map[string]corev1.PodTemplateSpec {
	return map[string]corev1.PodTemplateSpec{
		"weft-node":       only[*appsv1.DaemonSet](t, "weft-node").Spec.Template,
		"weft-controller": only[*appsv1.Deployment](t, "weft-controller").Spec.Template,
	}
}

func TestExamplesAndBaseDecodeStrictly(t *testing.T) {
	err := filepath.WalkDir(".", func(path string, _ os.DirEntry, err error) error {
		if err != nil || filepath.Ext(path) != ".yaml" || filepath.Base(path) == "kustomization.yaml" {
			return err
		}
		content, err := os.ReadFile(path)
		if len(decode(t, content)) == 0 {
			t.Errorf("%s holds nothing", path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestEverythingIsLabelledAndAtHome(t *testing.T) {
	for _, object := range installed(t) {
		name, namespace := object.GetName(), object.GetNamespace()
		if object.GetLabels()["app.kubernetes.io/part-of"] != "weft" {
			t.Errorf("%T %s is not labelled as part of weft", object, name)
		}
		switch object.(type) {
		case *rbacv1.Role, *rbacv1.RoleBinding:
			if namespace != "weft" && namespace != "kube-system" {
				t.Errorf("%T %s is in namespace %q", object, name, namespace)
			}
		case *corev1.Namespace, *rbacv1.ClusterRole, *rbacv1.ClusterRoleBinding, *metav1.PartialObjectMetadata:
			if namespace != "" {
				t.Errorf("%T %s is in namespace %q", object, name, namespace)
			}
		default:
			if namespace != "weft" {
				t.Errorf("%T %s is in namespace %q", object, name, namespace)
			}
		}
	}
}

func TestInstallBelongsToTheCaller(t *testing.T) {
	first := manifests.Install()
	clear(first)
	if !strings.HasPrefix(string(manifests.Install()), "apiVersion: v1\nkind: Namespace\n") {
		t.Error("editing what Install gave edits what it gives next, or the namespace is not first")
	}
}
