// Package house holds Weft's own tree to the rules in CONTRIBUTING.md: who may
// import whom, how long functions and files may be, that every package and
// export is documented, and that no test sleeps or skips. It is used by its
// tests only; each rule has a test that makes it fail.
package house

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// The ratchets.
const (
	mostFunctionLines = 60
	mostFileLines     = 500
	mostParameters    = 5
)

// Tree is the parsed Go source below one folder.
type Tree struct {
	fset  *token.FileSet
	files []file
}

type file struct {
	path string // relative to the root, with slashes
	test bool
	ast  *ast.File
}

// Parse reads every Go file below root but those of other modules and testdata.
func Parse(root string) (*Tree, error) {
	t := &Tree{fset: token.NewFileSet()}
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			if otherModule(root, path) || d.Name() == "testdata" || strings.HasPrefix(d.Name(), ".") && path != root {
				return filepath.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(path, ".go") {
			return nil
		}
		return t.add(root, path, nil)
	})
	return t, err
}

func otherModule(root, dir string) bool {
	found, _ := filepath.Glob(filepath.Join(dir, "go.mod"))
	return dir != root && len(found) > 0
}

// add parses one file; src overrides what is on disk.
func (t *Tree) add(root, path string, src any) error {
	parsed, err := parser.ParseFile(t.fset, path, src, parser.ParseComments)
	if err != nil {
		return err
	}
	relative, err := filepath.Rel(root, path)
	if err != nil {
		return err
	}
	relative = filepath.ToSlash(relative)
	t.files = append(t.files, file{path: relative, test: strings.HasSuffix(path, "_test.go"), ast: parsed})
	return nil
}

// Lengths finds functions and files that are too long, and functions with too
// many parameters.
func (t *Tree) Lengths() (broken []string) {
	for _, f := range t.files {
		if n := t.fset.File(f.ast.Pos()).LineCount(); n > mostFileLines {
			broken = append(broken, fmt.Sprintf("%s has %d lines; at most %d", f.path, n, mostFileLines))
		}
		for _, d := range f.ast.Decls {
			fn, ok := d.(*ast.FuncDecl)
			if !ok || fn.Body == nil {
				continue
			}
			lines := t.fset.Position(fn.End()).Line - t.fset.Position(fn.Pos()).Line + 1
			if lines > mostFunctionLines {
				broken = append(broken, fmt.Sprintf("%s: %s has %d lines; at most %d", f.path, fn.Name.Name, lines, mostFunctionLines))
			}
			if n := fn.Type.Params.NumFields(); n > mostParameters {
				broken = append(broken, fmt.Sprintf("%s: %s has %d parameters; at most %d, then a Config struct", f.path, fn.Name.Name, n, mostParameters))
			}
		}
	}
	return broken
}

// Docs finds packages and exports without a doc comment, tests left out.
func (t *Tree) Docs() (broken []string) {
	documented := map[string]bool{}
	var packages []string
	for _, f := range t.files {
		if f.test {
			continue
		}
		dir := filepath.ToSlash(filepath.Dir(f.path))
		if !slices.Contains(packages, dir) {
			packages = append(packages, dir)
		}
		documented[dir] = documented[dir] || f.ast.Doc != nil
		broken = append(broken, undocumented(f)...)
	}
	for _, dir := range packages {
		if !documented[dir] {
			broken = append(broken, dir+": the package has no doc comment")
		}
	}
	return broken
}

func undocumented(f file) (broken []string) {
	for _, d := range f.ast.Decls {
		switch d := d.(type) {
		case *ast.FuncDecl:
			if d.Name.IsExported() && d.Doc == nil && exportedReceiver(d) {
				broken = append(broken, f.path+": "+d.Name.Name+" has no doc comment")
			}
		case *ast.GenDecl:
			for _, s := range d.Specs {
				if name, ok := bareExport(d, s); ok {
					broken = append(broken, f.path+": "+name+" has no doc comment")
				}
			}
		}
	}
	return broken
}

// exportedReceiver tells whether a function is reachable from outside: it has
// no receiver, or one of an exported type.
func exportedReceiver(d *ast.FuncDecl) bool {
	if d.Recv == nil {
		return true
	}
	expr := d.Recv.List[0].Type
	if star, ok := expr.(*ast.StarExpr); ok {
		expr = star.X
	}
	if index, ok := expr.(*ast.IndexExpr); ok {
		expr = index.X
	}
	name, ok := expr.(*ast.Ident)
	return ok && name.IsExported()
}

