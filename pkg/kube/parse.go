//lint:file-ignore SA1019 Files may still hold the old Endpoints objects; a cluster is read by slices only.

package kube

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/rs/zerolog"
	"github.com/weft-mesh/weft/pkg/mesh"
	"github.com/weft-mesh/weft/pkg/smi"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"
)

// FileKind is the kind of a Ref to a file.
const FileKind = "File"

var (
	errNoKind = errors.New("kind or apiVersion is missing; want one object per document")
	errNoName = errors.New("metadata.name is missing")
)

// located is a reading and where it stands, as "path:line".
type located struct {
	place   string
	reading reading
}

// parser reads files.
type parser struct {
	trimmer *trimmer
	log     zerolog.Logger
}

// parse reads a file. Documents that cannot be read are the problems.
func (p parser) parse(path string, content []byte) (readings []located, broken []mesh.Problem) {
	for line, document := range documents(content) {
		place := path + ":" + strconv.Itoa(line)
		found, err := p.document(line, document)
		if err != nil {
			broken = append(broken, mesh.Problem{
				Object: mesh.Ref{Kind: FileKind, Name: place}, Reason: mesh.Malformed,
				Message: err.Error(),
			})
		}
		for _, r := range found {
			readings = append(readings, located{place: place, reading: r})
		}
	}
	return readings, broken
}

// documents yields the documents of a file and the line, from 1, on which each
// begins. A line that begins with "---" separates them (YAML 1.2, §9.1); what
// stands on it belongs to the next.
func documents(content []byte) func(yield func(int, []byte) bool) {
	return func(yield func(int, []byte) bool) {
		first, begin, line := 1, 0, 0
		for at := 0; at < len(content); {
			line++
			length := bytes.IndexByte(content[at:], '\n') + 1
			if length == 0 {
				length = len(content) - at
			}
			if separates(content[at : at+length]) {
				if !yield(first, content[begin:at]) {
					return
				}
				first, begin = line, at
			}
			at += length
		}
		yield(first, content[begin:])
	}
}

func separates(line []byte) bool {
	rest, ok := bytes.CutPrefix(line, []byte("---"))
	return ok && (len(rest) == 0 || strings.IndexByte(" \t\r\n", rest[0]) >= 0)
}

// document reads the objects of one document that begins on a line.
func (p parser) document(line int, content []byte) ([]reading, error) {
	if objects, ok := jsonObjects(content); ok {
		return p.objects(objects)
	}
	raw, err := yaml.YAMLToJSON(content)
	switch {
	case err != nil:
		// Read it again where it stands, so that the error's line is the file's.
		_, err = yaml.YAMLToJSON(append(bytes.Repeat([]byte("\n"), line-1), content...))
		return nil, err
	case string(raw) == "null":
		return nil, nil
	}
	return p.object(raw)
}

// jsonObjects reads one JSON object after the other, which YAML would not, and
// tells whether the document is such.
func jsonObjects(content []byte) (objects []json.RawMessage, ok bool) {
	if !bytes.HasPrefix(bytes.TrimSpace(content), []byte("{")) {
		return nil, false
	}
	decoder := json.NewDecoder(bytes.NewReader(content))
	for {
		var object json.RawMessage
		switch err := decoder.Decode(&object); {
		case errors.Is(err, io.EOF):
			return objects, true
		case err != nil:
			return nil, false
		}
		objects = append(objects, object)
	}
}

func (p parser) objects(raws []json.RawMessage) (all []reading, err error) {
	for _, raw := range raws {
		found, err := p.object(raw)
		if err != nil {
			return nil, err
		}
		all = append(all, found...)
	}
	return all, nil
}

// header is what all objects have, and a List's items.
type header struct {
	metav1.TypeMeta `json:",inline"`
	Metadata        struct {
		Namespace, Name, UID string
	}
	Items []json.RawMessage
}

// object reads one object, or those of a List.
func (p parser) object(raw json.RawMessage) ([]reading, error) {
	var h header
	if raw[0] != '{' {
		return nil, errNoKind
	}
	if err := json.Unmarshal(raw, &h); err != nil {
		return nil, err
	}
	item, isList := strings.CutSuffix(h.Kind, "List")
	switch {
	case h.Kind == "":
		return nil, errNoKind
	case isList && item == "":
		return p.objects(h.Items)
	case isList && h.Items != nil:
		return p.items(h.Items, metav1.TypeMeta{APIVersion: h.APIVersion, Kind: item})
	}
	object := known(h.TypeMeta)
	group, _, _ := strings.Cut(h.APIVersion, "/")
	switch {
	case h.APIVersion == "":
		return nil, errNoKind
	case object == nil && smi.Owns(group): // nothing else has kinds there: it is mistyped
		return nil, fmt.Errorf("there is no kind %s in %s", h.Kind, group)
	case object == nil:
		p.log.Debug().Str("apiVersion", h.APIVersion).Str("kind", h.Kind).Str("name", h.Metadata.Name).Msg("kind passed over")
		return nil, nil
	}
	if h.Metadata.Name == "" {
		return nil, errNoName
	}
	return []reading{p.read(&h, object, raw)}, nil
}

// items reads the items of a list of one kind, which need not repeat the kind.
func (p parser) items(raws []json.RawMessage, each metav1.TypeMeta) ([]reading, error) {
	for i, raw := range raws {
		var fields map[string]json.RawMessage
		if err := json.Unmarshal(raw, &fields); err != nil || fields == nil {
			return nil, fmt.Errorf("items[%d]: want an object", i)
		}
		// Two strings and fields that were JSON before can be written as such.
		fields["apiVersion"], _ = json.Marshal(each.APIVersion)
		fields["kind"], _ = json.Marshal(each.Kind)
		raws[i], _ = json.Marshal(fields)
	}
	return p.objects(raws)
}

// known is an empty object of the kind to read into, nil for a kind of which
// nothing is kept.
func known(kind metav1.TypeMeta) metav1.Object {
	switch {
	case kind.APIVersion == "v1" && kind.Kind == "Service":
		return &corev1.Service{}
	case kind.APIVersion == "v1" && kind.Kind == "Endpoints":
		return &corev1.Endpoints{}
	case kind.APIVersion == "v1" && kind.Kind == "Pod":
		return &corev1.Pod{}
	case kind.APIVersion == "discovery.k8s.io/v1" && kind.Kind == "EndpointSlice":
		return &discoveryv1.EndpointSlice{}
	case kind.APIVersion == "v1" && kind.Kind == "Namespace":
		return &corev1.Namespace{}
	case kind.APIVersion == "v1" && kind.Kind == "Secret":
		return &corev1.Secret{}
	}
	group, _, _ := strings.Cut(kind.APIVersion, "/")
	if _, ok := smi.Lookup(group, kind.Kind); ok {
		return &unstructured.Unstructured{}
	}
	return nil
}

// read reads an object of a known kind. What cannot be read of it is told on
// the object, not on the file.
func (p parser) read(h *header, object metav1.Object, raw []byte) reading {
	_, clusterWide := object.(*corev1.Namespace)
	switch {
	case clusterWide:
		h.Metadata.Namespace = ""
	case h.Metadata.Namespace == "":
		h.Metadata.Namespace = metav1.NamespaceDefault
	}
	if err := json.Unmarshal(raw, object); err != nil {
		return malformed(mesh.Ref{
			APIVersion: h.APIVersion, Kind: h.Kind,
			Namespace: h.Metadata.Namespace, Name: h.Metadata.Name, UID: h.Metadata.UID,
		}, err)
	}
	object.SetNamespace(h.Metadata.Namespace)
	return p.trimmer.read(object)
}
