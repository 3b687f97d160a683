package image

import (
	"archive/tar"
	"crypto/sha256"
	"fmt"
	"path"
)

// Media types of image-spec v1.1, media-types.md.
const (
	mediaIndex    = "application/vnd.oci.image.index.v1+json"
	mediaManifest = "application/vnd.oci.image.manifest.v1+json"
	mediaConfig   = "application/vnd.oci.image.config.v1+json"
	mediaLayer    = "application/vnd.oci.image.layer.v1.tar"
)

// digest names content, "sha256:" and 64 hexadecimal digits.
type digest string

// path of the blob in the layout.
func (d digest) path() string { return path.Join("blobs", "sha256", string(d[len("sha256:"):])) }

// descriptor points to a blob (image-spec, descriptor.md).
type descriptor struct {
	MediaType   string            `json:"mediaType"`
	Digest      digest            `json:"digest"`
	Size        int               `json:"size"`
	Annotations map[string]string `json:"annotations,omitempty"`
	Platform    *platform         `json:"platform,omitempty"`
}

// platform is what an index chooses by (image-spec, image-index.md).
type platform struct {
	Architecture string `json:"architecture"`
	OS           string `json:"os"`
}

// index lists images (image-spec, image-index.md).
type index struct {
	SchemaVersion int          `json:"schemaVersion"`
	MediaType     string       `json:"mediaType"`
	Manifests     []descriptor `json:"manifests"`
}

// manifest is the image of one platform (image-spec, manifest.md).
type manifest struct {
	SchemaVersion int          `json:"schemaVersion"`
	MediaType     string       `json:"mediaType"`
	Config        descriptor   `json:"config"`
	Layers        []descriptor `json:"layers"`
}

// configuration is how the image runs (image-spec, config.md).
type configuration struct {
	Created string `json:"created"`
	platform
	Config process `json:"config"`
	RootFS rootFS  `json:"rootfs"`
}

// process is the part of a configuration that a container takes over.
type process struct {
	User       string            `json:"User"`
	Env        []string          `json:"Env"`
	Entrypoint []string          `json:"Entrypoint"`
	WorkingDir string            `json:"WorkingDir"`
	Labels     map[string]string `json:"Labels"`
}

// rootFS lists the layers by the digests of their uncompressed tars.
type rootFS struct {
	Type    string   `json:"type"`
	DiffIDs []digest `json:"diff_ids"`
}

// dockerImage is an entry of Docker's manifest.json.
type dockerImage struct {
	Config   string   `json:"Config"`
	RepoTags []string `json:"RepoTags"`
	Layers   []string `json:"Layers"`
}

// layout writes an image layout into a tar.
type layout struct {
	name    string
	out     *tar.Writer
	written map[string]bool // the paths of the blobs that the tar has
}

// write writes everything: the blobs first, then what names them.
func (l *layout) write(platforms []Platform) error {
	image := index{SchemaVersion: 2, MediaType: mediaIndex}
	var docker []dockerImage
	for i, p := range platforms {
		m, err := l.platform(p)
		if err != nil {
			return err
		}
		described, err := l.blob(mediaManifest, encode(m))
		if err != nil {
			return err
		}
		described.Platform = &platform{Architecture: p.Architecture, OS: "linux"}
		image.Manifests = append(image.Manifests, described)
		if i == 0 {
			docker = append(docker, dockerImage{
				Config: m.Config.Digest.path(), RepoTags: []string{l.name}, Layers: []string{m.Layers[0].Digest.path()},
			})
		}
	}
	described, err := l.blob(mediaIndex, encode(image))
	if err != nil {
		return err
	}
	// containerd reads the whole name, others the tag.
	described.Annotations = map[string]string{
		"io.containerd.image.name":          l.name,
		"org.opencontainers.image.ref.name": tag(l.name),
	}
	return l.entry(described, docker)
}

// entry writes the files by which readers enter the layout.
func (l *layout) entry(image descriptor, docker []dockerImage) error {
	top := index{SchemaVersion: 2, MediaType: mediaIndex, Manifests: []descriptor{image}}
	if err := file(l.out, "index.json", 0o644, encode(top)); err != nil {
		return err
	}
	if err := file(l.out, "manifest.json", 0o644, encode(docker)); err != nil {
		return err
	}
	return file(l.out, "oci-layout", 0o644, []byte(`{"imageLayoutVersion":"1.0.0"}`))
}

// platform writes the layer and the configuration of one platform.
func (l *layout) platform(p Platform) (manifest, error) {
	content, err := layer(p.Binary)
	if err != nil {
		return manifest{}, err
	}
	files, err := l.blob(mediaLayer, content)
	if err != nil {
		return manifest{}, err
	}
	config, err := l.blob(mediaConfig, encode(configure(p.Architecture, files.Digest)))
	return manifest{SchemaVersion: 2, MediaType: mediaManifest, Config: config, Layers: []descriptor{files}}, err
}

// configure is the configuration of an image with one layer.
func configure(architecture string, files digest) configuration {
	return configuration{
		Created:  "1970-01-01T00:00:00Z",
		platform: platform{Architecture: architecture, OS: "linux"},
		Config: process{
			User:       user,
			Env:        []string{"PATH=/"},
			Entrypoint: []string{"/weft"},
			WorkingDir: "/",
			Labels: map[string]string{
				"org.opencontainers.image.licenses": "Apache-2.0",
				"org.opencontainers.image.source":   "https://github.com/weft-mesh/weft",
				"org.opencontainers.image.title":    "weft",
			},
		},
		RootFS: rootFS{Type: "layers", DiffIDs: []digest{files}},
	}
}

// blob writes content unless the tar has it, and describes it.
func (l *layout) blob(media string, content []byte) (descriptor, error) {
	d := digest(fmt.Sprintf("sha256:%x", sha256.Sum256(content)))
	described := descriptor{MediaType: media, Digest: d, Size: len(content)}
	if l.written[d.path()] {
		return described, nil
	}
	l.written[d.path()] = true
	return described, file(l.out, d.path(), 0o644, content)
}
