// Package config fills a command's configuration struct from three places, the
// later winning: a file (--configFile), the environment (WEFT_*), the flags.
// paerser does the reading; this package joins its parts so that a wrong value
// is an error that names the flag and what it takes.
//
//	c := struct {
//		PortOffset uint16 `description:"Added to every port."`
//		DNS        struct{ Address string }
//	}{}
//	err := config.Load(&c, []string{"--portOffset=1000", "--dns.address", "127.0.0.1:53"}, os.Environ())
//
// A field PortOffset is the flag --portOffset and the variable WEFT_PORTOFFSET;
// DNS.Address is --dns.address and WEFT_DNS_ADDRESS; the fields of an embedded
// struct are as the others. Flags are not case-sensitive. The values the struct holds before are the defaults. A field
// with the tag short:"o" may also be said as -o.
//
// A string field with the tag argument:"SERVICE" is no flag but takes the next
// argument without dashes, in the order of the fields; one with
// argument:"[SERVICE]" may be left out. The tag oneOf:"table json" lists the
// values that a string field takes. Of a field and the one that its tag
// excludes:"Kubeconfig" names, one may be said as a flag: then the environment
// and the file say nothing of the other.
package config

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/traefik/paerser/env"
	"github.com/traefik/paerser/flag"
	"github.com/traefik/paerser/parser"
)

// Prefix begins the name of every environment variable that Weft reads.
const Prefix = "WEFT_"

// Load fills target, a pointer to a struct, as the package says. Arguments that
// are no flags are an error where no field takes them; environment variables
// that name no field are not, for they may be another command's.
func Load(target any, args, environ []string) error {
	args, plain := divide(target, args)
	if err := takeArguments(target, plain); err != nil {
		return err
	}
	flags, err := flag.Parse(args, target)
	if err != nil {
		return unread(target, args, err)
	}
	variables := variables(target, environ)
	path, flags, variables := configFile(flags, variables)
	if path != "" {
		if err := loadFile(target, path); err != nil {
			return fmt.Errorf("--configFile %s: %w", path, err)
		}
	}
	for _, v := range variables {
		name, value, _ := strings.Cut(v, "=")
		if err := env.Decode([]string{v}, Prefix, target); err != nil {
			return wrong(target, flagOf(name), name+"=", value, err)
		}
	}
	if err := exclude(target, flags); err != nil {
		return err
	}
	for name, value := range flags {
		short := strings.TrimPrefix(name, parser.DefaultRootName+".")
		if err := parser.Decode(map[string]string{name: value}, target, parser.DefaultRootName); err != nil {
			return wrong(target, short, "--"+short+"=", value, err)
		}
	}
	return checkValues(target)
}

// exclude empties the fields that a flag excludes. Only plain fields of the
// struct or of those it embeds have the tag.
func exclude(target any, flags map[string]string) error {
	said := map[string]bool{}
	for name := range flags {
		said[strings.ToLower(strings.TrimPrefix(name, parser.DefaultRootName+"."))] = true
	}
	v := reflect.ValueOf(target).Elem()
	for _, field := range reflect.VisibleFields(v.Type()) {
		other := field.Tag.Get("excludes")
		switch one, two := said[strings.ToLower(field.Name)], said[strings.ToLower(other)]; {
		case other == "":
		case one && two:
			return fmt.Errorf("--%s and --%s: give one of them", flagName(field.Name), flagName(other))
		case one:
			v.FieldByName(other).SetZero()
		case two:
			v.FieldByIndex(field.Index).SetZero()
		}
	}
	return nil
}

// configFile takes the file's path out of the flags and the environment.
func configFile(flags map[string]string, variables []string) (path string, restFlags map[string]string, restVariables []string) {
	restFlags = map[string]string{}
	restVariables = slices.DeleteFunc(variables, func(v string) bool {
		value, found := strings.CutPrefix(v, Prefix+"CONFIGFILE=")
		if found {
			path = value
		}
		return found
	})
	for name, value := range flags {
		if strings.EqualFold(name, parser.DefaultRootName+".configFile") {
			path = value
			continue
		}
		restFlags[name] = value
	}
	return path, restFlags, restVariables
}

// variables picks the environment variables that name a field of target.
func variables(target any, environ []string) []string {
	known := map[string]bool{Prefix + "CONFIGFILE": true}
	for _, f := range Fields(target) {
		known[f.Variable()] = true
	}
	var out []string
	for _, v := range environ {
		if name, _, _ := strings.Cut(v, "="); known[name] {
			out = append(out, v)
		}
	}
	return out
}

