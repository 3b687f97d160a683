package cluster

import (
	"fmt"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
)

// ForbiddenError is a right that the API server denied.
type ForbiddenError struct {
	Verb      string // such as "update"
	Group     string // "" for the core group
	Resource  string // such as "configmaps"
	Namespace string
	Name      string // "" where the right cannot be limited to a name
	Err       error  // what the API server said
}

// Error says which rule to add, as YAML.
func (e *ForbiddenError) Error() string {
	var names, of string
	if e.Name != "" {
		names, of = fmt.Sprintf(", resourceNames: [%s]", e.Name), " "+e.Name
	}
	return fmt.Sprintf("not allowed to %s %s%s in %s: add to Weft's Role there: {apiGroups: [%q], resources: [%s]%s, verbs: [%s]}",
		e.Verb, e.Resource, of, e.Namespace, e.Group, e.Resource, names, e.Verb)
}

// Unwrap gives what the API server said.
func (e *ForbiddenError) Unwrap() error { return e.Err }

// explain names the call that failed, as "update configmaps coredns". The error
// of a forbidden call becomes a *ForbiddenError; a resource of the group apps is
// written "apps/deployments".
func (p *Patcher) explain(err error, verb, resource, name string) error {
	if err == nil {
		return nil
	}
	group, plain, ok := strings.Cut(resource, "/")
	if !ok {
		group, plain = "", resource
	}
	if apierrors.IsForbidden(err) {
		return &ForbiddenError{verb, group, plain, p.cfg.System, name, err}
	}
	return fmt.Errorf("%s %s %s in %s: %w", verb, plain, name, p.cfg.System, err)
}
