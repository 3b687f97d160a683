package pki_test

import (
	"crypto/x509"
	"testing"

	"github.com/weft-mesh/weft/internal/pki"
)

func TestWhatAnAuthoritySignsIsTrustedByThoseWhoKnowIt(t *testing.T) {
	made, err := pki.New("weft")
	if err != nil {
		t.Fatal(err)
	}
	a, err := pki.Parse(made.Certificate, made.Key)
	if err != nil {
		t.Fatal(err)
	}
	other, err := pki.New("weft")
	if err != nil {
		t.Fatal(err)
	}
	server, err := a.Issue("weft-controller", "weft-controller.weft.svc")
	if err != nil {
		t.Fatal(err)
	}
	client, err := a.Issue("weft-controller")
	if err != nil {
		t.Fatal(err)
	}
	read, err := pki.ReadPool(made.Certificate)
	if err != nil {
		t.Fatal(err)
	}
	verify := func(leaf *x509.Certificate, roots *x509.CertPool, dns string, usage x509.ExtKeyUsage) error {
		_, err := leaf.Verify(x509.VerifyOptions{Roots: roots, DNSName: dns, KeyUsages: []x509.ExtKeyUsage{usage}})
		return err
	}
	if err := verify(server.Leaf, read, "weft-controller.weft.svc", x509.ExtKeyUsageServerAuth); err != nil {
		t.Error(err)
	}
	if err := verify(client.Leaf, made.Pool(), "", x509.ExtKeyUsageClientAuth); err != nil {
		t.Error(err)
	}
	if verify(client.Leaf, made.Pool(), "", x509.ExtKeyUsageServerAuth) == nil || verify(client.Leaf, other.Pool(), "", x509.ExtKeyUsageClientAuth) == nil {
		t.Error("a client's certificate is a server's, or another authority's")
	}
	if _, err := pki.Parse([]byte("no"), made.Key); err == nil {
		t.Error("no certificate was read")
	}
	if _, err := pki.ReadPool(nil); err == nil {
		t.Error("nothing was read")
	}
}
