// Command build compiles weft and writes its container image; `make image`
// runs it:
//
//	go run ./internal/image/build -version v0.1.0 -out dist/weft-image.tar
//
// The binaries stand beside the image, as weft-linux-amd64 and so on. They are
// built without paths, build times or version control data: equal sources and
// the same Go give the same bytes.
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
	repository, tag, _ := strings.Cut(image.Reference, ":")
	out := flag.String("out", filepath.Join("dist", "weft-image.tar"), "the `file` to write")
	version := flag.String("version", tag, "the version that weft tells, and the image's `tag`")
	platforms := flag.String("platforms", "linux/amd64,linux/arm64", "a comma-separated `list`; a docker load that knows no multi-platform images takes the first")
	flag.Parse()
	config := image.Config{Name: repository + ":" + *version}
	if err := build(*out, *version, strings.Split(*platforms, ","), config); err != nil {
		fmt.Fprintln(os.Stderr, "image:", err)
		os.Exit(1)
	}
}

// build compiles for each platform and writes the image to out.
func build(out, version string, platforms []string, config image.Config) error {
	folder := filepath.Dir(out)
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return err
	}
	for _, platform := range platforms {
		architecture, found := strings.CutPrefix(platform, "linux/")
		if !found {
			return fmt.Errorf("-platforms: %q is not linux/<architecture>", platform)
		}
		binary := filepath.Join(folder, "weft-linux-"+architecture)
		if err := compile(binary, architecture, version); err != nil {
			return err
		}
		config.Platforms = append(config.Platforms, image.Platform{Architecture: architecture, Binary: binary})
	}
	return write(out, config)
}

// compile builds weft for Linux, statically.
func compile(binary, architecture, version string) error {
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
func write(out string, config image.Config) error {
	unfinished := out + ".unfinished"
	file, err := os.Create(unfinished)
	if err != nil {
		return err
	}
	if err := errors.Join(image.Write(file, config), file.Close()); err != nil {
		return errors.Join(err, os.Remove(unfinished))
	}
	return os.Rename(unfinished, out)
}
