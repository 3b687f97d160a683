package metricsapi

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/weft-mesh/weft/internal/pki"
)

// Where the API server publishes by which certificates its front proxy is known.
const (
	frontNamespace = "kube-system"
	frontConfigMap = "extension-apiserver-authentication"
)

// front is how the front proxy of the API server is known.
type front struct {
	pool  *x509.CertPool
	names []string // the common names that count; none: any
}

// check tells whether a request comes from the front proxy.
func (a *API) check(r *http.Request) error {
	if r.TLS == nil || len(r.TLS.PeerCertificates) == 0 {
		return errors.New("the request has no client certificate; only the API server is answered")
	}
	known, err := a.front.Load(r.Context())
	if err != nil {
		return err
	}
	leaf, between := r.TLS.PeerCertificates[0], x509.NewCertPool()
	for _, c := range r.TLS.PeerCertificates[1:] {
		between.AddCert(c)
	}
	_, err = leaf.Verify(x509.VerifyOptions{Roots: known.pool, Intermediates: between, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}})
	if err != nil {
		return fmt.Errorf("the client certificate is not the API server's: %w", err)
	}
	if len(known.names) > 0 && !slices.Contains(known.names, leaf.Subject.CommonName) {
		return fmt.Errorf("the client certificate is of %q, which the API server does not allow", leaf.Subject.CommonName)
	}
	return nil
}

// readFront reads what the API server says of its front proxy.
func (a *API) readFront(ctx context.Context) (known front, err error) {
	found, err := a.config.Typed.CoreV1().ConfigMaps(frontNamespace).Get(ctx, frontConfigMap, metav1.GetOptions{})
	if err != nil {
		return front{}, fmt.Errorf("who the API server is cannot be read: %w", err)
	}
	known.pool, err = pki.ReadPool([]byte(found.Data["requestheader-client-ca-file"]))
	if err != nil {
		return front{}, fmt.Errorf("requestheader-client-ca-file of ConfigMap %s/%s: %w", frontNamespace, frontConfigMap, err)
	}
	if text := found.Data["requestheader-allowed-names"]; text != "" {
		if err := json.Unmarshal([]byte(text), &known.names); err != nil {
			return front{}, fmt.Errorf("requestheader-allowed-names of ConfigMap %s/%s: %w", frontNamespace, frontConfigMap, err)
		}
	}
	return known, nil
}

// TLS is what an API is served with. A client certificate is asked for, and
// checked with each request.
func (a *API) TLS(certificate *tls.Certificate) *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS12, ClientAuth: tls.RequestClientCert,
		Certificates: []tls.Certificate{*certificate}, NextProtos: []string{"h2", "http/1.1"},
	}
}
