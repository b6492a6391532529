package cluster

import "testing"

func TestASuccessorKnowsWhosePlaceItHasTaken(t *testing.T) {
	id := "a"
	for _, own := range []string{"b", "c", "d", "e", "f", "g"} {
		before := id
		id = Successor(own, id)
		if !Succeeds(id, before) || Succeeds(before, id) || Succeeds(id, id) || OwnPart(id) != own {
			t.Fatalf("%s after %s", id, before)
		}
	}
	if id != "g.f.e.d.c" {
		t.Errorf("got %s: want the newest first, and a bound", id)
	}
	if Succeeds(id, "") || Succeeds("a", "b") || Succeeds("aa.b", "a") || Succeeds("a.a", "a.a") || Succeeds("a.a", "a.b") {
		t.Error("strangers are taken for predecessors")
	}
}
