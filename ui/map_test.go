package ui

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/synod-go/synod/api"
)

// worldOf is five members, n1 leading, of which each holds those for dead that dead tells, and those do not answer
// that silent names.
func worldOf(dead map[string]string, silent string) *world {
	w := newWorld()
	names := []string{"n1", "n2", "n3", "n4", "n5"}
	for _, node := range names {
		role := "follower"
		if node == "n1" {
			role = "leader"
		}
		l := *raftLook(node, role, 3, 1)
		for _, name := range names {
			state := "alive"
			if strings.Contains(dead[node], name) {
				state = "dead"
			}
			l.Members = append(l.Members, api.Sighting{Name: name, API: name + ":1", State: state})
		}
		w.take(answer{node: node, look: l}, time.Now())
		if strings.Contains(silent, node) {
			w.take(answer{node: node, err: fmt.Errorf("connection refused")}, time.Now())
		}
	}
	w.self = "n1"
	return w
}

func TestTheMapShowsWhoIsCutOffFromWhom(t *testing.T) {
	tests := []struct {
		name         string
		dead         map[string]string
		silent       string
		links, walls int
		label        string
	}{
		{"nothing is cut", nil, "", 10, 0, "Nobody is cut off: all that answer hear each other."},
		{"one does not answer", nil, "n4", 6, 0, "Nobody is cut off: all that answer hear each other."},
		{"two are cut off", map[string]string{"n1": "n3 n4 n5", "n2": "n3 n4 n5", "n3": "n1 n2", "n4": "n1 n2", "n5": "n1 n2"}, "", 4, 6, "CUT between n1 n2 | n3 n4 n5"},
		{"one does not hear another", map[string]string{"n5": "n2"}, "", 9, 1, "CUT between n2 and n5"},
		{"one is not heard by another", map[string]string{"n2": "n5"}, "", 9, 1, "CUT between n2 and n5"},
	}
	for _, test := range tests {
		parts := worldOf(test.dead, test.silent).parts()
		m, hero := parts["map"].(mapPart), parts["hero"].(heroPart)
		if warned := slices.Contains(hero.Reasons, m.Label); warned != (test.walls > 0) {
			t.Errorf("%s: the page warns %q", test.name, hero.Reasons)
		}
		if len(m.Links) != test.links || len(m.Walls) != test.walls || m.Label != test.label {
			t.Errorf("%s: %d links, %d walls, %q; want %d, %d, %q", test.name, len(m.Links), len(m.Walls), m.Label, test.links, test.walls, test.label)
		}
		for _, n := range m.Nodes {
			if (n.Leads == "g") != (n.Name == "n1") || (n.State == "up") == strings.Contains("n"+test.silent, n.Name) {
				t.Errorf("%s: %+v", test.name, n)
			}
		}
	}
}

func TestAllMembersHaveRoomOnTheMapOrNone(t *testing.T) {
	for n := 1; n <= maxMapNodes+1; n++ {
		w := newWorld()
		for i := range n {
			w.node(fmt.Sprint("n", i))
		}
		m := w.mapPart(nil)
		if n > maxMapNodes {
			if len(m.Nodes) != 0 || !strings.Contains(m.Label, "17 members") {
				t.Errorf("the map of %d members has %d and says %q", n, len(m.Nodes), m.Label)
			}
			continue
		}
		for _, node := range m.Nodes {
			if node.X < 40 || node.X > mapWidth-40 || node.Y < 22 || node.Y > mapHeight-60 {
				t.Errorf("%s of %d members is at %d, %d: out of the picture", node.Name, n, node.X, node.Y)
			}
		}
	}
}
