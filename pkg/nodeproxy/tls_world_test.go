package nodeproxy_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"testing"
	"time"

	"github.com/weft-mesh/weft/internal/pki"
	"github.com/weft-mesh/weft/pkg/mesh"
)

// inCluster is the name that endpoints of orders prove by default.
const inCluster = "orders.shop.svc"

func authority(t *testing.T) *pki.Authority {
	t.Helper()
	ca, err := pki.New("a CA")
	if err != nil {
		t.Fatal(err)
	}
	return ca
}

func issued(t *testing.T, ca *pki.Authority, name string) *tls.Certificate {
	t.Helper()
	c, err := ca.Issue(name, name)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// expired is a certificate for orders that was valid until a minute ago.
func expired(t *testing.T, ca *pki.Authority) *tls.Certificate {
	t.Helper()
	pair, err := tls.X509KeyPair(ca.Certificate, ca.Key)
	if err != nil {
		t.Fatal(err)
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	raw, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{
		SerialNumber: big.NewInt(7), DNSNames: []string{inCluster}, NotBefore: now.Add(-time.Hour), NotAfter: now.Add(-time.Minute),
	}, pair.Leaf, key.Public(), pair.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	return &tls.Certificate{Certificate: [][]byte{raw}, PrivateKey: key}
}

// secure serves HTTP over TLS, both versions.
func secure(t *testing.T, certificate *tls.Certificate, handler http.HandlerFunc) string {
	t.Helper()
	return secureBy(t, &tls.Config{Certificates: []tls.Certificate{*certificate}, NextProtos: []string{"h2", "http/1.1"}}, handler)
}

// secureBy serves HTTP over TLS as the configuration says.
func secureBy(t *testing.T, config *tls.Config, handler http.HandlerFunc) string {
	t.Helper()
	l, err := tls.Listen("tcp", "127.0.0.1:0", config)
	if err != nil {
		t.Fatal(err)
	}
	return serveOn(t, l, &http.Server{Handler: handler})
}

// serveOn serves a listener until the test ends.
func serveOn(t *testing.T, l net.Listener, server *http.Server) string {
	server.ErrorLog = log.New(io.Discard, "", 0)
	served := make(chan struct{})
	go func() {
		defer close(served)
		_ = server.Serve(l)
	}()
	t.Cleanup(func() {
		_ = server.Close()
		<-served
	})
	return l.Addr().String()
}

// seen answers with what the endpoint saw of the connection, and the body.
func seen(w http.ResponseWriter, r *http.Request) {
	content, _ := io.ReadAll(r.Body)
	fmt.Fprintf(w, "%s sni=%s body=%d", r.Proto, r.TLS.ServerName, len(content))
}

// secured adds the Service orders that is spoken to over TLS, with its CA.
func (w *world) secured(ca *pki.Authority, endpoints ...string) string {
	w.Helper()
	at := w.service("orders", "http", endpoints...)
	w.annotate("orders", "scheme", "https", "tls-ca-secret", "orders-ca")
	w.CAs[shop("orders-ca")] = mesh.CAInput{PEM: string(ca.Certificate)}
	return at
}
