package hpack

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	oracle "golang.org/x/net/http2/hpack"
)

// pair is what a test compares.
type pair struct{ name, value string }

// read decodes a block and also what its wire form says to a fresh decoder.
func read(d *Decoder, block []byte) (fields, passed []pair, err error) {
	var f Field
	var out []byte
	d.Begin(block)
	for d.Next(&f) {
		fields = append(fields, pair{string(f.Name), string(f.Value)})
		out = append(out, f.Wire...)
	}
	if d.Err() != nil {
		return nil, nil, d.Err()
	}
	again := oracle.NewDecoder(0, func(f oracle.HeaderField) { passed = append(passed, pair{f.Name, f.Value}) })
	if _, err := again.Write(out); err != nil {
		return fields, nil, fmt.Errorf("what is passed on cannot be read: %w", err)
	}
	return fields, passed, again.Close()
}

// expect reads the same with the other implementation.
func expect(d *oracle.Decoder, block []byte) (fields []pair, err error) {
	d.SetEmitFunc(func(f oracle.HeaderField) { fields = append(fields, pair{f.Name, f.Value}) })
	if _, err := d.Write(block); err != nil {
		return nil, err
	}
	return fields, d.Close()
}

func TestExamplesOfTheRFC(t *testing.T) {
	// RFC 7541 §C.4: three requests on one connection, Huffman coded.
	blocks := []string{
		"\x82\x86\x84\x41\x8c\xf1\xe3\xc2\xe5\xf2\x3a\x6b\xa0\xab\x90\xf4\xff",
		"\x82\x86\x84\xbe\x58\x86\xa8\xeb\x10\x64\x9c\xbf",
		"\x82\x87\x85\xbf\x40\x88\x25\xa8\x49\xe9\x5b\xa9\x7d\x7f\x89\x25\xa8\x49\xe9\x5b\xb8\xe8\xb4\xbf",
	}
	want := [][]pair{
		{{":method", "GET"}, {":scheme", "http"}, {":path", "/"}, {":authority", "www.example.com"}},
		{{":method", "GET"}, {":scheme", "http"}, {":path", "/"}, {":authority", "www.example.com"}, {"cache-control", "no-cache"}},
		{{":method", "GET"}, {":scheme", "https"}, {":path", "/index.html"}, {":authority", "www.example.com"}, {"custom-key", "custom-value"}},
	}
	var d Decoder
	for i, block := range blocks {
		got, passed, err := read(&d, []byte(block))
		if err != nil || !slices.Equal(got, want[i]) || !slices.Equal(passed, want[i]) {
			t.Errorf("block %d: %v, passed on %v, %v; want %v", i, got, passed, err, want[i])
		}
	}
}

func TestHuffmanOfEveryOctet(t *testing.T) {
	for a := range 256 {
		for b := range 256 {
			plain := string([]byte{byte(a), byte(b), 'x', byte(a)})
			coded := oracle.AppendHuffmanString(nil, plain)
			got, ok := unpack(nil, coded)
			if !ok || string(got) != plain {
				t.Fatalf("%q came back as %q, %v", plain, got, ok)
			}
		}
	}
}

func TestHuffmanRefusesWhatTheRFCRefuses(t *testing.T) {
	for name, coded := range map[string]string{
		"padding of eight ones":  "\x1f\xff\xff"[:1] + "\xff",
		"padding with zeros":     "\x18",
		"the end-of-string code": "\xff\xff\xff\xff",
		"a code cut off":         "\xff\xff\xfe",
	} {
		if got, ok := unpack(nil, []byte(coded)); ok {
			t.Errorf("%s: read as %q", name, got)
		}
	}
}

func TestMalformedBlocks(t *testing.T) {
	for name, block := range map[string]string{
		"index zero":                     "\x80",
		"index beyond the tables":        "\xbe",
		"name beyond the tables":         "\x7e\x01a",
		"string longer than the block":   "\x00\x01a\x05b",
		"no value":                       "\x00\x01a",
		"integer without end":            "\xff\xff\xff\xff\xff\xff\xff",
		"integer cut off":                "\xff",
		"table larger than offered":      "\x3f\xe2\x1f",
		"table resized within the block": "\x82\x20",
		"bad Huffman padding":            "\x00\x01a\x81\x18",
	} {
		var d Decoder
		if got, _, err := read(&d, []byte(block)); err == nil {
			t.Errorf("%s: read as %v", name, got)
		}
	}
}

func TestClasses(t *testing.T) {
	for name, want := range map[string]Class{
		":path": Path, ":protocol": Unknown, "te": TE, "upgrade": Connection, "weft-reason": Never, "weft_reason": Never,
		"x_forwarded_for": Never, "x_forwarded-for": Never, "x-forwarded-for": ForwardedFor, "proxy": Reserved,
		"a_b": Ordinary, "x-weft": Ordinary, "cookie": Private, "grpc-status": Ordinary,
	} {
		if got, valid := classify([]byte(name)); got != want || !valid {
			t.Errorf("%s is %d, %v; want %d", name, got, valid, want)
		}
	}
	for _, name := range []string{"", "Accept", "a b", "a\x00", "a:", "é"} {
		if _, valid := classify([]byte(name)); valid {
			t.Errorf("%q is taken for a name", name)
		}
	}
	for _, value := range []string{" a", "a ", "\t", "a\r\nb", "\x00", "\x7f"} {
		if validValue([]byte(value)) {
			t.Errorf("%q is taken for a value", value)
		}
	}
}

