package manifests_test

import (
	"os/exec"
	"slices"
	"strings"
	"testing"

	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/weft-mesh/weft/integration/testenv"
)

// clientFor is a client of a test's API server.
func clientFor(t *testing.T, config *rest.Config) *kubernetes.Clientset {
	t.Helper()
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	return client
}

// account is a service account of Weft's as a user, and its groups.
func account(name string) (user string, groups []string) {
	return "system:serviceaccount:weft:" + name, []string{"system:serviceaccounts", "system:serviceaccounts:weft"}
}

// apply runs kubectl apply with strict validation and returns what it says. A
// warning is an error.
func apply(t *testing.T, api *testenv.APIServer, arguments ...string) string {
	t.Helper()
	arguments = append([]string{"apply", "--validate=strict", "--warnings-as-errors"}, arguments...)
	command := exec.Command(testenv.Tool(t, "kubectl"), arguments...)
	command.Env = append(command.Environ(), "KUBECONFIG="+api.Kubeconfig("admin", "system:masters"))
	output, err := command.CombinedOutput()
	if err != nil {
		t.Fatalf("kubectl %v: %v\n%s", arguments, err, output)
	}
	return string(output)
}

// One API server for all, since each takes seconds to start.
func TestOnARealAPIServer(t *testing.T) {
	api := testenv.StartAPIServer(t)
	apply(t, api, "-k", ".")
	t.Run("InstallAddsNothingToTheBase", func(t *testing.T) {
		if said := apply(t, api, "-f", "install.yaml"); strings.Contains(said, " created\n") {
			t.Error(said)
		}
	})
	t.Run("ExampleIsTaken", func(t *testing.T) { exampleIsTaken(t, api) })
	t.Run("PodsAreAdmitted", func(t *testing.T) { podsAreAdmitted(t, api) })
	t.Run("Rights", func(t *testing.T) { rightsAreWhatIsNeeded(t, api) })
	t.Run("NodeReads", func(t *testing.T) { nodeReads(t, api) })
	t.Run("ControllerPatchesDNS", func(t *testing.T) { controllerPatchesDNS(t, api) })
	t.Run("ControllerWrites", func(t *testing.T) { controllerWrites(t, api) })
}

// exampleIsTaken waits for the CRD to be served, which takes a moment.
func exampleIsTaken(t *testing.T, api *testenv.APIServer) {
	wait := exec.Command(testenv.Tool(t, "kubectl"), "wait", "--for=condition=Established", "--timeout=30s", "crd/trafficsplits.split.smi-spec.io")
	wait.Env = append(wait.Environ(), "KUBECONFIG="+api.Kubeconfig("admin", "system:masters"))
	if output, err := wait.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, output)
	}
	if said := apply(t, api, "-k", "examples/canary"); !strings.Contains(said, "trafficsplit.split.smi-spec.io/orders created") {
		t.Error(said)
	}
}

// podsAreAdmitted sends each pod through the server's own admission: Pod
// Security as the namespace's labels ask for, and the priority classes.
func podsAreAdmitted(t *testing.T, api *testenv.APIServer) {
	pods := clientFor(t, api.Config()).CoreV1().Pods("weft")
	dry := metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}}
	for name, template := range templates(t) {
		pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: template.Labels}, Spec: template.Spec}
		admitted, err := pods.Create(t.Context(), pod, dry)
		if err != nil {
			t.Error(err)
			continue
		}
		if admitted.Spec.Priority == nil || *admitted.Spec.Priority < 2_000_000_000 {
			t.Errorf("%s: priority %v", name, admitted.Spec.Priority)
		}
		pod.Spec.HostNetwork = true
		if _, err := pods.Create(t.Context(), pod, dry); err == nil || !strings.Contains(err.Error(), "PodSecurity") {
			t.Errorf("%s in the host's network: %v; nothing holds the namespace to the standard", name, err)
		}
	}
}

// right is one line of the tables below, "verb group/resource[/subresource]
// namespace[/name]". The namespace "*" is all of them; a subresource follows
// the resource after a dot.
type right string

// attributes is what the line asks the API server.
func (r right) attributes() *authorizationv1.ResourceAttributes {
	fields := strings.Fields(string(r))
	group, resource, _ := strings.Cut(fields[1], "/")
	resource, subresource, _ := strings.Cut(resource, ".")
	namespace, name, _ := strings.Cut(fields[2], "/")
	return &authorizationv1.ResourceAttributes{
		Verb: fields[0], Group: group, Resource: resource, Subresource: subresource,
		Namespace: strings.Trim(namespace, "*"), Name: name,
	}
}

// reads are what both need of the cluster's objects.
func reads() []right {
	var all []right
	for _, kind := range []string{"/services", "/pods", "discovery.k8s.io/endpointslices", "split.smi-spec.io/trafficsplits"} {
		all = append(all, right("list "+kind+" *"), right("watch "+kind+" *"))
	}
	return all
}

