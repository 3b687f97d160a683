package image

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// binary is a file with the given content.
func binary(t *testing.T, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "weft")
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// both are two platforms with binaries of their own.
func both(t *testing.T) []Platform {
	return []Platform{
		{Architecture: "amd64", Binary: binary(t, "for amd64")},
		{Architecture: "arm64", Binary: binary(t, "for arm64")},
	}
}

// written is the image of a Config that is right.
func written(t *testing.T, config Config) []byte {
	t.Helper()
	var buffer bytes.Buffer
	if err := Write(&buffer, config); err != nil {
		t.Fatal(err)
	}
	return buffer.Bytes()
}

// archive reads a tar whose names are all different.
func archive(t *testing.T, content []byte) (headers map[string]*tar.Header, files map[string][]byte) {
	t.Helper()
	headers, files = map[string]*tar.Header{}, map[string][]byte{}
	in := tar.NewReader(bytes.NewReader(content))
	for {
		header, err := in.Next()
		if err == io.EOF {
			return headers, files
		}
		if err != nil {
			t.Fatal(err)
		}
		if headers[header.Name] != nil {
			t.Fatalf("%s is there twice", header.Name)
		}
		headers[header.Name] = header
		if files[header.Name], err = io.ReadAll(in); err != nil {
			t.Fatal(err)
		}
	}
}

// decode reads JSON that has no unknown field.
func decode(t *testing.T, content []byte, into any) {
	t.Helper()
	decoder := json.NewDecoder(bytes.NewReader(content))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(into); err != nil {
		t.Fatalf("%v in %s", err, content)
	}
}

// follow is the blob that a descriptor points to, of the right size and digest.
func follow(t *testing.T, files map[string][]byte, d descriptor) []byte {
	t.Helper()
	content, found := files[d.Digest.path()]
	if !found || len(content) != d.Size || fmt.Sprintf("sha256:%x", sha256.Sum256(content)) != string(d.Digest) {
		t.Fatalf("%+v: found %v, %d bytes", d, found, len(content))
	}
	return content
}

// images reads the manifests of all platforms, from index.json on.
func images(t *testing.T, files map[string][]byte) (top index, platforms index, manifests []manifest) {
	t.Helper()
	decode(t, files["index.json"], &top)
	if len(top.Manifests) != 1 {
		t.Fatalf("index.json names %d images", len(top.Manifests))
	}
	decode(t, follow(t, files, top.Manifests[0]), &platforms)
	for _, d := range platforms.Manifests {
		var m manifest
		decode(t, follow(t, files, d), &m)
		manifests = append(manifests, m)
	}
	return top, platforms, manifests
}

func TestEveryPlatformRunsItsOwnBinary(t *testing.T) {
	_, files := archive(t, written(t, Config{Platforms: both(t)}))
	_, platforms, manifests := images(t, files)
	for i, architecture := range []string{"amd64", "arm64"} {
		want := platform{Architecture: architecture, OS: "linux"}
		var config configuration
		decode(t, follow(t, files, manifests[i].Config), &config)
		if *platforms.Manifests[i].Platform != want || config.platform != want {
			t.Errorf("platform %v, configuration %v, want %v", platforms.Manifests[i].Platform, config.platform, want)
		}
		content := follow(t, files, manifests[i].Layers[0])
		if diff := cmp.Diff([]digest{manifests[i].Layers[0].Digest}, config.RootFS.DiffIDs); diff != "" {
			t.Error(diff)
		}
		if config.Config.User != "65532:65532" || !cmp.Equal(config.Config.Entrypoint, []string{"/weft"}) {
			t.Errorf("runs %v as %s", config.Config.Entrypoint, config.Config.User)
		}
		headers, inside := archive(t, content)
		if string(inside["weft"]) != "for "+architecture {
			t.Errorf("/weft of %s is %q", architecture, inside["weft"])
		}
		if len(headers) != 2 || headers["weft"].Mode != 0o755 || headers["tmp/"].Mode != 0o1777 {
			t.Errorf("files: %v", headers)
		}
	}
}

