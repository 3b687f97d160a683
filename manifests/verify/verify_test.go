package main

import (
	"bytes"
	"errors"
	"io"
	"os"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/pod-security-admission/api"
	"k8s.io/pod-security-admission/policy"
	kyaml "sigs.k8s.io/kustomize/kyaml/yaml"
	"sigs.k8s.io/yaml"
)

// pods are the pod templates of a folder's DaemonSets and Deployments, by
// kind and name.
func pods(t *testing.T, folder string) map[string]corev1.PodTemplateSpec {
	t.Helper()
	rendered, err := render(folder)
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]corev1.PodTemplateSpec{}
	documents := kyaml.NewDecoder(bytes.NewReader(rendered))
	for {
		var document kyaml.Node
		if err := documents.Decode(&document); errors.Is(err, io.EOF) {
			return found
		} else if err != nil {
			t.Fatal(err)
		}
		content, err := kyaml.NewRNode(&document).String()
		if err != nil {
			t.Fatal(err)
		}
		var o appsv1.Deployment // a DaemonSet's template stands at the same place
		if err := yaml.Unmarshal([]byte(content), &o); err == nil && (o.Kind == "Deployment" || o.Kind == "DaemonSet") {
			found[o.Kind+"/"+o.Name] = o.Spec.Template
		}
	}
}

// violations are what the restricted level of the newest standard has against
// a pod; empty when it may run.
func violations(t *testing.T, pod corev1.PodTemplateSpec) string {
	t.Helper()
	evaluator, err := policy.NewEvaluator(policy.DefaultChecks(), nil)
	if err != nil {
		t.Fatal(err)
	}
	level := api.LevelVersion{Level: api.LevelRestricted, Version: api.LatestVersion()}
	var against []string
	for _, result := range evaluator.EvaluatePod(level, &pod.ObjectMeta, &pod.Spec) {
		if !result.Allowed {
			against = append(against, result.ForbiddenReason+": "+result.ForbiddenDetail)
		}
	}
	return strings.Join(against, "; ")
}

func TestInstallIsWhatTheBaseRendersTo(t *testing.T) {
	rendered, err := render("..")
	if err != nil {
		t.Fatal(err)
	}
	install, err := os.ReadFile("../install.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(rendered, install) {
		t.Error("install.yaml is old: run `make manifests`")
	}
}

func TestPodsAreRestricted(t *testing.T) {
	for folder, count := range map[string]int{"..": 2, "../examples/canary": 3} {
		templates := pods(t, folder)
		if len(templates) != count {
			t.Errorf("%s has %d pod templates, want %d", folder, len(templates), count)
		}
		for name, pod := range templates {
			if against := violations(t, pod); against != "" {
				t.Errorf("%s: %s", name, against)
			}
		}
	}
}

func TestPodWithAHostPortIsNotRestricted(t *testing.T) {
	pod := pods(t, "..")["DaemonSet/weft-node"]
	pod.Spec.Containers[0].Ports[0].HostPort = 15020
	if violations(t, pod) == "" {
		t.Error("a host port is allowed: the evaluation evaluates nothing")
	}
}
