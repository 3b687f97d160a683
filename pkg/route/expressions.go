package route

// expressions keeps the compiled expressions of the Table before, so that a
// rebuild compiles again only what has changed.
type expressions struct{ before, now map[expressionKey]*pattern }

type expressionKey struct {
	text  string
	whole bool
}

// turn forgets what the last Table did not use.
func (e *expressions) turn() {
	e.before, e.now = e.now, make(map[expressionKey]*pattern, len(e.now))
}

// compile returns the pattern of an expression; nil for one that is malformed.
func (e *expressions) compile(text string, whole bool) *pattern {
	key := expressionKey{text, whole}
	p, ok := e.now[key]
	if ok {
		return p
	}
	if p, ok = e.before[key]; !ok {
		p = compile(text, whole)
	}
	e.now[key] = p
	return p
}
