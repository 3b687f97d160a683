package main

import (
	"errors"
	"fmt"

	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
)

// clients are the ways to one API server.
type clients struct {
	config  *rest.Config
	typed   kubernetes.Interface
	dynamic dynamic.Interface
}

// connect reads a kubeconfig: the file at path, else what KUBECONFIG or
// ~/.kube/config say, else the pod's own service account. Built-in kinds are
// read as protobuf, which costs a third of JSON. The client's own rate limit is
// off: the API server's priority and fairness does that job.
func connect(path string) (*clients, error) {
	rules := clientcmd.NewDefaultClientConfigLoadingRules()
	rules.ExplicitPath = path
	config, err := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(rules, nil).ClientConfig()
	if clientcmd.IsEmptyConfig(err) { // what it says of environment variables does not hold here
		return nil, errors.New("no cluster to talk to: neither --kubeconfig, KUBECONFIG, ~/.kube/config nor a pod's service account names one")
	}
	if err != nil {
		return nil, fmt.Errorf("no cluster to talk to (--kubeconfig, KUBECONFIG, ~/.kube/config or a pod's service account): %w", err)
	}
	config.QPS = -1
	config.UserAgent = "weft/" + version
	dynamicClient, err := dynamic.NewForConfig(config)
	if err != nil {
		return nil, err
	}
	protobuf := rest.CopyConfig(config)
	protobuf.AcceptContentTypes = "application/vnd.kubernetes.protobuf,application/json"
	protobuf.ContentType = "application/vnd.kubernetes.protobuf"
	typed, err := kubernetes.NewForConfig(protobuf)
	if err != nil {
		return nil, err
	}
	return &clients{config: config, typed: typed, dynamic: dynamicClient}, nil
}
