package poll

import "sync/atomic"

// taken is the bit of a Turn's word that says that somebody has the turn.
const taken = 1 << 31

// Turn lets one goroutine at a time work on something to which things happen,
// told as bits below 1<<31: whoever tells something of which nobody has the turn
// has it then, and works until nothing more was told. Whoever has the turn and
// never ends it is told in vain. The zero value is nobody's turn.
type Turn struct{ word atomic.Uint32 }

// Begin takes the turn of what nobody works on yet.
func (t *Turn) Begin() { t.word.Store(taken) }

// Claim tells bits. The turn is the caller's unless somebody has it: then it is
// to heed all that was told.
func (t *Turn) Claim(bits uint32) (all uint32, mine bool) {
	if t.word.CompareAndSwap(0, taken) {
		return bits, true
	}
	if t.word.Or(bits) == 0 {
		return t.Told(), true
	}
	return 0, false
}

// Told takes what was told since the turn began, or since it was taken last. It
// is of who has the turn, as End is.
func (t *Turn) Told() uint32 { return t.word.Swap(taken) &^ taken }

// End ends the turn, unless something was told meanwhile: then it goes on with
// that.
func (t *Turn) End() (bits uint32, ended bool) {
	if t.word.CompareAndSwap(taken, 0) {
		return 0, true
	}
	return t.Told(), false
}

// Untaken is what was told and not taken yet.
func (t *Turn) Untaken() uint32 { return t.word.Load() &^ taken }
