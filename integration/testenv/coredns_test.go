package testenv_test

import (
	"testing"

	"github.com/miekg/dns"

	"github.com/weft-mesh/weft/integration/testenv"
)

// TestCoreDNS runs a Corefile as a cluster has it.
func TestCoreDNS(t *testing.T) {
	address := testenv.StartCoreDNS(t, `
(common) {
    errors
}
.:53 {
    import common
    health {
       lameduck 5s
    }
    ready
    prometheus :9153
    hosts {
        192.0.2.7 orders.shop.mesh
    }
    reload
}
`)
	for _, network := range []string{"udp", "tcp"} {
		client := dns.Client{Net: network}
		answer, _, err := client.Exchange(new(dns.Msg).SetQuestion("orders.shop.mesh.", dns.TypeA), address)
		if err != nil || len(answer.Answer) != 1 || answer.Answer[0].(*dns.A).A.String() != "192.0.2.7" {
			t.Errorf("%s: %v, %v", network, answer, err)
		}
	}
}

// TestCoreDNSOfTheCluster resolves a Service's name from a real API server.
func TestCoreDNSOfTheCluster(t *testing.T) {
	api := testenv.StartAPIServer(t)
	service := createService(t, clientFor(t, api.Config()))
	address := testenv.StartCoreDNS(t, `.:53 {
    kubernetes cluster.local in-addr.arpa ip6.arpa {
       kubeconfig `+api.Kubeconfig("admin", "system:masters")+`
       fallthrough in-addr.arpa ip6.arpa
    }
}
`)
	answer, err := dns.Exchange(new(dns.Msg).SetQuestion("orders.default.svc.cluster.local.", dns.TypeA), address)
	if err != nil || len(answer.Answer) != 1 || answer.Answer[0].(*dns.A).A.String() != service.Spec.ClusterIP {
		t.Errorf("%v, %v, want %s", answer, err, service.Spec.ClusterIP)
	}
}
