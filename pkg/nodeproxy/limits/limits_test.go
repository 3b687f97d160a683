package limits_test

import (
	"strings"
	"testing"
	"time"

	"github.com/weft-mesh/weft/pkg/nodeproxy/limits"
)

func TestTheDefaultsAreWithinTheirBounds(t *testing.T) {
	if err := limits.Default().Check(); err != nil {
		t.Error(err)
	}
	if own := (limits.Limits{Streams: 7}).OrDefault(); own.Streams != 7 || own.Fields != limits.MaxFields {
		t.Errorf("%+v", own)
	}
}

func TestCheckNamesWhatIsWrong(t *testing.T) {
	for flag, spoil := range map[string]func(*limits.Limits){
		"headBytes=65537":     func(l *limits.Limits) { l.HeadBytes = 65537 },
		"fields=3":            func(l *limits.Limits) { l.Fields = 3 },
		"streams=-1":          func(l *limits.Limits) { l.Streams = -1 },
		"heldBytes=1":         func(l *limits.Limits) { l.HeldBytes = 1 },
		"headTimeout=0s":      func(l *limits.Limits) { l.HeadTimeout = 0 },
		"connectTimeout=-1ns": func(l *limits.Limits) { l.ConnectTimeout = -time.Nanosecond },
	} {
		l := limits.Default()
		spoil(&l)
		if err := l.Check(); err == nil || !strings.HasPrefix(err.Error(), flag+": takes") {
			t.Errorf("%s: %v", flag, err)
		}
	}
}
