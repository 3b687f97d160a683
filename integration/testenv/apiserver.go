package testenv

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/weft-mesh/weft/internal/freeport"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
)

const (
	// startLimit is how long a program may take until it serves.
	startLimit = time.Minute
	// attempts is how often a program is started anew that has ended before
	// it served: another may have taken its port.
	attempts = 3
)

// APIServer is a kube-apiserver with its etcd. RBAC is on, the cluster's
// Service ranges are 10.96.0.0/16 and fd00:10:96::/112. No controller runs:
// no EndpointSlices, tokens or default service accounts appear by themselves,
// a namespace that is deleted stays, and pods are admitted without their
// service account. Its methods are for the test's own goroutine.
type APIServer struct {
	t         testing.TB
	folder    string
	authority *authority
	address   string // where clients reach it, for life
	etcd      *etcd
	process   *process   // nil while stopped
	forwarder *forwarder // nil while stopped
}

// StartAPIServer starts an API server with an empty database and waits until
// it is ready. It ends with the test; its last words are logged when the test
// has failed.
func StartAPIServer(t testing.TB) *APIServer {
	t.Helper()
	etcdPath := Tool(t, "etcd")
	a := &APIServer{t: t, folder: t.TempDir()}
	at, err := freeport.Address()
	a.check(err)
	a.address = at.String()
	a.authority, err = newAuthority()
	a.check(err)
	a.check(a.writeFiles(at.Addr()))
	a.etcd, err = startEtcd(a.folder, etcdPath)
	a.check(err)
	t.Cleanup(a.end)
	a.Start()
	return a
}

// end stops everything.
func (a *APIServer) end() {
	logOnFailure(a.t, a.folder, "etcd", "kube-apiserver")
	a.Stop()
	a.etcd.process.kill()
}

// Start starts the API server after Stop, at the same address and with the
// same data, and waits until it is ready.
func (a *APIServer) Start() {
	a.t.Helper()
	if a.process != nil {
		return
	}
	path := Tool(a.t, "kube-apiserver")
	client, err := rest.HTTPClientFor(a.Config())
	a.check(err)
	client.Timeout = time.Second
	defer client.CloseIdleConnections()
	for range attempts {
		port, err := freePort()
		a.check(err)
		a.forwarder, err = forward(a.address, loopback(port))
		a.check(err)
		a.process, err = startProcess(a.folder, path, a.arguments(port)...)
		a.check(err)
		if await(a.process, startLimit, func() bool { return a.ready(client) }) {
			return
		}
		a.Stop()
	}
	a.t.Fatalf("kube-apiserver does not start; %s", lastWords(a.folder, "kube-apiserver"))
}

// Stop ends the API server at once, as a crash would: connections break and
// new ones are refused. Its data stays.
func (a *APIServer) Stop() {
	a.process.kill()
	a.forwarder.close()
	a.process, a.forwarder = nil, nil
}

// DropConnections cuts the connections of all clients, and so their watches.
// The API server runs on, and clients may go on from where they were.
func (a *APIServer) DropConnections() { a.forwarder.drop() }

// Expire restarts the API server and has the database forget its past in
// between. A watch that goes on from before gets 410 Gone.
func (a *APIServer) Expire() {
	a.t.Helper()
	a.Stop()
	a.check(a.etcd.compact())
	a.Start()
}

// Config is that of an administrator. It has no limit of requests.
func (a *APIServer) Config() *rest.Config {
	a.t.Helper()
	config := a.ConfigFor("admin", "system:masters")
	config.QPS = -1
	return config
}

// ConfigFor acts as a user in groups, such as
// "system:serviceaccount:weft:controller"; every user is in
// system:authenticated. It may do what RBAC lets it.
func (a *APIServer) ConfigFor(user string, groups ...string) *rest.Config {
	a.t.Helper()
	client, err := a.authority.client(user, groups)
	a.check(err)
	return &rest.Config{
		Host: "https://" + a.address,
		TLSClientConfig: rest.TLSClientConfig{
			CAData:   a.authority.pem(),
			CertData: client.certificate,
			KeyData:  client.key,
		},
	}
}

