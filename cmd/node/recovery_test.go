package main

import (
	"fmt"
	"strings"
	"testing"

	"github.com/synod-go/synod"
)

// A node that waits says for which group, and what to do about one that its cluster has never had.
func TestANodeThatIsNotReadySaysForWhichGroupItWaits(t *testing.T) {
	member := []synod.GroupMember{{ID: 1, Voter: true}}
	led := synod.GroupStatus{Name: "coordination", Leader: "n1", Members: member}
	for _, c := range []struct {
		groups []synod.GroupStatus
		says   string
		do     bool
	}{
		{nil, "[]", false},
		{[]synod.GroupStatus{led, {Name: "registry", Leader: "n1", Members: member}}, "[]", false},
		{[]synod.GroupStatus{led, {Name: "registry"}}, "[without leader registry do ", true},
		{[]synod.GroupStatus{led, {Name: "registry", Members: member}}, "[without leader registry]", false},
		{[]synod.GroupStatus{{Name: "coordination"}, {Name: "registry"}}, "[without leader coordination,registry]", false}, // it has no place yet
	} {
		got := fmt.Sprint(leaderless(c.groups))
		if !strings.HasPrefix(got, c.says) || strings.Contains(got, "without registry: start the node that has founded it again, once, with --bootstrap") != c.do {
			t.Errorf("%+v: %s, want %s", c.groups, got, c.says)
		}
	}
}
