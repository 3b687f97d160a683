package telemetry

import "testing"

// Nobody waits for a watcher: what it does not take in time is counted.
func TestTapIsOffUntilSomebodyWatchesAndNeverWaits(t *testing.T) {
	var tap Tap
	event := Event{Note: &Note{Path: "/"}}
	if tap.Wants("") {
		t.Error("wants events that nobody watches")
	}
	tap.Take(&event)
	w, err := tap.Watch(func(e *Event) bool { return e.Code == 200 })
	if err != nil || !tap.Wants("") {
		t.Fatalf("%v, wants %v", err, tap.Wants(""))
	}
	for range tapQueue + 10 {
		tap.Take(&Event{Note: &Note{}, Outcome: Outcome{Code: 200}})
		tap.Take(&Event{Note: &Note{}, Outcome: Outcome{Code: 500}})
	}
	if n, missed := len(w.Events), w.Missed(); n != tapQueue || missed != 10 || w.Missed() != 0 {
		t.Errorf("%d events wait, %d missed; want %d and 10, once", n, missed, tapQueue)
	}
	others := []*Watcher{w}
	for range tapWatchers - 1 {
		other, err := tap.Watch(func(*Event) bool { return false })
		if err != nil {
			t.Fatal(err)
		}
		others = append(others, other)
	}
	if _, err := tap.Watch(func(*Event) bool { return true }); err == nil {
		t.Error("one more than may watch")
	}
	for _, other := range others {
		tap.Stop(other)
	}
	if tap.Wants("") {
		t.Error("wants events after the last has stopped")
	}
}

func BenchmarkTapOff(b *testing.B) {
	var tap Tap
	events := NewEvents(&tap)
	b.ReportAllocs()
	for b.Loop() {
		if events.Want("") {
			b.Fatal("wanted")
		}
	}
}
