package mesh_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"strings"
	"testing"
)

// Each reason of a problem is in the documentation, where its author looks it up.
func TestReasonsAreDocumented(t *testing.T) {
	text, err := os.ReadFile("../../docs/smi.md")
	if err != nil {
		t.Fatal(err)
	}
	file, err := parser.ParseFile(token.NewFileSet(), "problem.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, declared := range file.Decls {
		constants, ok := declared.(*ast.GenDecl)
		if !ok || constants.Tok != token.CONST {
			continue
		}
		for _, spec := range constants.Specs {
			n++
			if reason := spec.(*ast.ValueSpec).Names[0].Name; !strings.Contains(string(text), "`"+reason+"`") {
				t.Errorf("docs/smi.md does not say what to do about %s", reason)
			}
		}
	}
	if n < 20 {
		t.Errorf("problem.go declares %d reasons", n)
	}
}
