// Package reach is how a person's commands ask node proxies: all at once, each
// within a deadline, telling those that could not be asked.
//
//	fleet, err := reach.Cluster(ctx, reach.Config{REST: config, Client: client, Namespace: "weft"})
//	defer fleet.Close()
//	for _, answer := range reach.Ask[admin.Table](ctx, fleet.Proxies, "/api/table") { … }
//
// The admin API of a node proxy listens on its pod's loopback only. The way to
// it is a port forwarded by the API server, so whoever asks needs, in Weft's
// namespace, the rights to list pods and to get and create pods/portforward.
// Nothing is opened on the machine of who asks.
package reach

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
)

// Port is where every node proxy of a cluster has its admin API, on loopback.
const Port = 15000

// selector finds the node proxies among the pods of Weft's namespace.
const selector = "app.kubernetes.io/name=weft-node"

// most is how many proxies are asked at a time.
const most = 64

// Config of a cluster's Fleet. REST, Client and Namespace are required.
type Config struct {
	REST      *rest.Config
	Client    kubernetes.Interface
	Namespace string // Weft's own
	// Timeout is what one proxy has for an answer (default 5 s).
	Timeout time.Duration
}

const defaultTimeout = 5 * time.Second

// Fleet is every node proxy of a mesh.
type Fleet struct {
	Proxies []*Proxy // by node, then name

	config *Config // nil for a local mesh
}

// Proxy is one node proxy.
type Proxy struct {
	Name string // of the pod, or the address of a local mesh
	Node string // empty for a local mesh

	timeout time.Duration
	tunnel  *tunnel // nil for a local mesh
	client  *http.Client
}

// Cluster finds the running node proxies of a cluster. None is an error.
func Cluster(ctx context.Context, config Config) (*Fleet, error) {
	fleet := &Fleet{config: &config}
	if err := fleet.Refresh(ctx); err != nil {
		return nil, err
	}
	return fleet, nil
}

// Refresh finds the running node proxies again. Those that stay keep their
// connections; those of the others end. A local mesh stays as it is, and so does
// the Fleet where there is an error. Nobody may ask meanwhile.
func (f *Fleet) Refresh(ctx context.Context) error {
	if f.config == nil {
		return nil
	}
	pods, err := f.config.Client.CoreV1().Pods(f.config.Namespace).List(ctx, metav1.ListOptions{LabelSelector: selector})
	if err != nil {
		return fmt.Errorf("finding the node proxies: %w", err)
	}
	gone := map[string]*Proxy{}
	for _, p := range f.Proxies {
		gone[p.Name] = p
	}
	var proxies []*Proxy
	for i := range pods.Items {
		pod := &pods.Items[i]
		if pod.Status.Phase != corev1.PodRunning || pod.DeletionTimestamp != nil {
			continue
		}
		p, stays := gone[pod.Name]
		if !stays {
			p = f.config.proxy(pod)
		}
		delete(gone, pod.Name)
		proxies = append(proxies, p)
	}
	if len(proxies) == 0 {
		return fmt.Errorf("no node proxy runs in namespace %s; `weft check` says what is missing", f.config.Namespace)
	}
	slices.SortFunc(proxies, func(a, b *Proxy) int {
		return cmp.Or(strings.Compare(a.Node, b.Node), strings.Compare(a.Name, b.Name))
	})
	f.Proxies = proxies
	for _, p := range gone {
		p.close()
	}
	return nil
}

// proxy is the node proxy of a pod, reached through the API server.
func (c *Config) proxy(pod *corev1.Pod) *Proxy {
	t := &tunnel{config: c.REST, url: c.Client.CoreV1().RESTClient().Get().
		Namespace(c.Namespace).Resource("pods").Name(pod.Name).SubResource("portforward").URL().String()}
	return &Proxy{
		Name: pod.Name, Node: pod.Spec.NodeName,
		timeout: cmp.Or(c.Timeout, defaultTimeout), tunnel: t, client: client(t.dial),
	}
}

// Local is the Fleet of one `weft local`, by the address of its admin API.
func Local(address string, timeout time.Duration) *Fleet {
	return &Fleet{Proxies: []*Proxy{{
		Name: address, timeout: cmp.Or(timeout, defaultTimeout),
		client: client(func(ctx context.Context) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "tcp", address)
		}),
	}}}
}

func client(dial func(context.Context) (net.Conn, error)) *http.Client {
	return &http.Client{Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) { return dial(ctx) },
	}}
}

// Close ends all connections.
func (f *Fleet) Close() {
	for _, p := range f.Proxies {
		p.close()
	}
}

func (p *Proxy) close() {
	p.client.CloseIdleConnections()
	p.tunnel.close()
}

// Answer is what one proxy said, or why it could not be asked.
type Answer[T any] struct {
	Proxy *Proxy
	Value T
	Err   error // an *HTTPError where the proxy answered, but not with 200
}

// HTTPError is an answer other than 200.
type HTTPError struct {
	Status int
	Text   string // the body, trimmed
}

// Error is the text of the answer.
func (e *HTTPError) Error() string {
	return cmp.Or(e.Text, http.StatusText(e.Status))
}

// Ask gets a path from every proxy and decodes the JSON of the answers, which
// come in the order of the proxies.
func Ask[T any](ctx context.Context, proxies []*Proxy, path string) []Answer[T] {
	answers := make([]Answer[T], len(proxies))
	var group errgroup.Group
	group.SetLimit(most)
	for i, p := range proxies {
		group.Go(func() error {
			answers[i].Proxy = p
			body, err := p.Read(ctx, path)
			if err == nil {
				if err = json.Unmarshal(body, &answers[i].Value); err != nil {
					err = fmt.Errorf("what answers there is no admin API of Weft: %w", err)
				}
			}
			answers[i].Err = err
			return nil
		})
	}
	_ = group.Wait() // the errors are in the answers
	return answers
}

// Read gets the body of a path, within the deadline.
func (p *Proxy) Read(ctx context.Context, path string) ([]byte, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, p.timeout, fmt.Errorf("no answer within %s", p.timeout))
	defer cancel()
	body, err := p.Stream(ctx, path)
	if err == nil {
		defer body.Close()
		var content []byte
		if content, err = io.ReadAll(body); err == nil {
			return content, nil
		}
	}
	if errors.Is(err, context.DeadlineExceeded) && ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	return nil, err
}

// Stream gets a path whose answer goes on until the context ends. The caller
// closes it.
func (p *Proxy) Stream(ctx context.Context, path string) (io.ReadCloser, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://localhost"+path, http.NoBody)
	if err != nil {
		return nil, err
	}
	response, err := p.client.Do(request)
	if why := kubeletError(""); errors.As(err, &why) {
		return nil, why // whether or not it came before the request was written
	}
	if err != nil {
		// The URL that http.Client puts in front is a made-up one.
		return nil, errors.Unwrap(err)
	}
	if response.StatusCode == http.StatusOK {
		return response.Body, nil
	}
	defer response.Body.Close()
	text, err := io.ReadAll(io.LimitReader(response.Body, 4096))
	if err == nil && response.Header.Get("Weft-Reason") != "" { // which the data plane refuses with, and nothing else
		return nil, fmt.Errorf("what answers there is no admin API of Weft, but a port of the mesh: %s", strings.TrimSpace(string(text)))
	}
	return nil, cmp.Or(err, error(&HTTPError{Status: response.StatusCode, Text: strings.TrimSpace(string(text))}))
}
