package ui

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/synod-go/synod/api"
)

var noon = time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)

// counts are how many lines of each tag there are.
func counts(lines []Line) map[string]int {
	n := map[string]int{}
	for _, l := range lines {
		n[l.Tag]++
	}
	return n
}

func TestAFloodOfEventsIsCutToTwentyLinesASecondAndCounted(t *testing.T) {
	s, w := newStory(), newWorld()
	s.began = noon
	told := map[string]int{}
	var more []string
	for frame := range 31 { // three seconds and one frame of a hundred events each
		now := noon.Add(time.Duration(frame) * 100 * time.Millisecond)
		for i := range 100 {
			if frame < 30 {
				s.addEvents(w, []api.Event{{Time: now, Node: "n1", Kind: "peer connected", Attrs: map[string]string{"peer": fmt.Sprint(i)}}}, 0)
			}
		}
		if frame == 15 {
			s.addEvents(w, []api.Event{{Time: now, Node: "n2", Group: "g", Kind: "stepped down", Reason: "no quorum answers"}}, 0)
		}
		for _, l := range s.tell(now) {
			told[l.Tag]++
			if l.Tag == "MORE" {
				more = append(more, l.Text)
			}
		}
	}
	if told["GOSSIP"] != 60 || told["NODE"] != 1 {
		t.Errorf("of three seconds of 1,000 events %v were told, want 60 and the step-down", told)
	}
	if strings.Join(more, "; ") != "and 980 more; and 980 more; and 980 more" {
		t.Errorf("what was left out is told as %q", more)
	}
}

func TestALeaderThatFollowsALostOneIsToldWithTheTimeBetween(t *testing.T) {
	s, w := newStory(), newWorld()
	s.began = noon
	s.addEvents(w, []api.Event{{Time: noon, Node: "n1", Group: "g", Kind: "became leader", Term: 7}}, 0)
	s.addEvents(w, []api.Event{{Time: noon.Add(-time.Hour), Node: "n3", Group: "g", Kind: "became leader", Term: 5}}, 0) // older news that comes later
	s.addEvents(w, []api.Event{{Time: noon.Add(time.Minute), Node: "n3", Kind: "peer lost", Attrs: map[string]string{"peer": "n1"}},
		{Time: noon.Add(time.Minute + 432*time.Millisecond), Node: "n3", Group: "g", Kind: "became leader", Term: 8}}, 0)
	s.addEvents(w, []api.Event{{Time: noon.Add(time.Minute + 5*time.Millisecond), Node: "n2", Kind: "peer lost", Attrs: map[string]string{"peer": "n1"}}}, 0)
	var recovered []string
	for _, l := range s.tell(noon.Add(2 * time.Minute)) {
		if l.Tag == "RECOVER" {
			recovered = append(recovered, l.Text)
		}
	}
	if len(recovered) != 1 || recovered[0] != "n3 leads g in term 8, 432 ms after n1 was lost" {
		t.Errorf("told as %q", recovered)
	}
}

func TestAFaultThatAllNodesTellIsOneLine(t *testing.T) {
	s, w := newStory(), newWorld()
	s.began = noon
	for i := range 5 {
		s.addEvents(w, []api.Event{{Time: noon.Add(time.Duration(i) * time.Millisecond), Node: fmt.Sprint("n", i), Kind: "fault", Reason: "n4 is killed",
			Attrs: map[string]string{"fault": "f-1", "what": "kill"}}}, 0)
	}
	if lines := s.tell(noon); counts(lines)["FAULT"] != 1 || lines[0].Text != "n4 is killed" {
		t.Errorf("told as %+v", lines)
	}
}

func TestAHappeningIsToldOnceThoughItIsReadAgain(t *testing.T) {
	s := newStory()
	s.began = noon
	one := api.Happening{Sequence: 1, Term: 3, Time: noon, Kind: "task running", Subject: "synod/hello.0.1", Text: "runs"}
	two := one
	two.Sequence = 2
	s.addHappenings([]api.Happening{one})
	s.addHappenings([]api.Happening{one, two})
	if lines := s.tell(noon); len(lines) != 2 || lines[0].Tag != "TASK" {
		t.Errorf("told as %+v, want two lines", lines)
	}
}

func TestARefusalIsShownWithItsBallotAndItsReason(t *testing.T) {
	s, w := newStory(), newWorld()
	for i := range 2 * maxContests {
		at := noon.Add(time.Duration(i) * time.Second)
		s.addEvents(w, []api.Event{{Time: at, Node: "n2", Group: "g", Kind: "starts election", Ballot: fmt.Sprintf("1.%d.0", i)}}, 0)
	}
	last := noon.Add(time.Hour)
	s.addEvents(w, []api.Event{{Time: last, Node: "n3", Group: "g", Kind: "refuses", Ballot: "1.4.0", Reason: "ballot 1.5.0 is promised", Attrs: map[string]string{"peer": "n1"}}}, 0)
	steps := s.contests["g"]
	if len(steps) != maxContests {
		t.Fatalf("%d steps are kept, want %d", len(steps), maxContests)
	}
	want := contestPart{Time: last.UnixMilli(), Node: "n3", What: "refuses", Peer: "n1", In: "ballot 1.4.0", Why: "ballot 1.5.0 is promised"}
	if steps[maxContests-1] != want {
		t.Errorf("shown as %+v, want %+v", steps[maxContests-1], want)
	}
	if lines := s.tell(noon); lines[len(lines)-1].Text != "refuses n1 in ballot 1.4.0: ballot 1.5.0 is promised" {
		t.Errorf("told as %q", lines[len(lines)-1].Text)
	}
}
