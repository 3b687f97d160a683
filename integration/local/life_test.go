package local

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"syscall"
	"testing"
)

func TestSIGTERMLetsWhatIsInFlightFinish(t *testing.T) {
	arrived, finish := make(chan struct{}), make(chan struct{})
	backend := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		close(arrived)
		<-finish
		_, _ = io.WriteString(w, "in the end")
	}))
	t.Cleanup(backend.Close)
	web := port{name: "http", number: 80, at: []netip.AddrPort{addrPort(backend.Listener.Addr())}}
	p := start(t, map[string]string{"orders.yaml": service(t, "orders", web)})
	answered := make(chan string, 1)
	client := http.Client{Transport: p.transport()}
	go func() { answered <- answer(client.Get("http://orders.shop.mesh:8080/")) }()
	<-arrived
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	await(t, "unready", func() bool {
		status, body := p.get("/readyz")
		return status == http.StatusServiceUnavailable && strings.Contains(body, "drain")
	})
	close(finish)
	if got, want := <-answered, "200 in the end close=true"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func answer(response *http.Response, err error) string {
	if err != nil {
		return err.Error()
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return err.Error()
	}
	return fmt.Sprintf("%d %s close=%v", response.StatusCode, body, response.Close)
}

// A system with one loopback address is what this range makes of any other.
func TestOneAddressForAllServices(t *testing.T) {
	at := []netip.AddrPort{echoHTTP(t, "v1")}
	p := start(t, map[string]string{
		"shop.yaml": service(t, "orders", port{name: "http", number: 80, at: at}) + service(t, "users", port{name: "http", number: 80, at: at}),
	}, "--addresses=127.0.0.1/32", "--domain=test.internal")
	if len(p.table) != 2 || !strings.HasPrefix(p.table[0], "orders.shop.test.internal 127.0.0.1:") || !strings.HasSuffix(p.table[1], " http (port 80)") {
		t.Fatalf("table %q", p.table)
	}
	seen := map[string]bool{}
	for _, line := range p.table {
		address := strings.Fields(line)[1]
		client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
		if got := answer(client.Get("http://" + address)); got != "200  close=true" || seen[address] {
			t.Errorf("%s: %s", line, got)
		}
		seen[address] = true
	}
}