func TestLargeEntriesGiveTheirMemoryBack(t *testing.T) {
	var d Decoder
	for i := range 3 * slots {
		field := AppendField(nil, []byte(fmt.Sprint("n", i)), bytes.Repeat([]byte("v"), 3900))
		field[0] = 0x40
		if _, _, err := read(&d, field); err != nil {
			t.Fatal(err)
		}
	}
	held := 0
	for _, e := range d.table.entries {
		held += cap(e.bytes)
	}
	if held > 4*TableSize {
		t.Errorf("the table holds %d bytes", held)
	}
}

// random makes fields of which many repeat.
func random(r *rand.Rand) []oracle.HeaderField {
	out := make([]oracle.HeaderField, r.IntN(12))
	for i := range out {
		out[i] = oracle.HeaderField{
			Name:      strings.Repeat("n", r.IntN(8)) + fmt.Sprint("x", r.IntN(9)),
			Value:     strings.Repeat(string(rune('a'+r.IntN(3))), r.IntN(9)*r.IntN(60)),
			Sensitive: r.IntN(9) == 0,
		}
	}
	return out
}

func TestRandomBlocksComeThrough(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 100 {
		var coded bytes.Buffer
		encoder := oracle.NewEncoder(&coded)
		var d Decoder
		for range 50 {
			if r.IntN(10) == 0 {
				encoder.SetMaxDynamicTableSize(uint32(r.IntN(TableSize)))
			}
			coded.Reset()
			var want []pair
			for _, f := range random(r) {
				if err := encoder.WriteField(f); err != nil {
					t.Fatal(err)
				}
				want = append(want, pair{f.Name, f.Value})
			}
			got, passed, err := read(&d, coded.Bytes())
			if err != nil || !slices.Equal(got, want) || !slices.Equal(passed, want) {
				t.Fatalf("%v, passed on %v, %v; want %v", got, passed, err, want)
			}
		}
	}
}

// An encoder that went to a smaller table and back tells both (RFC 7541 §4.2).
func TestTwoChangesOfTheTableMayBeginABlock(t *testing.T) {
	var d Decoder
	for _, block := range []string{"\x40\x01a\x01b", "\x20\x3f\xe1\x1f\x82"} {
		if got, _, err := read(&d, []byte(block)); err != nil || len(got) != 1 {
			t.Errorf("%q: %v, %v", block, got, err)
		}
	}
}

// FuzzDecoder compares with another implementation, block after block.
func FuzzDecoder(f *testing.F) {
	f.Add([]byte("\x82\x86\x84\x41\x8c\xf1\xe3\xc2\xe5\xf2\x3a\x6b\xa0\xab\x90\xf4\xff"), []byte("\xbe\x20\x40\x01a\x01b\xbe"))
	f.Add([]byte("\x3f\xe1\x1f\x40\x01a\x00\x7e\x01c\xbe\xbf"), []byte("\x20\x82"))
	f.Add([]byte("A\x00"), []byte("?00"))
	f.Fuzz(func(t *testing.T, first, second []byte) {
		var d Decoder
		o := oracle.NewDecoder(TableSize, nil)
		for _, block := range [][]byte{first, second} {
			want, wantErr := expect(o, block)
			got, passed, err := read(&d, block)
			if err == nil && wantErr != nil && updates(block) > 1 {
				return // the other takes one, where RFC 7541 section 4.2 lets two follow each other
			}
			if err == nil && wantErr != nil {
				t.Fatalf("read as %v what the other refuses: %v", got, wantErr)
			}
			if err != nil {
				return // stricter is right; the table is lost
			}
			if !slices.Equal(got, want) || !slices.Equal(passed, want) {
				t.Fatalf("%v, passed on %v; want %v", got, passed, want)
			}
		}
	})
}

// updates counts the changes of the table's size that a block begins with.
func updates(block []byte) (n int) {
	for ; len(block) > 0 && block[0]>>5 == 1; n++ {
		more := block[0]&0x1f == 0x1f
		for block = block[1:]; more && len(block) > 0; block = block[1:] {
			more = block[0]&0x80 != 0
		}
	}
	return n
}

// grpcBlocks are the same ten fields, entering the table and then repeated.
func grpcBlocks() (first, repeated []byte) {
	var coded bytes.Buffer
	encoder := oracle.NewEncoder(&coded)
	write := func() []byte {
		coded.Reset()
		for _, p := range []pair{
			{":method", "POST"}, {":scheme", "http"}, {":path", "/shop.Orders/Get"}, {":authority", "orders.shop.mesh"},
			{"content-type", "application/grpc"}, {"user-agent", "grpc-go/1.85.0"}, {"te", "trailers"},
			{"grpc-timeout", "999m"}, {"x-request-id", "4f6ac8"}, {"traceparent", "00-4bf92f3577b34da6-00"},
		} {
			_ = encoder.WriteField(oracle.HeaderField{Name: p.name, Value: p.value})
		}
		return bytes.Clone(coded.Bytes())
	}
	return write(), write()
}

func BenchmarkTranscode(b *testing.B) {
	first, repeated := grpcBlocks()
	var d Decoder
	var f Field
	var out []byte
	b.ReportAllocs()
	for i := range b.N {
		block := repeated
		if i == 0 {
			block = first
		}
		out = out[:0]
		d.Begin(block)
		for d.Next(&f) {
			out = append(out, f.Wire...)
		}
		if d.Err() != nil {
			b.Fatal(d.Err())
		}
	}
}
