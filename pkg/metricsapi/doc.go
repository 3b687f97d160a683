// Package metricsapi is the metrics API of the Service Mesh Interface,
// metrics.smi-spec.io v1alpha1 and v1alpha2, as an aggregated API of Kubernetes:
//
//	api := metricsapi.New(config)
//	server.Handler, server.TLSConfig = api, api.TLS(certificate)
//
// The API server authenticates and authorizes who asks, and passes the request
// on with the client certificate of its front proxy, which is checked here;
// nobody else is answered. What is told is asked from the node proxies at that
// moment (Traffic of package telemetry, over a port that answers the
// controller's certificate only); the objects are the API server's. No state is
// kept, so every replica answers the same.
package metricsapi
