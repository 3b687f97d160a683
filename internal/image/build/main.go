// Command build compiles weft and writes its container image; `make image`
// runs it:
//
//	go run ./internal/image/build -output dist/weft-image.tar -platforms linux/amd64,linux/arm64
//
// The binaries stand beside the image, as weft-linux-amd64 and so on. They are
// built with the tag of image.Reference as their version, and without paths,
// build times or version control data: equal sources and the same Go give the
// same bytes.
package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/weft-mesh/weft/internal/image"
)

func main() {
	output := flag.String("output", filepath.Join("dist", "weft-image.tar"), "the file to write")
	platforms := flag.String("platforms", "linux/amd64,linux/arm64", "the platforms, separated by commas; a `docker load` that knows no multi-platform images takes the first")
	flag.Parse()
	if err := build(*output, strings.Split(*platforms, ",")); err != nil {
		fmt.Fprintln(os.Stderr, "image:", err)
		os.Exit(1)
	}
}

// build compiles for each platform and writes the image to output.
func build(output string, platforms []string) error {
	folder := filepath.Dir(output)
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return err
	}
	var config image.Config
	for _, platform := range platforms {
		architecture, found := strings.CutPrefix(platform, "linux/")
		if !found {
			return fmt.Errorf("-platforms: %q is not linux/<architecture>", platform)
		}
		binary := filepath.Join(folder, "weft-linux-"+architecture)
		if err := compile(binary, architecture); err != nil {
			return err
		}
		config.Platforms = append(config.Platforms, image.Platform{Architecture: architecture, Binary: binary})
	}
	return write(output, config)
}

// compile builds weft for Linux, statically.
func compile(binary, architecture string) error {
	_, version, _ := strings.Cut(image.Reference, ":")
	command := exec.Command("go", "build", "-trimpath", "-buildvcs=false",
		"-ldflags", "-s -w -buildid= -X main.version="+version, "-o", binary, "./cmd/weft")
	command.Env = append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=-mod=readonly", "GOOS=linux", "GOARCH="+architecture)
	command.Stderr = os.Stderr
	if err := command.Run(); err != nil {
		return fmt.Errorf("building for %s: %w", architecture, err)
	}
	return nil
}

// write writes the image beside its place first, so that it appears whole.
func write(output string, config image.Config) error {
	unfinished := output + ".unfinished"
	file, err := os.Create(unfinished)
	if err != nil {
		return err
	}
	if err := errors.Join(image.Write(file, config), file.Close()); err != nil {
		return errors.Join(err, os.Remove(unfinished))
	}
	return os.Rename(unfinished, output)
}
