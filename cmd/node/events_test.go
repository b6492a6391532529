package main

import (
	"testing"
	"time"

	"github.com/synod-go/synod/api"
)

func TestOneFaultIsOneLineAndTheSameFaultLaterAnother(t *testing.T) {
	noon := time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC)
	fault := func(after time.Duration) happened {
		return happened{Time: noon.Add(after), Kind: "fault", Text: "n3 is started again", Event: &api.Event{}}
	}
	lines := withoutTwins([]happened{fault(0), fault(time.Millisecond), fault(2 * time.Second), fault(6 * time.Second), fault(6*time.Second + 1)})
	if len(lines) != 2 || !lines[1].Time.Equal(noon.Add(6*time.Second)) {
		t.Errorf("left are %+v, want the first of each", lines)
	}
}
