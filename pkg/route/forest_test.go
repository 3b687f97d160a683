package route

import (
	"fmt"
	"math/rand/v2"
	"testing"
)

// path is a request of which rules see the path only.
type path string

func (p path) Method() []byte { return nil }

func (p path) Path() []byte { return []byte(p) }

func (p path) Header(string, int) ([]byte, bool) { return nil, false }

func TestAForestFindsWhatOneAfterTheOtherFinds(t *testing.T) {
	for seed := range uint64(200) {
		r := rand.New(rand.NewPCG(seed, 1))
		word := func() (s string) {
			for range r.IntN(5) {
				s += string("/ab"[r.IntN(3)])
			}
			return s
		}
		var matchers []*Matcher
		for range r.IntN(20) {
			m := &Matcher{}
			if r.IntN(10) > 0 {
				m.path = compile("/"+word()+[]string{"", "$", ".*", "[ab]", "(a|b)?"}[r.IntN(5)], false)
			}
			matchers = append(matchers, m)
		}
		tree := grow(matchers)
		for range 50 {
			p := path("/" + word())
			if one, other := anyOf(matchers, p, []byte(p)), tree.find(p, []byte(p)); (one == nil) != (other == nil) {
				t.Fatal(fmt.Sprint("seed ", seed, ": ", p, " by one after the other ", one != nil, ", by the forest ", other != nil))
			}
		}
	}
}
