package ui

import (
	"slices"
	"testing"
	"time"
)

// A disk that does not answer is seen by each group that has its log there, with every look.
func TestEachWarningIsGivenOnce(t *testing.T) {
	w := newWorld()
	for range 3 {
		l := raftLook("n1", "leader", 3, 1)
		for _, name := range []string{"h", "i"} {
			g := l.Groups[0]
			g.Name = name
			l.Groups = append(l.Groups, g)
		}
		for i := range l.Groups {
			l.Groups[i].Stalled = true
		}
		w.take(answer{node: "n1", look: *l}, time.Now())
		var groups []groupPart
		for _, name := range w.groupNames() {
			groups = append(groups, w.groupPart(name))
		}
		if hero, want := w.heroPart(groups), []string{"n1's disk does not answer"}; !slices.Equal(hero.Reasons, want) || hero.Health != "degraded" {
			t.Errorf("the page warns %q, want %q", hero.Reasons, want)
		}
	}
}
