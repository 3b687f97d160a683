package admin

import (
	"bytes"
	"compress/gzip"
	"io"
	"math"
	"net/http"
	"strconv"
	"strings"
	"sync"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/weft-mesh/weft/internal/pace"
)

// metrics serves what a Gatherer has in the format that is asked for: Prometheus
// text, OpenMetrics 1.0 or protobuf. expfmt writes it, but for the histograms of
// the text formats: their lines are nearly all there is, and each repeats the
// labels of the one before.
//
// A proxy is scraped while it serves, so what is gathered and written takes turns
// with requests, and is compressed as fast as can be.
func metrics(from prometheus.Gatherer) http.HandlerFunc {
	compressors := sync.Pool{New: func() any {
		fast, _ := gzip.NewWriterLevel(nil, gzip.BestSpeed) // the level is a valid one
		return fast
	}}
	return func(w http.ResponseWriter, r *http.Request) {
		families, err := from.Gather()
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		format := expfmt.NegotiateAccept(r.Header, expfmt.DefaultOpenMetricsAcceptedFormats()...)
		w.Header().Set("Content-Type", string(format))
		w.Header().Add("Vary", "Accept, Accept-Encoding")
		var out io.Writer = w
		if strings.Contains(r.Header.Get("Accept-Encoding"), "gzip") {
			w.Header().Set("Content-Encoding", "gzip")
			fast := compressors.Get().(*gzip.Writer)
			defer compressors.Put(fast)
			fast.Reset(w)
			defer fast.Close() // before it is put back; it fails only where the client is gone
			out = fast
		}
		_ = expose(out, families, format) // neither does this
	}
}

// expose writes families in a format.
func expose(out io.Writer, families []*dto.MetricFamily, format expfmt.Format) error {
	encoder := expfmt.NewEncoder(out, format)
	text := textOf(out, format)
	for _, family := range families {
		write := encoder.Encode
		if text != nil && plain(family) {
			write = text.histograms
		}
		if err := write(family); err != nil {
			return err
		}
	}
	return encoder.(expfmt.Closer).Close()
}

// plain tells whether a family is one of histograms that have buckets, a sum and
// a count, and nothing that only expfmt knows how to write.
func plain(family *dto.MetricFamily) bool {
	if family.GetType() != dto.MetricType_HISTOGRAM || family.Unit != nil {
		return false
	}
	for _, m := range family.Metric {
		if h := m.Histogram; m.TimestampMs != nil || h.Schema != nil || h.SampleCountFloat != nil || h.CreatedTimestamp != nil || exemplars(h) {
			return false
		}
	}
	return true
}

func exemplars(h *dto.Histogram) bool {
	for _, b := range h.Bucket {
		if b.Exemplar != nil || b.CumulativeCountFloat != nil {
			return true
		}
	}
	return false
}

// chunk is how many bytes are written at once.
const chunk = 32 << 10

// histogramText writes histograms as Prometheus text 0.0.4, or as OpenMetrics 1.0.
type histogramText struct {
	out    io.Writer
	open   bool // OpenMetrics
	pace   pace.Pace
	buffer []byte
	labels []byte // of the histogram that is being written, without braces
}

// textOf is nil for a format that has no such lines.
func textOf(out io.Writer, format expfmt.Format) *histogramText {
	switch {
	case format.FormatType() == expfmt.TypeTextPlain:
		return &histogramText{out: out, pace: pace.Start()}
	case format.FormatType() == expfmt.TypeOpenMetrics && !strings.Contains(string(format), "version="+expfmt.OpenMetricsVersion_2_0_0):
		return &histogramText{out: out, pace: pace.Start(), open: true}
	}
	return nil
}

// histograms writes a family, chunk by chunk.
func (t *histogramText) histograms(family *dto.MetricFamily) error {
	name, help := family.GetName(), escaped(family.GetHelp(), t.open)
	t.buffer = append(t.buffer[:0], "# HELP "+name+" "+help+"\n# TYPE "+name+" histogram\n"...)
	for _, m := range family.Metric {
		t.histogram(name, m)
		if len(t.buffer) < chunk {
			continue
		}
		if err := t.flush(); err != nil {
			return err
		}
	}
	return t.flush()
}

// flush writes what is there; then others may have their turn.
func (t *histogramText) flush() error {
	_, err := t.out.Write(t.buffer)
	t.buffer = t.buffer[:0]
	t.pace.Breathe()
	return err
}

// histogram appends the lines of one label set.
func (t *histogramText) histogram(name string, m *dto.Metric) {
	t.labels = t.labels[:0]
	for _, l := range m.Label {
		t.labels = append(t.labels, l.GetName()+`="`+escaped(l.GetValue(), true)+`",`...)
	}
	all := m.Histogram.GetSampleCount()
	for _, b := range m.Histogram.Bucket {
		t.begin(name, "_bucket")
		t.buffer = append(t.buffer, `le="`...)
		t.float(b.GetUpperBound())
		t.buffer = append(t.buffer, `"} `...)
		t.count(b.GetCumulativeCount())
	}
	if n := len(m.Histogram.Bucket); n == 0 || !math.IsInf(m.Histogram.Bucket[n-1].GetUpperBound(), 1) {
		t.begin(name, "_bucket")
		t.buffer = append(t.buffer, `le="+Inf"} `...)
		t.count(all)
	}
	t.begin(name, "_sum")
	t.end()
	t.float(m.Histogram.GetSampleSum())
	t.buffer = append(t.buffer, '\n')
	t.begin(name, "_count")
	t.end()
	t.count(all)
}

// begin appends a line up to where its labels end.
func (t *histogramText) begin(name, suffix string) {
	t.buffer = append(append(append(t.buffer, name...), suffix...), '{')
	t.buffer = append(t.buffer, t.labels...)
}

// end ends labels to which none is added.
func (t *histogramText) end() {
	t.buffer = t.buffer[:len(t.buffer)-1] // the comma, or the brace where there is none
	if len(t.labels) > 0 {
		t.buffer = append(t.buffer, '}')
	}
	t.buffer = append(t.buffer, ' ')
}

// count ends a line. In Prometheus text a count is a number like all others.
func (t *histogramText) count(n uint64) {
	if t.open {
		t.buffer = strconv.AppendUint(t.buffer, n, 10)
	} else {
		t.float(float64(n))
	}
	t.buffer = append(t.buffer, '\n')
}

// float appends a number; in OpenMetrics one without a fraction is shown to be
// no integer.
func (t *histogramText) float(f float64) {
	begin := len(t.buffer)
	t.buffer = strconv.AppendFloat(t.buffer, f, 'g', -1, 64)
	if t.open && !bytes.ContainsAny(t.buffer[begin:], ".eIN") {
		t.buffer = append(t.buffer, ".0"...)
	}
}

// escaped is a text as a line may hold it.
func escaped(s string, quoted bool) string {
	if !strings.ContainsAny(s, "\\\n\"") {
		return s
	}
	s = strings.NewReplacer(`\`, `\\`, "\n", `\n`).Replace(s)
	if quoted {
		s = strings.ReplaceAll(s, `"`, `\"`)
	}
	return s
}
