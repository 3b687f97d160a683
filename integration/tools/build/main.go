// Command build builds the sets of tools that it is asked for and prints the
// folder of each on stdout. Asked for none, it builds what tests without root
// need: no kube-router, no Prometheus, and no Kubernetes where KUBEBUILDER_ASSETS has it.
//
//	go run ./integration/tools/build kubernetes
package main

import (
	"fmt"
	"os"

	"github.com/weft-mesh/weft/integration/tools"
)

func main() {
	names := os.Args[1:]
	if len(names) == 0 {
		names = tools.Needed()
	}
	for _, name := range names {
		folder, err := tools.Build(name)
		if err != nil {
			fmt.Fprintln(os.Stderr, "build:", err)
			os.Exit(1)
		}
		fmt.Println(folder)
	}
}
