// Command build builds the sets of tools that it is asked for, all of them
// when it is asked for none, and prints the folder of each on stdout:
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
		names = tools.Names()
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
