package route

import "slices"

// fewMatchers is up to how many Matchers are asked one after the other.
const fewMatchers = 8

// forest is a set of Matchers, of which those are asked that can hold: a radix
// tree of what their paths begin with.
type forest struct {
	label string
	here  []*Matcher // what begins with the labels up to here, and may go on
	next  []*forest  // each label begins with another byte
}

// grow makes a forest of Matchers.
func grow(matchers []*Matcher) *forest {
	f := &forest{}
	for _, m := range matchers {
		begin := ""
		if m.path != nil {
			begin = m.path.literal
		}
		f.add(begin, m)
	}
	return f
}

// add puts a Matcher below f, whose path goes on with begin.
func (f *forest) add(begin string, m *Matcher) {
	if begin == "" {
		f.here = append(f.here, m)
		return
	}
	at := slices.IndexFunc(f.next, func(n *forest) bool { return n.label[0] == begin[0] })
	if at < 0 {
		f.next = append(f.next, &forest{label: begin, here: []*Matcher{m}})
		return
	}
	child := f.next[at]
	shared := 0
	for shared < min(len(child.label), len(begin)) && child.label[shared] == begin[shared] {
		shared++
	}
	if shared < len(child.label) {
		f.next[at] = &forest{label: child.label[:shared], next: []*forest{child}}
		child.label = child.label[shared:]
	}
	f.next[at].add(begin[shared:], m)
}

// find returns a Matcher that holds, nil for none.
func (f *forest) find(r Request, path []byte) *Matcher {
	for rest := path; ; {
		if m := anyOf(f.here, r, path); m != nil {
			return m
		}
		at := -1
		for i, n := range f.next {
			if len(rest) >= len(n.label) && string(rest[:len(n.label)]) == n.label {
				at = i
			}
		}
		if at < 0 {
			return nil
		}
		f = f.next[at]
		rest = rest[len(f.label):]
	}
}