func flagOf(variable string) string {
	return strings.ReplaceAll(strings.ToLower(strings.TrimPrefix(variable, Prefix)), "_", ".")
}

// unread is the error for flags that cannot be read; mostly the last has no value.
func unread(target any, args []string, err error) error {
	if !strings.Contains(err.Error(), "needs an argument") {
		return err
	}
	name := strings.TrimLeft(args[len(args)-1], "-")
	for _, f := range Fields(target) {
		if strings.EqualFold(f.Name, name) {
			return fmt.Errorf("--%s takes %s", f.Name, f.takes())
		}
	}
	return fmt.Errorf("--%s: there is no such flag", name)
}

// wrong is the error for one bad value.
func wrong(target any, name, said, value string, err error) error {
	for _, f := range Fields(target) {
		if strings.EqualFold(f.Name, name) {
			return fmt.Errorf("%s%s: --%s takes %s", said, value, f.Name, f.takes())
		}
	}
	if strings.Contains(err.Error(), "field not found") {
		return fmt.Errorf("--%s: there is no such flag", name)
	}
	return fmt.Errorf("%s%s: %w", said, value, err)
}

// Field is one value of a configuration struct.
type Field struct {
	Name        string // as a flag, without the dashes: "dns.address"
	Description string
	Type        reflect.Type
	Default     string   // as it would be written on the command line; empty for none
	Short       string   // a letter that says the same after one dash; empty for none
	OneOf       []string // the values that it takes; empty for any of the type
}

// Variable is the environment variable of the field.
func (f Field) Variable() string {
	return Prefix + strings.ToUpper(strings.ReplaceAll(f.Name, ".", "_"))
}

// takes says in words which values the field takes.
func (f Field) takes() string {
	switch kind := f.Type.Kind(); {
	case len(f.OneOf) > 0:
		return list(f.OneOf)
	case f.Type == reflect.TypeFor[time.Duration]():
		return "a duration such as 500ms, 5s or 1m"
	case kind == reflect.Bool:
		return "true or false"
	case kind == reflect.Slice:
		return "values separated by commas"
	case kind >= reflect.Uint && kind <= reflect.Uint64:
		return fmt.Sprintf("a whole number from 0 to %d", uint64(1)<<f.Type.Bits()-1)
	case kind >= reflect.Int && kind <= reflect.Int64:
		return "a whole number"
	case kind == reflect.Float64 || kind == reflect.Float32:
		return "a number"
	}
	return "text"
}

// File is the flag that every configuration struct has beside its fields.
func File() Field {
	return Field{Name: "configFile", Type: reflect.TypeFor[string](), Description: "A YAML file with the same names; the environment and flags win over it."}
}

// Fields lists the flags of a configuration struct in the order of its fields.
// The current values are the defaults.
func Fields(target any) []Field {
	return fieldsOf(reflect.ValueOf(target).Elem(), "")
}

func fieldsOf(v reflect.Value, prefix string) []Field {
	var out []Field
	for i := range v.NumField() {
		field := v.Type().Field(i)
		name := prefix + flagName(field.Name)
		switch value := v.Field(i); {
		case !field.IsExported() || field.Tag.Get(argumentTag) != "":
		case field.Anonymous:
			out = append(out, fieldsOf(value, prefix)...)
		case value.Kind() == reflect.Struct:
			out = append(out, fieldsOf(value, name+".")...)
		default:
			out = append(out, Field{
				Name: name, Description: field.Tag.Get("description"),
				Type: field.Type, Default: written(value), Short: field.Tag.Get("short"),
				OneOf: strings.Fields(field.Tag.Get(oneOfTag)),
			})
		}
	}
	return out
}

// flagName is a field's name with its first word in lower case: DNS → dns,
// PortOffset → portOffset.
func flagName(field string) string {
	if strings.ToUpper(field) == field {
		return strings.ToLower(field)
	}
	return strings.ToLower(field[:1]) + field[1:]
}

func written(v reflect.Value) string {
	switch {
	case v.Kind() == reflect.Slice:
		parts := make([]string, v.Len())
		for i := range parts {
			parts[i] = fmt.Sprint(v.Index(i).Interface())
		}
		return strings.Join(parts, ",")
	case v.IsZero() && v.Kind() == reflect.String:
		return ""
	}
	return fmt.Sprint(v.Interface())
}