func TestNamesForContainerdAndDocker(t *testing.T) {
	_, files := archive(t, written(t, Config{Name: "registry:5000/a/b:v9", Platforms: both(t)}))
	top, _, manifests := images(t, files)
	want := map[string]string{"io.containerd.image.name": "registry:5000/a/b:v9", "org.opencontainers.image.ref.name": "v9"}
	if diff := cmp.Diff(want, top.Manifests[0].Annotations); diff != "" {
		t.Error(diff)
	}
	var docker []dockerImage
	decode(t, files["manifest.json"], &docker)
	first := []dockerImage{{
		Config:   manifests[0].Config.Digest.path(),
		RepoTags: []string{"registry:5000/a/b:v9"},
		Layers:   []string{manifests[0].Layers[0].Digest.path()},
	}}
	if diff := cmp.Diff(first, docker); diff != "" {
		t.Error(diff)
	}
	if string(files["oci-layout"]) != `{"imageLayoutVersion":"1.0.0"}` {
		t.Errorf("oci-layout: %s", files["oci-layout"])
	}
}

func TestNameIsReferenceWhenEmpty(t *testing.T) {
	_, files := archive(t, written(t, Config{Platforms: both(t)}))
	top, _, _ := images(t, files)
	if got := top.Manifests[0].Annotations["io.containerd.image.name"]; got != Reference {
		t.Errorf("named %q", got)
	}
}

func TestSameBinariesGiveSameBytes(t *testing.T) {
	first, second := written(t, Config{Platforms: both(t)}), written(t, Config{Platforms: both(t)})
	if !bytes.Equal(first, second) {
		t.Error("two writes of equal binaries differ")
	}
	other := both(t)
	other[1].Binary = binary(t, "changed")
	if bytes.Equal(first, written(t, Config{Platforms: other})) {
		t.Error("another binary gives the same image")
	}
	headers, _ := archive(t, first)
	for name, header := range headers {
		if header.ModTime.Unix() != 0 || header.Uid != 0 || header.Gid != 0 || header.Uname != "" {
			t.Errorf("%s tells of the machine: %+v", name, header)
		}
	}
}

func TestEqualBlobsAreWrittenOnce(t *testing.T) {
	same := binary(t, "one script for all")
	_, files := archive(t, written(t, Config{Platforms: []Platform{{"amd64", same}, {"arm64", same}}}))
	if _, _, manifests := images(t, files); manifests[0].Layers[0].Digest != manifests[1].Layers[0].Digest {
		t.Error("equal layers have two names")
	}
}

func TestWriteRefuses(t *testing.T) {
	path := binary(t, "x")
	for want, config := range map[string]Config{
		"no platform":   {},
		"has no tag":    {Name: "localhost:5000/weft", Platforms: both(t)},
		"given twice":   {Platforms: []Platform{{"amd64", path}, {"amd64", path}}},
		"is empty":      {Platforms: []Platform{{"", path}}},
		"no such file":  {Platforms: []Platform{{"amd64", filepath.Join(t.TempDir(), "none")}}},
		`"weft" has no`: {Name: "weft", Platforms: both(t)},
	} {
		if err := Write(io.Discard, config); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("want %q, got %v", want, err)
		}
	}
}

func TestErrorOfTheWriterIsReturned(t *testing.T) {
	in, out := io.Pipe()
	in.CloseWithError(os.ErrClosed)
	if err := Write(out, Config{Platforms: both(t)}); err == nil {
		t.Error("no error from a closed writer")
	}
}

func TestDockerfileAgrees(t *testing.T) {
	content, err := os.ReadFile(filepath.Join("..", "..", "Dockerfile"))
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range []string{"USER " + user, `ENTRYPOINT ["/weft"]`, "ARG VERSION=" + tag(Reference)} {
		if !strings.Contains(string(content), "\n"+line+"\n") {
			t.Errorf("the Dockerfile has no line %q", line)
		}
	}
}
