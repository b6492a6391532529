package ui

import (
	"fmt"
	"strings"
	"testing"

	"github.com/synod-go/synod/api"
)

// raftLook is a node that leads, or follows, with entries of those terms.
func raftLook(node, role string, term uint64, terms ...uint64) *api.Look {
	g := api.GroupLook{Name: "g", Engine: "raft", Role: role, Term: term, Leader: "n1", Commit: uint64(len(terms)), Last: uint64(len(terms)),
		Voters: []string{"n1", "n2", "n3"}, Up: []string{"n1", "n2"}}
	for i, t := range terms {
		g.Entries = append(g.Entries, api.LogEntryLook{Index: uint64(i + 1), Term: t, Sum: uint32(t), Chosen: true})
	}
	return &api.Look{Node: node, Groups: []api.GroupLook{g}}
}

func TestTheChecksFindWhatMustNeverBe(t *testing.T) {
	tests := []struct {
		name  string
		looks []*api.Look
		wrong func(c *checks) *check
	}{
		{"two leaders in one term", []*api.Look{raftLook("n1", "leader", 3, 1), raftLook("n2", "leader", 3, 1)}, func(c *checks) *check { return &c.leaders }},
		{"two committed entries at one index", []*api.Look{raftLook("n1", "leader", 3, 1, 3), raftLook("n2", "follower", 3, 1, 2)}, func(c *checks) *check { return &c.prefixes }},
	}
	for _, test := range tests {
		c := newChecks()
		for _, l := range test.looks {
			c.take(l)
		}
		for _, check := range []*check{&c.leaders, &c.chosen, &c.prefixes} {
			if want := check == test.wrong(&c); want != (check.wrong > 0) {
				t.Errorf("%s: %+v", test.name, check.part())
			}
		}
	}
	c := newChecks()
	for range 3 {
		c.take(raftLook("n1", "leader", 3, 1, 3))
		c.take(raftLook("n2", "follower", 3, 1, 3))
	}
	if p := c.prefixes.part(); !p.OK || p.Count != 10 || c.leaders.wrong > 0 {
		t.Errorf("equal logs: %+v, want 10 comparisons and nothing wrong", p)
	}
	other := raftLook("n3", "follower", 3, 1)
	other.Groups[0].Engine = "paxos"
	c.take(other)
	other.Groups[0].Entries[0].Sum++
	c.take(other)
	if c.chosen.wrong != 1 || !strings.Contains(c.chosen.last, "g 1") {
		t.Errorf("a chosen value that changed: %+v", c.chosen.part())
	}
}

func TestACheckRemembersNoMoreThanItMay(t *testing.T) {
	c := newCheck()
	for i := range 3 * maxChecked {
		c.see(fmt.Sprint(i), "x", "n1")
	}
	if len(c.values) != maxChecked || len(c.order) != maxChecked {
		t.Errorf("%d values and %d keys are kept, want %d", len(c.values), len(c.order), maxChecked)
	}
}
