package main

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
)

// A wrong value is an error that names the flag and what it takes, before
// anything is read, opened or asked.
func TestAWrongValueIsAnErrorThatNamesTheFlag(t *testing.T) {
	for command, values := range map[string][]string{
		"controller": {"--namespace=We", "--domain=", "--aliases=traefik.mesh,_", "--clusterDomain=a..b", "--metrics.address=15020", "--watchNamespaces=shop,Shop", "--ignoreNamespaces=a..b", "--log.level=loud"},
		"node":       {"--namespace=a.b", "--admin.address=localhost", "--metrics.address=:http-alt", "--drain.delay=-1s", "--drain.timeout=0s", "--log.format=xml", "--tracing.endpoint=grpc://"},
		"local":      {"--addresses=nowhere", "--domain=a..b", "--dns.address=127.0.0.1", "--admin.address=:70000", "--tracing.endpoint=foo", "--tracing.endpoint=ftp://a", "--manifests=/nope"},
		"check":      {"--namespace=", "--domain=Mesh", "--aliases=_", "--clusterDomain=a..b"},
		"uninstall":  {"--namespace=-", "--timeout=0s"},
		"diff":       {"--manifests=/nope", "--file=/nope"},
		"explain":    {"--header=accept", "--header=a b: c", "--method=G T", "--path=orders"},
		"tap":        {"--status=abc", "--status=6x", "--status=99", "--method=x y", "--path=orders", "--count=-1", "--from=a b", "--from=shop/", "--from=/web"},
	} {
		for _, value := range values {
			args := []string{command, value}
			switch command {
			case "local":
				args = append(args, "--manifests=.")
			case "explain":
				args = append(args, "--to=orders.shop")
			case "diff":
				args = append(args, "--file=../../docs/canary.yaml")
			case "tap":
				args = append(args, "orders.shop")
			}
			err := run(t.Context(), args, io.Discard)
			flag, _, _ := strings.Cut(value, "=")
			if !errors.Is(err, errUsage) || !strings.Contains(fmt.Sprint(err), flag+"=") || !strings.Contains(fmt.Sprint(err), "takes") {
				t.Errorf("weft %s %s: %v", command, value, err)
			}
		}
	}
}
