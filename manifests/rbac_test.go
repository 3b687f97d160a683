package manifests_test

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// rights writes out who may do what, a line for each role, rule and binding.
func rights(objects []metav1.Object) string {
	var b strings.Builder
	for _, object := range objects {
		switch o := object.(type) {
		case *rbacv1.ClusterRole:
			fmt.Fprintf(&b, "ClusterRole %s\n%s", o.Name, rules(o.Rules))
		case *rbacv1.Role:
			fmt.Fprintf(&b, "Role %s/%s\n%s", o.Namespace, o.Name, rules(o.Rules))
		case *rbacv1.ClusterRoleBinding:
			fmt.Fprintf(&b, "everywhere: %s %s to %s\n\n", o.RoleRef.Kind, o.RoleRef.Name, subjects(o.Subjects))
		case *rbacv1.RoleBinding:
			fmt.Fprintf(&b, "in %s: %s %s to %s\n\n", o.Namespace, o.RoleRef.Kind, o.RoleRef.Name, subjects(o.Subjects))
		}
	}
	return b.String()
}

// rules writes a line for each resource of each rule.
func rules(list []rbacv1.PolicyRule) string {
	var b strings.Builder
	for _, rule := range list {
		names := ""
		if len(rule.ResourceNames) > 0 {
			names = " named " + strings.Join(rule.ResourceNames, ",")
		}
		for _, url := range rule.NonResourceURLs {
			fmt.Fprintf(&b, "\t%s %s\n", strings.Join(rule.Verbs, ","), url)
		}
		for _, group := range rule.APIGroups {
			for _, kind := range rule.Resources {
				fmt.Fprintf(&b, "\t%s %s/%s%s\n", strings.Join(rule.Verbs, ","), group, kind, names)
			}
		}
	}
	return b.String()
}

// subjects writes who a binding is for.
func subjects(list []rbacv1.Subject) string {
	var names []string
	for _, s := range list {
		names = append(names, fmt.Sprintf("%s %s/%s", s.Kind, s.Namespace, s.Name))
	}
	return strings.Join(names, ", ")
}

// A new right is a decision: testdata/rbac.golden is edited by hand.
func TestRightsAreThoseOfTheGoldenFile(t *testing.T) {
	golden, err := os.ReadFile("testdata/rbac.golden")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(strings.Split(string(golden), "\n"), strings.Split(rights(installed(t)), "\n")); diff != "" {
		t.Errorf("rights differ (-golden +manifests):\n%s", diff)
	}
}

func TestRightsShowEverything(t *testing.T) {
	role := &rbacv1.ClusterRole{Rules: []rbacv1.PolicyRule{
		{Verbs: []string{"get", "*"}, APIGroups: []string{"", "apps"}, Resources: []string{"a", "b/status"}, ResourceNames: []string{"x", "y"}},
		{Verbs: []string{"get"}, NonResourceURLs: []string{"/metrics"}},
	}}
	role.Name = "r"
	want := "ClusterRole r\n\tget,* /a named x,y\n\tget,* /b/status named x,y\n\tget,* apps/a named x,y\n\tget,* apps/b/status named x,y\n\tget /metrics\n"
	if diff := cmp.Diff(want, rights([]metav1.Object{role})); diff != "" {
		t.Error(diff)
	}
}
