package http2

import (
	"bytes"
	"errors"
	"io"
	"testing"

	x "golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// seeds are frames that make sense, for a fuzzer to spoil.
func seeds(f *testing.F) {
	head := []byte{0x83, 0x86, 0x84, 0x41, 1, 'a'}
	b := appendBlock(nil, 1, head, false)
	b = appendFrameHeader(b, 3, frameData, flagEndStream, 1)
	b = append(b, "abc"...)
	f.Add(b, appendBlock(appendFrameHeader(nil, 0, frameSettings, 0, 0), 1, []byte{0x88}, true))
	b = appendReset(appendBlock(nil, 3, head, true), 3, cancelled)
	b = appendWindowUpdate(appendGoAway(b, 0, noError), 0, 5)
	b = append(appendFrameHeader(b, pingBytes, framePing, 0, 0), barrier...)
	f.Add(b, appendReset(nil, 1, refusedStream))
	f.Add(appendSettings(nil, setting{settingInitialWindow, 0}, setting{settingTableSize, 0}), appendGoAway(nil, 0, noError))
	padded := append(appendFrameHeader(nil, len(head)+6, frameHeaders, flagPadded|flagPriority|flagEndHeaders, 5), 0, 0, 0, 0, 0, 1)
	f.Add(append(padded, head...), appendFrameHeader(nil, 0, frameContinuation, flagEndHeaders, 1))
}

// FuzzFrames compares how a stream of bytes falls into frames.
func FuzzFrames(f *testing.F) {
	seeds(f)
	f.Fuzz(func(t *testing.T, b, _ []byte) {
		framer := x.NewFramer(io.Discard, bytes.NewReader(b))
		framer.SetMaxReadFrameSize(maxFrameBytes)
		framer.AllowIllegalReads = true
		for {
			got, whole, err := parseFrame(b)
			want, wantErr := framer.ReadFrame()
			if err != nil || !whole {
				if wantErr == nil {
					t.Fatalf("%v, whole %v; the other read %v", err, whole, want)
				}
				return
			}
			if want == nil {
				return // the other judges payloads at once
			}
			h := want.Header()
			if uint8(h.Type) != got.kind || uint8(h.Flags) != got.flags || h.StreamID != got.stream || int(h.Length) != len(got.payload) {
				t.Fatalf("%+v; want %v", got, h)
			}
			b = b[frameHeaderBytes+len(got.payload):]
		}
	})
}

// FuzzEngine lets a client and an endpoint say anything, in turn. What the
// engine sends must be HTTP/2 whatever it got, and both ways must end clean.
func FuzzEngine(f *testing.F) {
	seeds(f)
	f.Fuzz(func(t *testing.T, client, server []byte) {
		b := newBench(t)
		var toClient, toServer bytes.Buffer
		b.down.wire, b.up.wire = &recording{&toClient}, &recording{&toServer}
		for _, turn := range []struct {
			c  *conn
			in []byte
		}{{b.down, client}, {b.up, server}, {b.down, client}, {b.up, server}} {
			if turn.c.closing || turn.c.dead {
				continue
			}
			if _, err := turn.c.feed(b.w, bytes.Clone(turn.in)); err != nil {
				code := internalError
				if !errors.As(err, &code) {
					t.Fatalf("not an error of HTTP/2: %v", err)
				}
				turn.c.fail(b.w, code)
			}
			b.w.finish()
		}
		for _, c := range []*conn{b.down, b.up} {
			c.lose(b.w)
			b.w.finish()
			if len(c.halves) != 0 {
				t.Fatalf("%d streams are left", len(c.halves))
			}
		}
		wellFormed(t, &toClient)
		wellFormed(t, &toServer)
	})
}

// recording is a wire that keeps all.
type recording struct{ all *bytes.Buffer }

func (r *recording) write(_ *work, b []byte) (int, error) { return r.all.Write(b) }
func (r *recording) closeWrite()                          {}
func (r *recording) cut()                                 {}

// wellFormed reads what the engine sent with another implementation.
func wellFormed(t *testing.T, sent *bytes.Buffer) {
	framer := x.NewFramer(io.Discard, sent)
	framer.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	framer.MaxHeaderListSize = 1 << 20
	for {
		_, err := framer.ReadFrame()
		if errors.Is(err, io.EOF) {
			return
		}
		if err != nil {
			t.Fatalf("the engine sent what cannot be read: %v (%v)", err, framer.ErrorDetail())
		}
	}
}
