package hpack

// overhead is what an entry counts for beside its name and value (RFC 7541 §4.1).
const overhead = 32

// slots is how many entries a table can have at most.
const slots = TableSize / overhead

// keptBytes is how large the memory of an entry that leaves may be to be kept
// for the next. What is larger is given back: a peer must not make every slot
// as large as the whole table.
const keptBytes = 512

// table is a dynamic table: a ring of entries. Its zero value has the full size.
type table struct {
	entries []entry // slots of them, made when first needed
	newest  int
	count   int
	bytes   int
	less    int // how much smaller than TableSize the peer has made it
}

// entry is a field: its wire form, name and value in one piece of memory.
type entry struct {
	bytes      []byte
	wire, name int // where these end
	class      Class
	valid      bool
}

func (e *entry) size() int { return len(e.bytes) - e.wire + overhead }

// get fills in the entry of an index, the newest being 0.
func (t *table) get(index int, f *Field) bool {
	if index >= t.count {
		return false
	}
	e := &t.entries[(t.newest-index+slots)%slots]
	f.Wire, f.Name, f.Value = e.bytes[:e.wire], e.bytes[e.wire:e.name], e.bytes[e.name:]
	f.Class, f.Valid = e.class, e.valid
	return true
}

// add enters a field, whose slices are not the table's own.
func (t *table) add(f *Field) {
	size := f.Size()
	t.shrink(TableSize - t.less - size)
	if size > TableSize-t.less {
		return // it only empties the table (RFC 7541 §4.4)
	}
	if t.entries == nil {
		t.entries = make([]entry, slots)
	}
	t.newest = (t.newest + 1) % slots
	t.count++
	t.bytes += size
	e := &t.entries[t.newest]
	e.bytes = append(e.bytes[:0], f.Wire...)
	e.wire = len(e.bytes)
	e.bytes = append(e.bytes, f.Name...)
	e.name = len(e.bytes)
	e.bytes = append(e.bytes, f.Value...)
	e.class, e.valid = f.Class, f.Valid
}

// shrink drops the oldest entries until the others fit.
func (t *table) shrink(to int) {
	for t.bytes > to && t.count > 0 {
		e := &t.entries[(t.newest-t.count+1+slots)%slots]
		t.bytes -= e.size()
		t.count--
		if cap(e.bytes) > keptBytes {
			e.bytes = nil
		}
	}
}

func (t *table) resize(size int) {
	t.less = TableSize - size
	t.shrink(size)
}
