package config

import (
	"fmt"
	"io"
	"text/tabwriter"
)

// Help writes the arguments and the options of a configuration struct: flag,
// default, what it is for, environment variable.
func Help(w io.Writer, target any) {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, a := range Arguments(target) {
		fmt.Fprintf(table, "  %s\t%s\n", a, a.Description)
	}
	for _, f := range append(Fields(target), File()) {
		flag := "--" + f.Name
		if f.Short != "" {
			flag = "-" + f.Short + ", " + flag
		}
		if f.Default != "" {
			flag += "=" + f.Default
		}
		fmt.Fprintf(table, "  %s\t%s (%s)\n", flag, f.Description, f.Variable())
	}
	_ = table.Flush() // whoever made w knows that it could not be written
}
