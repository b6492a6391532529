package synod

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/synod-go/synod/consensus"
)

// awaitReason waits until a node of c tells an event of a kind whose reason has all words.
func awaitReason(t *testing.T, c *LocalCluster, kind string, words ...string) (string, Event) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	for {
		for i := range c.nodes {
			node := c.Node(i)
			if node == nil {
				continue
			}
			for _, e := range node.Events() {
				if e.Kind == kind && hasAll(e.Reason, words) {
					return node.Name(), e
				}
			}
		}
		select {
		case <-ctx.Done():
			for i := range c.nodes {
				t.Logf("%s: %+v", localName(i), c.Node(i).Events())
			}
			t.Fatalf("no event %q with %q", kind, words)
		case <-time.After(10 * time.Millisecond): // events have no order across nodes to wait for
		}
	}
}

func hasAll(text string, words []string) bool {
	for _, w := range words {
		if !strings.Contains(text, w) {
			return false
		}
	}
	return true
}

func TestElectionsAndRefusalsSayWhy(t *testing.T) {
	for _, engine := range []Engine{Raft, Paxos} {
		t.Run(string(engine), func(t *testing.T) {
			c := Local(t, 3, GroupConfig{Name: "counter", Engine: engine, New: func() StateMachine { return nothing{} }})
			_, i, err := c.Leader(t.Context(), "counter")
			if err != nil {
				t.Fatal(err)
			}
			// Cut off without a word, the leader is not heard any more: the others say so.
			c.Isolate(i)
			who, e := awaitReason(t, c, "starts election", "no heartbeat from "+localName(i)+" for ", " ms")
			if who == localName(i) || e.Term == 0 {
				t.Errorf("%s says %+v, want one of the others, and the term", who, e)
			}
			awaitReason(t, c, "stepped down")
			c.Heal()
			// A follower that alone lost the leader asks the other one, which hears it, or its successor.
			_, j, err := c.Leader(t.Context(), "counter")
			if err != nil {
				t.Fatal(err)
			}
			c.Cut(j, (j+1)%3)
			who, e = awaitReason(t, c, "refuses", "leader n", " was heard ", " ms ago")
			if e.Attrs["peer"] == "" || e.Attrs["peer"] == who {
				t.Errorf("%s refuses %+v, want whom", who, e)
			}
		})
	}
}

func TestTheSameIsNotToldAllTheTime(t *testing.T) {
	var d noted
	now := time.Now()
	asks := consensus.Note{Kind: consensus.NoteAsks, Why: consensus.WhySilence, Other: 1}
	if d.again(asks, now) || !d.again(asks, now.Add(noteAgain/2)) || d.again(asks, now.Add(noteAgain)) {
		t.Error("it is told once within noteAgain, and again after that")
	}
	other := asks
	other.Other = 2
	election := consensus.Note{Kind: consensus.NoteElection, Why: consensus.WhySilence, Other: 1}
	if d.again(other, now) || d.again(election, now) || d.again(election, now) {
		t.Error("another leader's silence is told, and each election")
	}
}

func TestAChangeOfTheConfigurationSaysWhoCameAndWent(t *testing.T) {
	n := &Node{}
	member := func(id consensus.ID, name string, voter bool) consensus.Member {
		return consensus.Member{ID: id, Name: name, Voter: voter}
	}
	was := consensus.Configuration{Members: []consensus.Member{member(1, "n1", true), member(2, "n2", false), member(3, "n3", true), member(4, "n4", true)}}
	now := consensus.Configuration{Members: []consensus.Member{member(1, "n1", true), member(2, "n2", true), member(3, "n3", false), member(5, "n5", false)}}
	if got, want := n.whatChanged(was, now), "n2 votes, n3 votes no more, n4 is removed, n5 joins"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}
