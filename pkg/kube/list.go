package kube

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/weft-mesh/weft/pkg/mesh"
)

// errIrregular is told of a named path that cannot be read again and again.
var errIrregular = errors.New("it is neither a file nor a folder")

// listing is what one look at the paths finds.
type listing struct {
	files  map[string]fs.FileInfo
	hidden []mesh.Problem // what cannot be looked at
}

// list finds the files of the paths. What does not exist is not there.
func list(paths []string) listing {
	l := listing{files: map[string]fs.FileInfo{}}
	for _, path := range paths {
		path = filepath.Clean(path)
		info, err := os.Stat(path)
		switch {
		case err != nil:
			l.hide(path, err)
		case info.IsDir():
			l.folder(path)
		case info.Mode().IsRegular():
			l.files[path] = info
		default:
			l.hide(path, errIrregular)
		}
	}
	return l
}

// folder finds the manifests below a folder. A link to a file counts, one to a
// folder does not: it might lead back here.
func (l *listing) folder(path string) {
	entries, err := os.ReadDir(path)
	if err != nil {
		l.hide(path, err)
		return
	}
	for _, entry := range entries {
		below := filepath.Join(path, entry.Name())
		switch {
		case strings.HasPrefix(entry.Name(), "."):
		case entry.IsDir():
			l.folder(below)
		case slices.Contains([]string{".yaml", ".yml", ".json"}, filepath.Ext(below)):
			l.file(below)
		}
	}
}

func (l *listing) file(path string) {
	info, err := os.Stat(path)
	switch {
	case err != nil:
		l.hide(path, err)
	case info.Mode().IsRegular():
		l.files[path] = info
	}
}

func (l *listing) hide(path string, err error) {
	if !errors.Is(err, fs.ErrNotExist) {
		l.hidden = append(l.hidden, unreadable(path, err))
	}
}

// unreadable is the problem of a file or a folder that the system denies.
func unreadable(path string, err error) mesh.Problem {
	var cause *fs.PathError
	if errors.As(err, &cause) {
		err = cause.Err
	}
	return mesh.Problem{
		Object: mesh.Ref{Kind: FileKind, Name: path}, Reason: mesh.Malformed,
		Message: "cannot be read: " + err.Error() + "; what was read of it before stays in effect",
	}
}

// same tells whether two looks found the same version of a file; nil is none.
func same(a, b fs.FileInfo) bool {
	if a == nil || b == nil {
		return a == nil && b == nil
	}
	return os.SameFile(a, b) && a.Size() == b.Size() && a.ModTime().Equal(b.ModTime())
}
