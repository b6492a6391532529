package group

import (
	"slices"
	"testing"
)

func TestTheRecorderKeepsTheNewestEventsAndTellsOfAll(t *testing.T) {
	var told []int
	r := NewRecorder(3, func(e int) { told = append(told, e) })
	for e := range 2 {
		r.Add(e)
	}
	if got := r.Events(); !slices.Equal(got, []int{0, 1}) {
		t.Fatalf("%v before it is full, want 0 and 1", got)
	}
	for e := range 6 {
		r.Add(e + 2)
	}
	if got := r.Events(); !slices.Equal(got, []int{5, 6, 7}) {
		t.Fatalf("%v, want 5 to 7", got)
	}
	if len(told) != 8 || told[7] != 7 {
		t.Errorf("told of %v, want of 0 to 7", told)
	}
}
