package main

import (
	"context"
	"fmt"
	"io"
	"reflect"
	"strings"

	"github.com/weft-mesh/weft/internal/config"
)

// completionCommand is `weft completion`: what a shell must know to complete.
type completionCommand struct {
	Shell string `argument:"SHELL" description:"The shell: bash, zsh or fish." oneOf:"bash zsh fish"`
}

// Run prints the script.
func (c *completionCommand) Run(_ context.Context, out io.Writer) error {
	write := map[string]func(io.Writer, []completed){"bash": completeBash, "zsh": completeZsh, "fish": completeFish}
	write[c.Shell](out, allCompleted())
	return nil
}

// completed is one command with what may follow it.
type completed struct {
	name, does string
	flags      []config.Field
	arguments  []config.Argument
}

// allCompleted looks through the commands.
func allCompleted() []completed {
	var out []completed
	var names []string
	for _, c := range commands() {
		made := c.make()
		out = append(out, completed{name: c.name, does: c.does, flags: append(config.Fields(made), config.File()), arguments: config.Arguments(made)})
		names = append(names, c.name)
	}
	return append(out, completed{name: "help", does: "list the commands, or the options of one", arguments: []config.Argument{{Name: "COMMAND", OneOf: names}}})
}

// words are what may be said by place.
func (c completed) words() (out []string) {
	for _, a := range c.arguments {
		out = append(out, a.OneOf...)
	}
	return out
}

// plain is true of a flag that takes no value.
func plain(f config.Field) bool { return f.Type.Kind() == reflect.Bool }

func completeBash(w io.Writer, all []completed) {
	var names []string
	var cases, values strings.Builder
	said := map[string]bool{}
	for _, c := range all {
		names = append(names, c.name)
		words := c.words()
		for _, f := range c.flags {
			words = append(words, "--"+f.Name)
			if len(f.OneOf) > 0 && !said[f.Name] {
				said[f.Name] = true
				fmt.Fprintf(&values, "\t--%s|-%s) words=%q ;;\n", f.Name, f.Short, strings.Join(f.OneOf, " "))
			}
		}
		fmt.Fprintf(&cases, "\t\t%s) words=%q ;;\n", c.name, strings.Join(words, " "))
	}
	fmt.Fprintf(w, `# Completion of weft for bash: source <(weft completion bash)
_weft() {
	local word=${COMP_WORDS[COMP_CWORD]} words=
	case ${COMP_WORDS[COMP_CWORD-1]} in
%s	weft) words=%q ;;
	*)
		case ${COMP_WORDS[1]} in
%s		esac ;;
	esac
	COMPREPLY=($(compgen -W "$words" -- "$word"))
}
complete -o default -F _weft weft
`, values.String(), strings.Join(names, " "), cases.String())
}

func completeZsh(w io.Writer, all []completed) {
	var names, cases strings.Builder
	escape := strings.NewReplacer("'", "'\\''", "[", "\\[", "]", "\\]", ":", "\\:")
	for _, c := range all {
		fmt.Fprintf(&names, "\t\t'%s:%s'\n", c.name, escape.Replace(c.does))
		fmt.Fprintf(&cases, "\t%s) _arguments", c.name)
		for _, f := range c.flags {
			switch {
			case plain(f):
				fmt.Fprintf(&cases, " '--%s[%s]'", f.Name, escape.Replace(f.Description))
			case len(f.OneOf) > 0:
				fmt.Fprintf(&cases, " '--%s=[%s]:value:(%s)'", f.Name, escape.Replace(f.Description), strings.Join(f.OneOf, " "))
			default:
				fmt.Fprintf(&cases, " '--%s=[%s]:value:_files'", f.Name, escape.Replace(f.Description))
			}
		}
		for i, a := range c.arguments {
			fmt.Fprintf(&cases, " '%d:%s:(%s)'", i+1, a.Name, strings.Join(a.OneOf, " "))
		}
		cases.WriteString(" ;;\n")
	}
	fmt.Fprintf(w, `#compdef weft
# Completion of weft for zsh: source <(weft completion zsh)
_weft() {
	local -a names=(
%s	)
	if (( CURRENT == 2 )); then
		_describe command names
		return
	fi
	shift words
	(( CURRENT-- ))
	case $words[1] in
%s	esac
}
compdef _weft weft
`, names.String(), cases.String())
}

func completeFish(w io.Writer, all []completed) {
	escape := strings.NewReplacer("\\", "\\\\", "'", "\\'")
	fmt.Fprint(w, "# Completion of weft for fish: weft completion fish | source\n")
	for _, c := range all {
		fmt.Fprintf(w, "complete -c weft -f -n __fish_use_subcommand -a %s -d '%s'\n", c.name, escape.Replace(c.does))
		begin := "complete -c weft -n '__fish_seen_subcommand_from " + c.name + "'"
		if words := c.words(); len(words) > 0 {
			fmt.Fprintf(w, "%s -f -a '%s'\n", begin, strings.Join(words, " "))
		}
		for _, f := range c.flags {
			line := begin + " -l " + f.Name
			if f.Short != "" {
				line += " -s " + f.Short
			}
			switch {
			case len(f.OneOf) > 0:
				line += " -x -a '" + strings.Join(f.OneOf, " ") + "'"
			case !plain(f):
				line += " -r"
			}
			fmt.Fprintf(w, "%s -d '%s'\n", line, escape.Replace(f.Description))
		}
	}
}
