// Package image writes Weft's container image as one tar file, without a
// container engine:
//
//	err := image.Write(file, image.Config{
//		Name:      "ghcr.io/weft-mesh/weft:v0.1.0",
//		Platforms: []image.Platform{{Architecture: "amd64", Binary: "/tmp/weft"}},
//	})
//
// The file is an OCI image layout (image-spec v1.1, image-layout.md) whose
// index names one multi-platform image, with the manifest.json of the older
// "docker load" beside it. So "ctr images import", "kind load image-archive",
// "podman load" and "docker load" all take it.
//
// The image holds the static binary as /weft and an empty /tmp, nothing else:
// no shell, no users file, no certificates, since the API server's certificate
// comes with the pod. Layers are not compressed, all times are zero and all
// owners root, so that equal binaries give equal bytes whatever the machine
// and the version of Go.
package image

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
)

// Reference is the name of the image of this version, the one that the
// manifests name.
const Reference = "ghcr.io/weft-mesh/weft:v0.1.0"

// user is who the image runs as, uid and gid: the "nonroot" of common base
// images, and the one that the manifests ask for.
const user = "65532:65532"

// Config says what to write.
type Config struct {
	// Name is the image's reference with its tag; empty means Reference.
	Name string
	// Platforms are those of the image, at least one, each at most once. A
	// "docker load" that knows no multi-platform images takes the first.
	Platforms []Platform
}

// Platform is one Linux build of the binary.
type Platform struct {
	Architecture string // as in GOARCH
	Binary       string // path of the statically linked file
}

// Write writes the image as a tar file. The error is that of a binary that
// cannot be read, of w, or says what is wrong with the Config; what was
// written by then is of no use.
func Write(w io.Writer, config Config) error {
	if config.Name == "" {
		config.Name = Reference
	}
	if err := config.validate(); err != nil {
		return err
	}
	l := layout{name: config.Name, out: tar.NewWriter(w), written: map[string]bool{}}
	if err := l.write(config.Platforms); err != nil {
		return err
	}
	return l.out.Close()
}

// validate tells what is wrong with the Config, nil when nothing is.
func (c Config) validate() error {
	if tag(c.Name) == "" {
		return fmt.Errorf("image: %q has no tag", c.Name)
	}
	if len(c.Platforms) == 0 {
		return errors.New("image: no platform")
	}
	seen := map[string]bool{}
	for _, p := range c.Platforms {
		if p.Architecture == "" || seen[p.Architecture] {
			return fmt.Errorf("image: architecture %q is empty or given twice", p.Architecture)
		}
		seen[p.Architecture] = true
	}
	return nil
}

// tag is the part of an image's name behind the colon that no slash follows.
func tag(name string) string {
	at := strings.LastIndexByte(name, ':')
	if at < 0 || strings.Contains(name[at:], "/") {
		return ""
	}
	return name[at+1:]
}

// layer is the image's one layer, a tar of its files.
func layer(binary string) ([]byte, error) {
	content, err := os.ReadFile(binary)
	if err != nil {
		return nil, fmt.Errorf("image: %w", err)
	}
	var buffer bytes.Buffer
	out := tar.NewWriter(&buffer)
	err = errors.Join(
		out.WriteHeader(&tar.Header{Typeflag: tar.TypeDir, Name: "tmp/", Mode: 0o1777, Format: tar.FormatUSTAR}),
		file(out, "weft", 0o755, content),
		out.Close(),
	)
	return buffer.Bytes(), err
}

// file adds a regular file to a tar.
func file(out *tar.Writer, name string, mode int64, content []byte) error {
	header := tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: mode, Size: int64(len(content)), Format: tar.FormatUSTAR}
	if err := out.WriteHeader(&header); err != nil {
		return err
	}
	_, err := out.Write(content)
	return err
}

// encode is the JSON of a value of this package, which always has one.
func encode(value any) []byte {
	content, err := json.Marshal(value)
	if err != nil {
		panic(err)
	}
	return content
}
