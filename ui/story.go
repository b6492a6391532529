package ui

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/synod-go/synod/api"
)

// Line is one line of the timeline.
type Line struct {
	Seq   uint64 `json:"seq"`
	Time  int64  `json:"time"` // Unix milliseconds
	Tag   string `json:"tag"`  // RAFT, PAXOS, GOSSIP, NODE, TASK, AGENT, MASTER, FRAMEWORK, FAULT, RECOVER, MORE
	Node  string `json:"node,omitempty"`
	Group string `json:"group,omitempty"`
	Text  string `json:"text"`
	Kind  string `json:"kind,omitempty"`
}

const (
	linesPerSecond = 20  // of each of two sorts: what is important, and the rest
	maxWaiting     = 400 // lines that wait for the next frame; more are counted
	maxHistory     = 100 // lines of what happened before the page was opened
)

// story makes the timeline of what nodes and masters tell.
type story struct {
	began   time.Time
	seq     uint64
	waiting []Line
	more    int // lines that were left out, and not told of yet
	// In the present second:
	second           time.Time
	important, plain int

	contests map[string][]contestPart // of each group, the newest last
	led      map[string]leadership    // the leader of each group in the highest term that was told of
	lost     map[string]time.Time     // when a node was last lost to another one
	faults   map[string]time.Time     // when each was told of
	done     map[string]uint64        // the last happening of each master's term that was taken
}

// leadership is who leads in a term.
type leadership struct {
	node string
	term uint64
}

func newStory() story {
	return story{contests: map[string][]contestPart{}, led: map[string]leadership{}, lost: map[string]time.Time{}, faults: map[string]time.Time{}, done: map[string]uint64{}}
}

func (s *story) add(l Line) {
	if len(s.waiting) >= maxWaiting { // the oldest goes, which is history if there is any
		if s.waiting[0].Time >= s.began.UnixMilli() {
			s.more++
		}
		s.waiting = slices.Delete(s.waiting, 0, 1)
	}
	s.waiting = append(s.waiting, l)
}

// addEvents takes a node's events in their order.
func (s *story) addEvents(w *world, events []api.Event, missed int) {
	s.more += missed
	for _, e := range events {
		if e.Kind == "fault" {
			s.addFault(e)
			continue
		}
		s.add(lineOf(e, w.engine(e.Group)))
		s.recover(w, e)
		s.contest(e)
	}
}

// addFault tells of a fault once, though every node has an event of it.
func (s *story) addFault(e api.Event) {
	key := e.Attrs["fault"] + " " + e.Attrs["what"] + " " + e.Reason
	if was, told := s.faults[key]; told && e.Time.Sub(was).Abs() < 5*time.Second {
		return
	}
	if len(s.faults) > 256 {
		clear(s.faults)
	}
	s.faults[key] = e.Time
	s.add(Line{Time: millis(e.Time), Tag: "FAULT", Kind: e.Kind, Text: shortened(e.Reason)})
}

// recover tells of a leader that follows one that was lost, and how long that took.
func (s *story) recover(w *world, e api.Event) {
	switch e.Kind {
	case "peer lost":
		peer := e.Attrs["peer"]
		if was := s.lost[peer]; e.Time.Sub(was) > 5*time.Second { // the first to notice
			s.lost[peer] = e.Time
		}
	case "became leader":
		was := s.led[e.Group]
		if e.Term <= was.term {
			return // older news, of a node that is asked only now
		}
		s.led[e.Group] = leadership{e.Node, e.Term}
		former := was.node
		if former == "" || former == e.Node {
			return
		}
		since, how := s.lost[former], "was lost"
		if n := w.nodes[former]; since.IsZero() || e.Time.Sub(since) > 30*time.Second {
			since = time.Time{}
			if n != nil && !n.silent.IsZero() {
				since, how = n.silent, "fell silent"
			}
		}
		text := fmt.Sprintf("%s leads %s in %s after %s", e.Node, e.Group, termOf(e), former)
		if took := e.Time.Sub(since); !since.IsZero() && took >= 0 && took < 30*time.Second {
			text = fmt.Sprintf("%s leads %s in %s, %d ms after %s %s", e.Node, e.Group, termOf(e), took.Milliseconds(), former, how)
		}
		s.add(Line{Time: e.Time.UnixMilli(), Tag: "RECOVER", Group: e.Group, Text: text, Kind: "recovered"})
	}
}

