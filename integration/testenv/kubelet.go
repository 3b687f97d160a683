package testenv

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/httpstream"
	"k8s.io/apimachinery/pkg/util/httpstream/spdy"
	"k8s.io/apimachinery/pkg/util/portforward"
	"k8s.io/client-go/kubernetes"
)

// Kubelet is the one thing of a kubelet that an API server needs to forward
// ports: it answers for one node and passes streams on to where Backend says.
type Kubelet struct {
	// Node is the name of the Node that was made for it.
	Node string
	// Backend returns the address behind a pod's port. An error is told to who asks.
	Backend func(pod, port string) (address string, err error)

	serving sync.WaitGroup
	server  *httptest.Server
}

// StartKubelet makes a Node and answers for it until the test ends.
func StartKubelet(t testing.TB, client kubernetes.Interface, node string, backend func(pod, port string) (string, error)) *Kubelet {
	t.Helper()
	k := &Kubelet{Node: node, Backend: backend}
	k.server = httptest.NewUnstartedServer(http.HandlerFunc(k.forward))
	k.server.StartTLS()
	t.Cleanup(func() {
		k.server.CloseClientConnections()
		k.server.Close()
		k.serving.Wait()
	})
	made, err := client.CoreV1().Nodes().Create(t.Context(), &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: node}}, metav1.CreateOptions{})
	if err == nil {
		address := k.server.Listener.Addr().(*net.TCPAddr)
		made.Status.Addresses = []corev1.NodeAddress{{Type: corev1.NodeInternalIP, Address: address.IP.String()}}
		made.Status.DaemonEndpoints.KubeletEndpoint.Port = int32(address.Port)
		_, err = client.CoreV1().Nodes().UpdateStatus(t.Context(), made, metav1.UpdateOptions{})
	}
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// forward answers POST /portForward/<namespace>/<pod> with a SPDY connection in
// which each forwarded connection is a pair of streams, one for its bytes and
// one for what goes wrong.
func (k *Kubelet) forward(w http.ResponseWriter, r *http.Request) {
	path := strings.Split(strings.Trim(r.URL.Path, "/"), "/")
	if len(path) < 3 || path[0] != "portForward" {
		http.NotFound(w, r)
		return
	}
	if _, err := httpstream.Handshake(r, w, []string{portforward.PortForwardV1Name}); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	var mu sync.Mutex // guards failures
	failures := map[string]httpstream.Stream{}
	conn := spdy.NewResponseUpgrader().UpgradeResponse(w, r, func(s httpstream.Stream, replied <-chan struct{}) error {
		id := s.Headers().Get(corev1.PortForwardRequestIDHeader)
		mu.Lock()
		defer mu.Unlock()
		if s.Headers().Get(corev1.StreamType) == corev1.StreamTypeError {
			failures[id] = s
			return nil
		}
		failure := failures[id]
		k.serving.Go(func() {
			<-replied
			k.serve(path[2], s, failure)
		})
		return nil
	})
	if conn == nil {
		return
	}
	defer conn.Close()
	<-conn.CloseChan()
}

// serve passes the bytes of one connection on.
func (k *Kubelet) serve(pod string, data, failure httpstream.Stream) {
	defer failure.Close()
	defer data.Close()
	address, err := k.Backend(pod, data.Headers().Get(corev1.PortHeader))
	if err != nil {
		fmt.Fprint(failure, err)
		return
	}
	backend, err := net.Dial("tcp", address)
	if err != nil {
		fmt.Fprint(failure, err)
		return
	}
	defer backend.Close()
	k.serving.Go(func() {
		defer backend.Close()
		_, _ = io.Copy(backend, data) // it ends with the connection
	})
	_, _ = io.Copy(data, backend) // whoever ended it, it is over
}
