package manifests_test

import (
	"github.com/google/go-cmp/cmp"
	"slices"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/weft-mesh/weft/internal/image"
)

func TestEveryPodRunsTheImage(t *testing.T) {
	for name, pod := range templates(t) {
		c := pod.Spec.Containers[0]
		command := name[len("weft-"):]
		if c.Image != image.Reference || c.ImagePullPolicy != corev1.PullIfNotPresent || c.Command != nil || !slices.Equal(c.Args, []string{command}) {
			t.Errorf("%s runs %s %v %v, pulled %s", name, c.Image, c.Command, c.Args, c.ImagePullPolicy)
		}
	}
}

func TestEveryContainerHasLimits(t *testing.T) {
	for name, pod := range templates(t) {
		for _, c := range append(pod.Spec.Containers, pod.Spec.InitContainers...) {
			limit := c.Resources.Limits.Memory()
			if limit.IsZero() || c.Resources.Requests.Memory().IsZero() || c.Resources.Requests.Cpu().IsZero() {
				t.Errorf("%s: %+v", name, c.Resources)
			}
			at := slices.IndexFunc(c.Env, func(e corev1.EnvVar) bool { return e.Name == "GOMEMLIMIT" })
			if at < 0 {
				t.Fatalf("%s has no GOMEMLIMIT", name)
			}
			// Go writes MiB where Kubernetes writes Mi.
			soft, err := resource.ParseQuantity(c.Env[at].Value[:len(c.Env[at].Value)-1])
			if err != nil {
				t.Fatal(err)
			}
			if percent := soft.Value() * 100 / limit.Value(); percent < 85 || percent > 90 {
				t.Errorf("%s: GOMEMLIMIT is %d %% of the limit", name, percent)
			}
		}
	}
}

func TestEveryPodIsProbedAndScraped(t *testing.T) {
	for name, pod := range templates(t) {
		c := pod.Spec.Containers[0]
		more := map[string]corev1.ContainerPort{
			"weft-node": {Name: "traffic", ContainerPort: 15021}, "weft-controller": {Name: "metrics-api", ContainerPort: 15443},
		}
		if diff := cmp.Diff([]corev1.ContainerPort{{Name: "metrics", ContainerPort: 15020}, more[name]}, c.Ports); diff != "" {
			t.Errorf("%s: ports %s", name, diff)
		}
		for path, probe := range map[string]*corev1.Probe{"/readyz": c.ReadinessProbe, "/livez": c.LivenessProbe} {
			if probe.HTTPGet.Path != path || probe.HTTPGet.Port.String() != "metrics" {
				t.Errorf("%s: %s is probed by %v", name, path, probe)
			}
		}
		if a := pod.Annotations; a["prometheus.io/scrape"] != "true" || a["prometheus.io/port"] != "15020" || a["prometheus.io/path"] != "/metrics" {
			t.Errorf("%s: annotations %v", name, a)
		}
	}
}

// The Pod Security Standards do not ask for these.
func TestPodsAreStricterThanRestricted(t *testing.T) {
	for name, pod := range templates(t) {
		user, root := pod.Spec.SecurityContext.RunAsUser, pod.Spec.Containers[0].SecurityContext.ReadOnlyRootFilesystem
		if user == nil || *user != 65532 || root == nil || !*root {
			t.Errorf("%s: user %v, read-only root %v", name, user, root)
		}
		if len(pod.Spec.Volumes) > 0 || len(pod.Spec.Containers[0].SecurityContext.Capabilities.Add) > 0 {
			t.Errorf("%s has volumes or capabilities", name)
		}
	}
}

func TestShadowServicesAreNoEnvironmentVariables(t *testing.T) {
	for name, pod := range templates(t) {
		if links := pod.Spec.EnableServiceLinks; links == nil || *links {
			t.Errorf("%s gets a set of variables for every Service in its namespace", name)
		}
	}
}

func TestNodeProxyIsOnEveryNodeAndUpgradesWithoutAGap(t *testing.T) {
	set := only[*appsv1.DaemonSet](t, "weft-node")
	update, pod := set.Spec.UpdateStrategy, set.Spec.Template.Spec
	if update.Type != appsv1.RollingUpdateDaemonSetStrategyType || update.RollingUpdate.MaxSurge.IntValue() != 1 || update.RollingUpdate.MaxUnavailable.IntValue() != 0 {
		t.Errorf("update strategy %+v", update)
	}
	if !slices.Equal(pod.Tolerations, []corev1.Toleration{{Operator: corev1.TolerationOpExists}}) || len(pod.NodeSelector) > 0 || pod.Affinity != nil {
		t.Errorf("not on every node: %v %v %v", pod.Tolerations, pod.NodeSelector, pod.Affinity)
	}
	if pod.HostNetwork || pod.PriorityClassName != "system-node-critical" {
		t.Errorf("host network %v, priority %s", pod.HostNetwork, pod.PriorityClassName)
	}
	const drain = 5*time.Second + 30*time.Second
	if grace := time.Duration(*pod.TerminationGracePeriodSeconds) * time.Second; grace <= drain {
		t.Errorf("killed after %s, drains for %s", grace, drain)
	}
}

func TestControllerSurvivesADrainAndDoesNotBlockIt(t *testing.T) {
	deployment := only[*appsv1.Deployment](t, "weft-controller")
	budget := only[*policyv1.PodDisruptionBudget](t, "weft-controller")
	selector, err := metav1.LabelSelectorAsSelector(budget.Spec.Selector)
	if err != nil {
		t.Fatal(err)
	}
	if !selector.Matches(labels.Set(deployment.Spec.Template.Labels)) {
		t.Errorf("the budget selects %s, not the controller", selector)
	}
	if *deployment.Spec.Replicas != 2 || budget.Spec.MinAvailable != nil || budget.Spec.MaxUnavailable.IntValue() != 1 {
		t.Errorf("%d replicas, budget %+v", *deployment.Spec.Replicas, budget.Spec)
	}
	if spread := deployment.Spec.Template.Spec.TopologySpreadConstraints; len(spread) != 1 || spread[0].TopologyKey != corev1.LabelHostname {
		t.Errorf("spread %v", spread)
	}
}
