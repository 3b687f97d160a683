package annotations_test

import (
	"fmt"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/weft-mesh/weft/pkg/annotations"
	"github.com/weft-mesh/weft/pkg/mesh"
)

// TestEveryPolicyIsDocumented holds the table of docs/policies.md to the code.
func TestEveryPolicyIsDocumented(t *testing.T) {
	text, err := os.ReadFile("../../docs/policies.md")
	if err != nil {
		t.Fatal(err)
	}
	_, table, _ := strings.Cut(string(text), "| annotation | default | for | |\n|---|---|---|---|\n")
	table, _, _ = strings.Cut(table, "\n\n")
	if want := strings.Join(rows(), "\n"); strings.TrimSpace(table) != want {
		t.Errorf("the table of docs/policies.md must be\n%s", want)
	}
}

func rows() (out []string) {
	defaults := reflect.ValueOf(mesh.DefaultPolicy())
	for i := range defaults.NumField() {
		field := defaults.Type().Field(i)
		out = append(out, fmt.Sprintf("| `weft.mesh/%s` | %s | %s | %s |",
			annotations.Name(field.Name), written(defaults.Field(i)), field.Tag.Get("for"), field.Tag.Get("description")))
	}
	return out
}

// written is a default as one would write it.
func written(v reflect.Value) string {
	switch value := v.Interface().(type) {
	case []string:
		return "`" + strings.Join(value, ",") + "`"
	case time.Duration:
		if value == 0 {
			return "`0`"
		}
		return "`" + value.String() + "`"
	case string:
		if value == "" {
			return "none"
		}
	}
	return fmt.Sprintf("`%v`", v.Interface())
}
