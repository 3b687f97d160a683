package config

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/traefik/paerser/parser"
	"sigs.k8s.io/yaml"
)

// loadFile fills target from a YAML file whose keys are the names of flags,
// nested at the dots. Each value is decoded as its flag would be, so that a
// wrong one is told in the same words, and so is a key that is no flag.
func loadFile(target any, path string) error {
	content, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	tree := map[string]any{}
	if err := yaml.Unmarshal(content, &tree, exactNumbers); err != nil {
		return err
	}
	values := map[string]string{}
	flatten(values, "", tree)
	for _, name := range slices.Sorted(maps.Keys(values)) {
		value := values[name]
		if err := parser.Decode(map[string]string{parser.DefaultRootName + "." + name: value}, target, parser.DefaultRootName); err != nil {
			return wrong(target, name, name+": ", value, err)
		}
	}
	return nil
}

// exactNumbers keeps a number as it is written: 1000000 is not 1e+06.
func exactNumbers(d *json.Decoder) *json.Decoder {
	d.UseNumber()
	return d
}

// flatten turns nested keys into dotted ones and values into what one would
// write after a flag.
func flatten(into map[string]string, prefix string, tree map[string]any) {
	for key, value := range tree {
		switch value := value.(type) {
		case map[string]any:
			flatten(into, prefix+key+".", value)
		case []any:
			parts := make([]string, len(value))
			for i := range value {
				parts[i] = fmt.Sprint(value[i])
			}
			into[prefix+key] = strings.Join(parts, ",")
		default:
			into[prefix+key] = fmt.Sprint(value)
		}
	}
}
