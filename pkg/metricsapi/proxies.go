package metricsapi

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/weft-mesh/weft/pkg/telemetry"
)

const (
	// askTimeout is how long a node proxy may take, askAtOnce how many are
	// asked at the same time.
	askTimeout = 3 * time.Second
	askAtOnce  = 32
	// mostAnswer bounds what a node proxy may say.
	mostAnswer = 64 << 20
)

// Proxies asks the node proxies. Make it with NewProxies.
type Proxies struct {
	client    kubernetes.Interface
	namespace string
	port      string
	http      *http.Client
}

// NewProxies asks the node proxies of a namespace on a port. They answer who
// has this certificate. Their own is not looked at: they are known by the
// addresses that the API server gives their pods, and are told nothing.
func NewProxies(client kubernetes.Interface, namespace string, port uint16, certificate *tls.Certificate) *Proxies {
	return &Proxies{
		client: client, namespace: namespace, port: strconv.Itoa(int(port)),
		http: &http.Client{Timeout: askTimeout, Transport: &http.Transport{
			TLSClientConfig:     &tls.Config{Certificates: []tls.Certificate{*certificate}, InsecureSkipVerify: true}, //nolint:gosec // see above
			MaxIdleConnsPerHost: 1, IdleConnTimeout: time.Minute,
		}},
	}
}

// Close ends the connections that are kept.
func (p *Proxies) Close() { p.http.CloseIdleConnections() }

// Traffic asks every node proxy that is ready; see Config.
func (p *Proxies) Traffic(ctx context.Context, window time.Duration) ([]telemetry.Traffic, error) {
	pods, err := p.client.CoreV1().Pods(p.namespace).List(ctx, metav1.ListOptions{LabelSelector: "app.kubernetes.io/name=weft-node"})
	if err != nil {
		return nil, fmt.Errorf("listing the node proxies: %w", err)
	}
	var (
		all    sync.WaitGroup
		mu     sync.Mutex // guards out and failed
		out    []telemetry.Traffic
		failed []error
		turn   = make(chan struct{}, askAtOnce)
	)
	for i := range pods.Items {
		pod := &pods.Items[i]
		if !ready(pod) {
			continue
		}
		all.Go(func() {
			turn <- struct{}{}
			defer func() { <-turn }()
			traffic, err := p.ask(ctx, pod.Status.PodIP, window)
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				failed = append(failed, fmt.Errorf("%s: %w", pod.Name, err))
				return
			}
			out = append(out, traffic)
		})
	}
	all.Wait()
	return out, errors.Join(failed...)
}

func ready(pod *corev1.Pod) bool {
	for _, c := range pod.Status.Conditions {
		if c.Type == corev1.PodReady {
			return c.Status == corev1.ConditionTrue && pod.Status.PodIP != ""
		}
	}
	return false
}

func (p *Proxies) ask(ctx context.Context, ip string, window time.Duration) (traffic telemetry.Traffic, err error) {
	at := url.URL{Scheme: "https", Host: net.JoinHostPort(ip, p.port), Path: "/api/traffic", RawQuery: "t=" + window.String()}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, at.String(), nil)
	if err != nil {
		return traffic, err
	}
	response, err := p.http.Do(request)
	if err != nil {
		return traffic, err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return traffic, errors.New(response.Status)
	}
	return traffic, json.NewDecoder(http.MaxBytesReader(nil, response.Body, mostAnswer)).Decode(&traffic)
}