// Kubeconfig is the path of a file by which kubectl, or Weft itself, acts as
// ConfigFor does.
func (a *APIServer) Kubeconfig(user string, groups ...string) string {
	a.t.Helper()
	config := a.ConfigFor(user, groups...)
	content, err := clientcmd.Write(clientcmdapi.Config{
		Clusters:       map[string]*clientcmdapi.Cluster{"weft": {Server: config.Host, CertificateAuthorityData: config.CAData}},
		AuthInfos:      map[string]*clientcmdapi.AuthInfo{user: {ClientCertificateData: config.CertData, ClientKeyData: config.KeyData}},
		Contexts:       map[string]*clientcmdapi.Context{"weft": {Cluster: "weft", AuthInfo: user}},
		CurrentContext: "weft",
	})
	a.check(err)
	file, err := os.CreateTemp(a.folder, "*.kubeconfig")
	a.check(err)
	defer file.Close()
	_, err = file.Write(content)
	a.check(err)
	return file.Name()
}

// check ends the test on an error.
func (a *APIServer) check(err error) {
	a.t.Helper()
	if err != nil {
		a.t.Fatal(err)
	}
}

// frontProxy is the name by which the API server calls the servers of aggregated APIs.
const frontProxy = "front-proxy-client"

// ready tells whether the API server is ready and has made the objects that
// it makes by itself; the Service "kubernetes" is the last of them.
func (a *APIServer) ready(client *http.Client) bool {
	for _, path := range []string{"/readyz", "/api/v1/namespaces/default/services/kubernetes"} {
		response, err := client.Get("https://" + a.address + path)
		if err != nil {
			return false
		}
		response.Body.Close()
		if response.StatusCode != http.StatusOK {
			return false
		}
	}
	return true
}

// file is the path of a file of the API server's.
func (a *APIServer) file(name string) string { return filepath.Join(a.folder, name) }

// writeFiles writes the certificates and keys that the API server reads, which
// clients reach at the address.
func (a *APIServer) writeFiles(address netip.Addr) error {
	server, err := a.authority.server(address)
	if err != nil {
		return err
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	tokens, err := encodeKey(key)
	if err != nil {
		return err
	}
	front, err := newAuthority()
	if err != nil {
		return err
	}
	proxy, err := front.client(frontProxy, nil)
	if err != nil {
		return err
	}
	files := map[string][]byte{"front-ca.crt": front.pem(), "front.crt": proxy.certificate, "front.key": proxy.key, "ca.crt": a.authority.pem(), "server.crt": server.certificate, "server.key": server.key, "tokens.key": tokens}
	for name, content := range files {
		if err := os.WriteFile(a.file(name), content, 0o600); err != nil {
			return err
		}
	}
	return nil
}

// arguments are those of the API server on the port. The advertised address
// is one for documentation (RFC 5737): the server refuses loopback there, and
// a machine need not have another.
func (a *APIServer) arguments(port int) []string {
	return []string{
		"--etcd-servers=" + a.etcd.url,
		"--bind-address=127.0.0.1", "--secure-port=" + strconv.Itoa(port), "--advertise-address=192.0.2.1",
		"--cert-dir=" + a.folder, "--client-ca-file=" + a.file("ca.crt"),
		"--tls-cert-file=" + a.file("server.crt"), "--tls-private-key-file=" + a.file("server.key"),
		"--service-account-issuer=https://kubernetes.default.svc",
		"--service-account-key-file=" + a.file("tokens.key"), "--service-account-signing-key-file=" + a.file("tokens.key"),
		"--service-cluster-ip-range=10.96.0.0/16,fd00:10:96::/112",
		"--requestheader-client-ca-file=" + a.file("front-ca.crt"), "--requestheader-allowed-names=" + frontProxy,
		"--requestheader-username-headers=X-Remote-User", "--requestheader-group-headers=X-Remote-Group",
		"--requestheader-extra-headers-prefix=X-Remote-Extra-",
		"--proxy-client-cert-file=" + a.file("front.crt"), "--proxy-client-key-file=" + a.file("front.key"),
		"--authorization-mode=RBAC", "--disable-admission-plugins=ServiceAccount",
		"--allow-privileged=true",
	}
}
