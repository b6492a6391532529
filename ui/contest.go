package ui

import (
	"slices"

	"github.com/synod-go/synod/api"
)

// contestPart is one step of a contest for the leadership of a group, as the node that took it
// has told.
type contestPart struct {
	Time int64  `json:"time"` // Unix milliseconds
	Node string `json:"node"`
	What string `json:"what"`           // "asks to lead", "starts election", "refuses", "became leader", "stepped down"
	Peer string `json:"peer,omitempty"` // who is refused
	In   string `json:"in"`             // the term or ballot
	Why  string `json:"why,omitempty"`
}

// maxContests is how many steps are shown of each group.
const maxContests = 8

// contest keeps an event that is a step of a contest.
func (s *story) contest(e api.Event) {
	if !slices.Contains([]string{"asks to lead", "starts election", "refuses", "became leader", "stepped down"}, e.Kind) || e.Group == "" {
		return
	}
	steps := append(slices.Clone(s.contests[e.Group]), contestPart{Time: millis(e.Time), Node: e.Node, What: e.Kind, Peer: e.Attrs["peer"], In: termOf(e), Why: shortened(e.Reason)})
	slices.SortStableFunc(steps, func(a, b contestPart) int { return int(a.Time - b.Time) }) // nodes tell one after the other
	s.contests[e.Group] = steps[max(0, len(steps)-maxContests):]
}