func (w *world) engine(group string) string {
	for _, n := range w.nodes {
		if g := n.group(group); g != nil {
			return g.Engine
		}
	}
	return ""
}

func termOf(e api.Event) string {
	if e.Ballot != "" {
		return "ballot " + e.Ballot
	}
	return fmt.Sprintf("term %d", e.Term)
}

// lineOf says what an event means.
func lineOf(e api.Event, engine string) Line {
	l := Line{Time: millis(e.Time), Node: e.Node, Group: e.Group, Kind: e.Kind, Tag: tagOf(e, engine)}
	var text strings.Builder
	text.WriteString(e.Kind)
	if e.Kind == "refuses" {
		text.WriteString(" " + e.Attrs["peer"])
	}
	if e.Term != 0 || e.Ballot != "" {
		text.WriteString(" in " + termOf(e))
	}
	if e.Leader != "" && e.Leader != e.Node {
		text.WriteString(": " + e.Leader)
	}
	for _, key := range slices.Sorted(maps.Keys(e.Attrs)) {
		if e.Kind == "refuses" && key == "peer" {
			continue
		}
		fmt.Fprintf(&text, ", %s %s", strings.ReplaceAll(key, "_", " "), e.Attrs[key])
	}
	if e.Reason != "" {
		text.WriteString(": " + e.Reason)
	}
	l.Text = shortened(text.String())
	return l
}

// shortened cuts what would fill the page.
func shortened(text string) string {
	const most = 300
	if len(text) <= most {
		return text
	}
	return strings.ToValidUTF8(text[:most], "") + "…"
}

func tagOf(e api.Event, engine string) string {
	switch {
	case strings.Contains(e.Kind, "fault"):
		return "FAULT"
	case e.Group != "":
		return strings.ToUpper(cmp.Or(engine, "node"))
	case strings.HasPrefix(e.Kind, "peer") || strings.HasPrefix(e.Kind, "member"):
		return "GOSSIP"
	}
	return "NODE"
}

// addHappenings takes what a master tells, each once.
func (s *story) addHappenings(list []api.Happening) {
	for _, h := range list {
		term := fmt.Sprint(h.Term)
		if h.Sequence <= s.done[term] {
			continue
		}
		if len(s.done) > 64 {
			clear(s.done)
		}
		s.done[term] = h.Sequence
		tag, _, _ := strings.Cut(h.Kind, " ")
		s.add(Line{Time: millis(h.Time), Tag: strings.ToUpper(tag), Kind: h.Kind, Text: shortened(h.Subject + " " + h.Text)})
	}
}

// isImportant: a flood of other lines must not hide it.
func isImportant(l *Line) bool {
	return l.Tag == "RECOVER" || l.Tag == "FAULT" || l.Kind == "became leader" || l.Kind == "stepped down" || l.Kind == "alarm"
}

// tell returns the lines for the next frame, in the order of their times: of each sort at most
// linesPerSecond a second, and how many more there were. History is told at once, its newest part.
func (s *story) tell(now time.Time) []Line {
	var told []Line
	if now.Sub(s.second) >= time.Second {
		if s.more > 0 {
			told = append(told, Line{Time: now.UnixMilli(), Tag: "MORE", Text: fmt.Sprintf("and %d more", s.more)})
		}
		s.second, s.important, s.plain, s.more = now, 0, 0, 0
	}
	slices.SortStableFunc(s.waiting, func(a, b Line) int { return cmp.Compare(a.Time, b.Time) })
	history := 0
	for history < len(s.waiting) && s.waiting[history].Time < s.began.UnixMilli() {
		history++
	}
	told = append(told, s.waiting[max(0, history-maxHistory):history]...)
	for _, l := range s.waiting[history:] {
		count := &s.plain
		if isImportant(&l) {
			count = &s.important
		}
		if *count >= linesPerSecond {
			s.more++
			continue
		}
		*count++
		told = append(told, l)
	}
	s.waiting = s.waiting[:0]
	for i := range told {
		s.seq++
		told[i].Seq = s.seq
	}
	return told
}
