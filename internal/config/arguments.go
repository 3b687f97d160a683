package config

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"
)

const (
	// argumentTag marks the fields that take arguments without dashes.
	argumentTag = "argument"
	// oneOfTag lists the values that a string field takes, with blanks between.
	oneOfTag = "oneOf"
)

// Argument is a value of a configuration struct that is said by its place.
type Argument struct {
	Name        string // in capitals, such as SERVICE
	Description string
	Optional    bool
	OneOf       []string // the values that it takes; empty for any
}

// Arguments lists what a configuration struct takes by place.
func Arguments(target any) []Argument {
	var out []Argument
	for _, field := range reflect.VisibleFields(reflect.TypeOf(target).Elem()) {
		if name := field.Tag.Get(argumentTag); name != "" {
			plain := strings.Trim(name, "[]")
			out = append(out, Argument{
				Name: plain, Description: field.Tag.Get("description"), Optional: plain != name,
				OneOf: strings.Fields(field.Tag.Get(oneOfTag)),
			})
		}
	}
	return out
}

// String is how a line of usage writes the argument.
func (a Argument) String() string {
	if a.Optional {
		return "[" + a.Name + "]"
	}
	return a.Name
}

// takeArguments puts what was said by place into its fields.
func takeArguments(target any, said []string) error {
	v := reflect.ValueOf(target).Elem()
	for _, field := range reflect.VisibleFields(v.Type()) {
		name := field.Tag.Get(argumentTag)
		switch {
		case name == "":
		case len(said) > 0:
			v.FieldByIndex(field.Index).SetString(said[0])
			if words := strings.Fields(field.Tag.Get(oneOfTag)); len(words) > 0 && !slices.Contains(words, said[0]) {
				return fmt.Errorf("%q: %s takes %s", said[0], strings.Trim(name, "[]"), list(words))
			}
			said = said[1:]
		case !strings.HasPrefix(name, "["):
			return fmt.Errorf("%s is missing", name)
		}
	}
	switch {
	case len(said) == 0:
		return nil
	case len(Arguments(target)) == 0:
		return fmt.Errorf("%q is not a flag; flags begin with --", said[0])
	}
	return fmt.Errorf("%q is one argument too many", said[0])
}

// divide parts flags with their values from plain arguments, which paerser
// would drop in silence with all that follows, and writes short flags out.
// After "--" everything is plain.
func divide(target any, args []string) (flags, plain []string) {
	bools, long := map[string]bool{}, map[string]string{}
	for _, f := range Fields(target) {
		bools[strings.ToLower(f.Name)] = f.Type.Kind() == reflect.Bool
		long["-"+f.Short] = f.Name
	}
	for i := 0; i < len(args); i++ {
		name, value, joined := strings.Cut(args[i], "=")
		switch {
		case args[i] == "--":
			return flags, append(plain, args[i+1:]...)
		case strings.Trim(name, "-") == "" || name[0] != '-':
			plain = append(plain, args[i])
			continue
		case long[name] != "":
			name = long[name]
		}
		name = strings.TrimLeft(name, "-")
		switch {
		case joined:
			flags = append(flags, "--"+name+"="+value)
		case bools[strings.ToLower(name)] || i+1 == len(args):
			flags = append(flags, "--"+name)
		default:
			i++
			flags = append(flags, "--"+name, args[i])
		}
	}
	return flags, plain
}

// checkValues finds a flag with a word that is none of those it takes, or with a
// duration without its unit, which is read as nanoseconds.
func checkValues(target any) error {
	for _, f := range Fields(target) {
		if d, err := time.ParseDuration(f.Default); f.Type == reflect.TypeFor[time.Duration]() && err == nil && d.Abs() < time.Millisecond && d != 0 {
			return fmt.Errorf("--%s=%d: --%s takes %s", f.Name, d, f.Name, f.takes())
		}
		if value := f.Default; len(f.OneOf) > 0 && !slices.Contains(f.OneOf, value) {
			return fmt.Errorf("--%s=%s: --%s takes %s", f.Name, value, f.Name, f.takes())
		}
	}
	return nil
}

// list writes words as a person does: "a, b or c".
func list(words []string) string {
	last := len(words) - 1
	if last == 0 {
		return words[0]
	}
	return strings.Join(words[:last], ", ") + " or " + words[last]
}
