package smi

import "fmt"

// longest is how much of a value an error repeats, in bytes.
const longest = 64

// object reads the field at path as an object.
func object(path string, value any) (map[string]any, error) {
	if m, ok := value.(map[string]any); ok && m != nil {
		return m, nil
	}
	return nil, wrong(path, value, "an object")
}

// list reads the field at path as a list; absent and null are the empty list.
func list(path string, value any) ([]any, error) {
	if value == nil {
		return nil, nil
	}
	if l, ok := value.([]any); ok {
		return l, nil
	}
	return nil, wrong(path, value, "a list")
}

// text reads the field at path as a string that is not empty.
func text(path string, value any) (string, error) {
	switch s, ok := value.(string); {
	case !ok:
		return "", wrong(path, value, "a string")
	case s == "":
		return "", fmt.Errorf("%s is empty", path)
	default:
		return s, nil
	}
}

// wrong says what stands at path instead of what is wanted.
func wrong(path string, value any, want string) error {
	if value == nil {
		return fmt.Errorf("%s is missing; want %s", path, want)
	}
	return fmt.Errorf("%s is %s; want %s", path, describe(value), want)
}

// describe shows a scalar as it is and says only the type of anything else.
func describe(value any) string {
	switch v := value.(type) {
	case map[string]any:
		return "an object"
	case []any:
		return "a list"
	case string:
		return fmt.Sprintf("%q", shorten(v))
	default:
		return shorten(fmt.Sprint(v))
	}
}

// shorten keeps an author's typing error from flooding a message.
func shorten(s string) string {
	if len(s) > longest {
		return s[:longest] + "…"
	}
	return s
}
