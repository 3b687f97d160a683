package http2_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/weft-mesh/weft/pkg/nodeproxy/http2"
)

// echo answers with what it got, piece by piece, and its checksum as a trailer.
func echo(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Trailer", "Sum")
	w.Header().Set("Number", r.Header.Get("Number"))
	sum, piece := sha256.New(), make([]byte, 9000)
	for {
		n, err := r.Body.Read(piece)
		sum.Write(piece[:n])
		if _, failed := w.Write(piece[:n]); failed != nil {
			return
		}
		if err != nil {
			break
		}
	}
	w.Header().Set("Sum", hex.EncodeToString(sum.Sum(nil))+r.Trailer.Get("End"))
}

// post sends a random body and tells whether it came back; a call that it
// cancels itself is neither right nor wrong.
func post(c *http.Client, url string, r *rand.Rand, number string) (right, cancelled bool, err error) {
	data := make([]byte, r.IntN(300<<10)*r.IntN(3)/2)
	for i := range data {
		data[i] = byte(r.Uint32())
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	leave := r.IntN(10) == 0
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, url, io.MultiReader(bytes.NewReader(data)))
	if err != nil {
		return false, false, err
	}
	request.Header.Set("Number", number)
	request.Trailer = http.Header{"End": {number}}
	if leave {
		after := r.IntN(len(data) + 1)
		request.Body = io.NopCloser(io.MultiReader(bytes.NewReader(data[:after]), cancelling{cancel}))
	}
	response, err := c.Do(request)
	if err != nil {
		return false, leave, err
	}
	defer response.Body.Close()
	got, err := io.ReadAll(response.Body)
	if leave || err != nil {
		return false, leave, err
	}
	sum := sha256.Sum256(data)
	return response.StatusCode == 200 && bytes.Equal(got, data) && response.Header.Get("Number") == number &&
		response.Trailer.Get("Sum") == hex.EncodeToString(sum[:])+number, false, nil
}

// cancelling cancels the request whose body it ends.
type cancelling struct{ cancel func() }

func (c cancelling) Read([]byte) (int, error) {
	c.cancel()
	return 0, context.Canceled
}

func TestThousandsOfBodiesComeBackAsTheyWere(t *testing.T) {
	w := newWorld(t, http2.Config{}, backend(t, echo), backend(t, echo))
	const callers, calls = 16, 120
	var right, cancelled, wrong atomic.Int64
	var running sync.WaitGroup
	for i := range callers {
		c := client(t)
		for half := range 2 {
			running.Go(func() {
				r := rand.New(rand.NewPCG(uint64(i), uint64(half)))
				for n := range calls / 2 {
					ok, left, err := post(c, "http://"+w.at+"/echo", r, fmt.Sprint(i, "-", half, "-", n))
					switch {
					case left:
						cancelled.Add(1)
					case ok && err == nil:
						right.Add(1)
					default:
						wrong.Add(1)
						t.Errorf("caller %d, call %d: %v, %v", i, n, ok, err)
					}
				}
			})
		}
	}
	running.Wait()
	t.Logf("%d right, %d cancelled, %d wrong", right.Load(), cancelled.Load(), wrong.Load())
}