// nobodys are rights that nothing of Weft may have.
func nobodys() []right {
	return []right{
		"get /secrets *", "list /secrets *", "get /secrets weft", "get /secrets kube-system", "watch /secrets weft",
		"create /pods weft", "create /pods.exec *", "get /pods.exec *", "create /pods.portforward *", "patch /nodes *", "get /nodes.proxy *",
		"create /serviceaccounts.token *", "create /serviceaccounts.token weft", "impersonate /users *", "impersonate /serviceaccounts *",
		"escalate rbac.authorization.k8s.io/clusterroles *", "bind rbac.authorization.k8s.io/clusterroles *", "create rbac.authorization.k8s.io/rolebindings weft",
		"update /services *", "create /services shop", "delete /services kube-system", "create discovery.k8s.io/endpointslices shop",
		"update split.smi-spec.io/trafficsplits *", "delete /namespaces *", "patch /namespaces *", "* */* *",
		"get /configmaps *", "create /configmaps *", "list /configmaps kube-system", "delete /configmaps kube-system/coredns",
		"get /configmaps kube-system/kubeadm-config", "update /configmaps kube-system/extension-apiserver-authentication",
		"patch apps/deployments *", "patch apps/deployments kube-system/metrics-server", "update apps/deployments kube-system/coredns",
		"patch apps/daemonsets kube-system/kube-proxy", "patch apps/daemonsets weft/weft-node", "delete /events *", "list /events *",
	}
}

// controllers are the rights that only the controller needs.
func controllers() []right {
	all := []right{
		"get /services *", "get discovery.k8s.io/endpointslices weft", "create /events *", "get /events *", "update /events *",
		"create coordination.k8s.io/leases weft", "get coordination.k8s.io/leases weft/weft-controller", "update coordination.k8s.io/leases weft/weft-controller",
		"create /configmaps kube-system", "list apps/deployments kube-system", "list apps/daemonsets kube-system",
		"patch apps/deployments kube-system/coredns", "patch apps/deployments kube-system/rke2-coredns-rke2-coredns",
		"patch apps/daemonsets kube-system/coredns", "patch apps/daemonsets kube-system/node-local-dns",
	}
	for _, kind := range []string{"/nodes", "apps/deployments", "apps/replicasets", "batch/jobs"} {
		all = append(all, right("get "+kind+" *"), right("list "+kind+" *"))
	}
	all = append(all,
		"get /namespaces *", "create /configmaps weft", "get /configmaps weft/weft-metrics-api", "update /configmaps weft/weft-metrics-api",
		"create /secrets weft", "get /secrets weft/weft-metrics-api", "patch apiregistration.k8s.io/apiservices */v1alpha1.metrics.smi-spec.io",
		"get /configmaps kube-system/extension-apiserver-authentication")
	for _, verb := range []string{"create", "update", "delete"} {
		all = append(all, right(verb+" /services weft"), right(verb+" discovery.k8s.io/endpointslices weft"))
	}
	for _, name := range []string{"coredns", "coredns-custom", "rke2-coredns-rke2-coredns", "node-local-dns"} {
		all = append(all, right("get /configmaps kube-system/"+name), right("update /configmaps kube-system/"+name))
	}
	return all
}

// rightsAreWhatIsNeeded asks the API server what each service account may do.
func rightsAreWhatIsNeeded(t *testing.T, api *testenv.APIServer) {
	for name, table := range map[string]struct{ may, mayNot []right }{
		"weft-node": {may: append(reads(), "get /configmaps weft/weft-metrics-api"), mayNot: append(nobodys(), slices.DeleteFunc(controllers(), func(r right) bool {
			return r == "get /configmaps weft/weft-metrics-api"
		})...)},
		"weft-controller": {may: append(reads(), controllers()...), mayNot: append(nobodys(), "update coordination.k8s.io/leases weft/other", "update coordination.k8s.io/leases kube-system")},
	} {
		user, groups := account(name)
		reviews := clientFor(t, api.Config()).AuthorizationV1().SubjectAccessReviews()
		allowed := func(r right) bool {
			review := &authorizationv1.SubjectAccessReview{Spec: authorizationv1.SubjectAccessReviewSpec{
				User: user, Groups: append(groups, "system:authenticated"), ResourceAttributes: r.attributes(),
			}}
			answer, err := reviews.Create(t.Context(), review, metav1.CreateOptions{})
			if err != nil {
				t.Fatal(err)
			}
			return answer.Status.Allowed
		}
		for _, r := range table.may {
			if !allowed(r) {
				t.Errorf("%s may not %s", name, r)
			}
		}
		for _, r := range table.mayNot {
			if allowed(r) {
				t.Errorf("%s may %s", name, r)
			}
		}
	}
}
