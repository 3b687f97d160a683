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
	for _, f := range Fields(target) {
		flag := "--" + f.Name
		if f.Short != "" {
			flag = "-" + f.Short + ", " + flag
		}
		if f.Default != "" {
			flag += "=" + f.Default
		}
		fmt.Fprintf(table, "  %s\t%s (%s)\n", flag, f.Description, f.Variable())
	}
	fmt.Fprintf(table, "  --configFile\t%s (%sCONFIGFILE)\n", "A YAML file with the same names; the environment and flags win over it.", Prefix)
	// A failure to write help shows itself.
	_ = table.Flush()
}