// bareExport returns the exported name of a spec that neither it nor its group documents.
func bareExport(d *ast.GenDecl, s ast.Spec) (string, bool) {
	switch s := s.(type) {
	case *ast.TypeSpec:
		return s.Name.Name, s.Name.IsExported() && s.Doc == nil && d.Doc == nil
	case *ast.ValueSpec:
		return s.Names[0].Name, s.Names[0].IsExported() && s.Doc == nil && s.Comment == nil && d.Doc == nil
	}
	return "", false
}

// Tests finds tests that sleep or skip: a test waits on a fact, and a suite
// that was skipped has shown nothing. In a file that uses testing/synctest time
// is virtual, and sleeping is how it passes.
func (t *Tree) Tests() (broken []string) {
	for _, f := range t.files {
		if !f.test {
			continue
		}
		ast.Inspect(f.ast, func(n ast.Node) bool {
			call, ok := n.(*ast.SelectorExpr)
			if !ok {
				return true
			}
			receiver, _ := call.X.(*ast.Ident)
			sleeps := receiver != nil && receiver.Name == "time" && call.Sel.Name == "Sleep" && !f.imports("testing/synctest")
			skips := slices.Contains([]string{"Skip", "Skipf", "SkipNow"}, call.Sel.Name)
			if sleeps || skips {
				broken = append(broken, fmt.Sprintf("%s: %s", t.fset.Position(call.Pos()), call.Sel.Name))
			}
			return true
		})
	}
	return broken
}

func (f file) imports(path string) bool {
	return slices.ContainsFunc(f.ast.Imports, func(i *ast.ImportSpec) bool { return i.Path.Value == strconv.Quote(path) })
}

// State finds package variables that are neither errors, descriptors nor tables
// that nobody edits (unexported, of composite literals or calls), and init functions.
func (t *Tree) State() (broken []string) {
	for _, f := range t.files {
		if f.test {
			continue
		}
		for _, d := range f.ast.Decls {
			if fn, ok := d.(*ast.FuncDecl); ok && fn.Recv == nil && fn.Name.Name == "init" {
				broken = append(broken, f.path+": init")
			}
			if g, ok := d.(*ast.GenDecl); ok && g.Tok == token.VAR {
				for _, s := range g.Specs {
					if v := s.(*ast.ValueSpec); len(v.Values) == 0 && !allowedZero(f, v) {
						broken = append(broken, f.path+": package variable "+v.Names[0].Name+" without a value: state")
					}
				}
			}
		}
	}
	return broken
}

// allowedZero is true of a go:embed variable, which is filled by the compiler.
func allowedZero(f file, v *ast.ValueSpec) bool {
	for _, group := range f.ast.Comments {
		for _, c := range group.List {
			if strings.HasPrefix(c.Text, "//go:embed") && c.End() < v.End() {
				return true
			}
		}
	}
	return false
}

// Imports finds imports that the table does not allow. A package that the table
// does not name is itself broken, so that a new one must be thought about.
func (t *Tree) Imports(module string, allowed map[string][]string) (broken []string) {
	for _, f := range t.files {
		dir := filepath.ToSlash(filepath.Dir(f.path))
		rule, known := ruleFor(allowed, dir)
		if !known {
			if !f.test {
				broken = append(broken, dir+": the table of imports does not name this package")
			}
			continue
		}
		if f.test || slices.Contains(rule, "*") {
			continue
		}
		for _, i := range f.ast.Imports {
			path, _ := strconv.Unquote(i.Path.Value)
			if !may(rule, module, path) {
				broken = append(broken, f.path+" may not import "+path)
			}
		}
	}
	slices.Sort(broken)
	return slices.Compact(broken)
}

// ruleFor finds the rule of a folder: its own, or that of a folder above it
// whose entry ends in "/...".
func ruleFor(allowed map[string][]string, dir string) ([]string, bool) {
	if rule, ok := allowed[dir]; ok {
		return rule, true
	}
	for above := dir; above != "."; above = filepath.ToSlash(filepath.Dir(above)) {
		if rule, ok := allowed[above+"/..."]; ok {
			return rule, true
		}
	}
	return nil, false
}

// may tells whether a rule allows an import: the standard library always, else
// what begins with one of the rule's entries; an entry "./x" is Weft's own x.
func may(rule []string, module, path string) bool {
	first, _, _ := strings.Cut(path, "/")
	if !strings.Contains(first, ".") {
		return true
	}
	return slices.ContainsFunc(rule, func(entry string) bool {
		if own, ok := strings.CutPrefix(entry, "./"); ok {
			return path == module+"/"+own
		}
		return path == entry || strings.HasPrefix(path, entry+"/")
	})
}
