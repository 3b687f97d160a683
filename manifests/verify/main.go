// Command verify writes a kustomization as one file; `make manifests` runs it:
//
//	go run -C manifests/verify . -out ../install.yaml ..
//
// Its tests hold install.yaml to the base, and the manifests' pods to the Pod
// Security Standards; those of the folder above run them. All that needs
// libraries that are none of Weft's business, so it is a module of its own.
package main

import (
	"flag"
	"fmt"
	"os"

	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/kyaml/filesys"
)

func main() {
	out := flag.String("out", "/dev/stdout", "the `file` to write")
	flag.Parse()
	if flag.NArg() != 1 {
		fmt.Fprintln(os.Stderr, "usage: verify [-out FILE] FOLDER")
		os.Exit(2)
	}
	rendered, err := render(flag.Arg(0))
	if err == nil {
		err = os.WriteFile(*out, rendered, 0o644)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "verify:", err)
		os.Exit(1)
	}
}

// render is the YAML of the kustomization in folder.
func render(folder string) ([]byte, error) {
	objects, err := krusty.MakeKustomizer(krusty.MakeDefaultOptions()).Run(filesys.MakeFsOnDisk(), folder)
	if err != nil {
		return nil, err
	}
	return objects.AsYaml()
}
