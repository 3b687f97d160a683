package conformance

import (
	"encoding/xml"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
)

// h2specVersion is the suite that is run; it is built once, from its Go module.
const h2specVersion = "v2.2.1+incompatible"

// allowed are the cases of h2spec that the proxy does not pass, each with its
// reason.
var allowed = map[string]string{
	"3.5/Sends invalid connection preface": "what does not begin with the preface is HTTP/1, and is answered as such: 400 and the end of the connection",
}

func h2spec(t *testing.T) string {
	t.Helper()
	cache, err := os.UserCacheDir()
	if err != nil {
		t.Fatal(err)
	}
	folder := filepath.Join(cache, "weft", "tools", "h2spec-"+h2specVersion)
	program := filepath.Join(folder, "h2spec")
	if _, err := os.Stat(program); err == nil {
		return program
	}
	build := exec.Command("go", "install", "github.com/summerwind/h2spec/cmd/h2spec@"+h2specVersion)
	build.Env = append(os.Environ(), "GOBIN="+folder, "GOFLAGS=", "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("building h2spec: %v\n%s", err, out)
	}
	return program
}

// report is what h2spec writes for machines.
type report struct {
	Suites []struct {
		ID    string `xml:"id,attr"`
		Cases []struct {
			Package string `xml:"package,attr"`
			Name    string `xml:"classname,attr"`
			Failure *struct {
				Text string `xml:",chardata"`
			} `xml:"failure"`
			Error *struct {
				Text string `xml:",chardata"`
			} `xml:"error"`
		} `xml:"testcase"`
	} `xml:"testsuite"`
}

func TestH2spec(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Protocols: &http.Protocols{}, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		_, _ = io.WriteString(w, "some bytes of an answer")
	})}
	server.Protocols.SetUnencryptedHTTP2(true)
	var serving sync.WaitGroup
	serving.Go(func() { _ = server.Serve(l) })
	t.Cleanup(func() {
		_ = server.Close()
		serving.Wait()
	})
	host, port, _ := net.SplitHostPort(proxyTo(t, l.Addr().String()))
	file := filepath.Join(t.TempDir(), "h2spec.xml")
	out, _ := exec.Command(h2spec(t), "-h", host, "-p", port, "-S", "-o", "2", "-j", file).CombinedOutput()
	written, err := os.ReadFile(file)
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	judge(t, written)
}

// judge compares what failed with what may.
func judge(t *testing.T, written []byte) {
	t.Helper()
	var r report
	if err := xml.Unmarshal(written, &r); err != nil {
		t.Fatal(err)
	}
	ran, failed := 0, map[string]bool{}
	for _, suite := range r.Suites {
		for _, c := range suite.Cases {
			ran++
			name := suite.ID + "/" + c.Name
			if c.Failure == nil && c.Error == nil {
				continue
			}
			failed[name] = true
			if allowed[name] == "" {
				t.Errorf("%s failed: %+v %+v", name, c.Failure, c.Error)
			}
		}
	}
	for name := range allowed {
		if !failed[name] {
			t.Errorf("%s passes: it needs no reason any more", name)
		}
	}
	if ran < 140 {
		t.Errorf("only %d cases ran", ran)
	}
	t.Logf("%d of %d cases pass", ran-len(failed), ran)
}
