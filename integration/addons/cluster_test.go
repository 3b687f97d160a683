//go:build e2e

package addons_test

import (
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/yaml"

	"github.com/weft-mesh/weft/integration/testenv"
)

// cluster is an API server in which a Prometheus may do what docs/metrics.md
// says that it needs, and no more.
type cluster struct {
	*testing.T
	client  kubernetes.Interface
	at      netip.AddrPort
	account string // the folder that Kubernetes mounts into Prometheus' pod
}

// newCluster is one whose node proxies run as pods at addresses, beside pods that
// are not to be scraped.
func newCluster(t *testing.T, proxies []running) *cluster {
	t.Helper()
	api := testenv.StartAPIServer(t)
	config := api.Config()
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	c := &cluster{T: t, client: client, at: netip.MustParseAddrPort(config.Host[len("https://"):]), account: t.TempDir()}
	for _, namespace := range []string{"weft", "monitoring", "shop"} {
		_, err := client.CoreV1().Namespaces().Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace}}, metav1.CreateOptions{})
		c.check(err)
	}
	c.check(os.WriteFile(filepath.Join(c.account, "ca.crt"), config.CAData, 0o600))
	c.check(os.WriteFile(filepath.Join(c.account, "namespace"), []byte("monitoring"), 0o600))
	c.allow(api)
	for i, p := range proxies {
		c.pod("weft", fmt.Sprint("weft-node-", i), p.metrics, func(pod *corev1.Pod) { pod.Spec.NodeName = fmt.Sprint("node-", i) })
	}
	c.pod("weft", "unmarked", "127.0.0.1:1", func(pod *corev1.Pod) { pod.Annotations = nil })
	c.pod("weft", "evicted", "127.0.0.1:1", func(pod *corev1.Pod) { pod.Status.Phase = corev1.PodFailed })
	c.pod("shop", "elsewhere", "127.0.0.1:1", func(*corev1.Pod) {})
	return c
}

// check ends the test on an error.
func (c *cluster) check(err error) {
	c.Helper()
	if err != nil {
		c.Fatal(err)
	}
}

// allow gives Prometheus' service account the rights that the documentation
// names, and a token.
func (c *cluster) allow(api *testenv.APIServer) {
	c.Helper()
	page, err := os.ReadFile("../../docs/metrics.md")
	c.check(err)
	rights := regexp.MustCompile("(?s)<!-- test: rights -->\n```yaml\n(.*?)```").FindSubmatch(page)
	if rights == nil {
		c.Fatal("docs/metrics.md does not say what Prometheus may do")
	}
	file := filepath.Join(c.TempDir(), "rights.yaml")
	c.check(os.WriteFile(file, rights[1], 0o600))
	if said, err := exec.Command(testenv.Tool(c, "kubectl"), "--kubeconfig", api.Kubeconfig("admin", "system:masters"), "apply", "-f", file).CombinedOutput(); err != nil {
		c.Fatalf("%v: %s", err, said)
	}
	accounts := c.client.CoreV1().ServiceAccounts("monitoring")
	_, err = accounts.Create(c.Context(), &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: "prometheus"}}, metav1.CreateOptions{})
	c.check(err)
	token, err := accounts.CreateToken(c.Context(), "prometheus", &authenticationv1.TokenRequest{}, metav1.CreateOptions{})
	c.check(err)
	c.check(os.WriteFile(filepath.Join(c.account, "token"), []byte(token.Status.Token), 0o600))
	own, err := kubernetes.NewForConfig(&rest.Config{
		Host: "https://" + c.at.String(), BearerToken: token.Status.Token, TLSClientConfig: rest.TLSClientConfig{CAFile: filepath.Join(c.account, "ca.crt")},
	})
	c.check(err)
	if _, err := own.CoreV1().Pods("shop").List(c.Context(), metav1.ListOptions{}); !apierrors.IsForbidden(err) {
		c.Fatalf("Prometheus may list the pods of another namespace: %v", err)
	}
}

// pod makes a pod from the template of the shipped DaemonSet that runs at an
// address, and has that one's port for metrics.
func (c *cluster) pod(namespace, name, metrics string, change func(*corev1.Pod)) {
	c.Helper()
	at, err := netip.ParseAddrPort(metrics)
	c.check(err)
	text, err := os.ReadFile("../../manifests/node.yaml")
	c.check(err)
	var set appsv1.DaemonSet
	c.check(yaml.UnmarshalStrict(text, &set))
	pod := &corev1.Pod{ObjectMeta: set.Spec.Template.ObjectMeta, Spec: set.Spec.Template.Spec}
	pod.Name = name
	for i := range pod.Spec.Containers[0].Ports {
		if port := &pod.Spec.Containers[0].Ports[i]; port.Name == "metrics" {
			port.ContainerPort = int32(at.Port())
		}
	}
	pod.Status = corev1.PodStatus{Phase: corev1.PodRunning, PodIP: at.Addr().String(), PodIPs: []corev1.PodIP{{IP: at.Addr().String()}}}
	change(pod)
	status := pod.Status // which Create leaves out
	pods := c.client.CoreV1().Pods(namespace)
	pod, err = pods.Create(c.Context(), pod, metav1.CreateOptions{})
	c.check(err)
	pod.Status = status
	_, err = pods.UpdateStatus(c.Context(), pod, metav1.UpdateOptions{})
	c.check(err)
}

// inPod has a program run as in a pod of Prometheus' service account: in a mount
// namespace of its own where the account is mounted, with the API server's address
// in its environment.
func (c *cluster) inPod(program string, arguments ...string) *exec.Cmd {
	const mount = `mount -t tmpfs none /run && mkdir -p /run/secrets/kubernetes.io && ln -s "$0" /run/secrets/kubernetes.io/serviceaccount && exec "$@"`
	cmd := exec.Command("unshare", append([]string{"--mount", "sh", "-c", mount, c.account, program}, arguments...)...)
	if os.Geteuid() != 0 {
		cmd.Args = slices.Insert(cmd.Args, 1, "--map-root-user")
	}
	cmd.Env = append(os.Environ(), "KUBERNETES_SERVICE_HOST="+c.at.Addr().String(), fmt.Sprint("KUBERNETES_SERVICE_PORT=", c.at.Port()))
	return cmd
}
