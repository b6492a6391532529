package paxosnode

import (
	"strings"
	"testing"

	"github.com/synod-go/synod/actors/group"
	"github.com/synod-go/synod/consensus"
)

func TestTheTermOfAPaxosGroupIsShownAsABallot(t *testing.T) {
	p := New(Config{})
	for term, want := range map[consensus.Term]string{5<<40 | 2<<8: "5.2.0", 5497558139137: "5.1.1", 0: "-"} {
		if word, text := p.Term(term); word != "ballot" || text != want {
			t.Errorf("term %d is shown as %s %s, want ballot %s", term, word, text, want)
		}
	}
	word, ballot := p.Term(5<<40 | 2<<8)
	loss := &group.LossError{Group: "test", When: word + " " + ballot, Loss: consensus.Loss{Term: 5<<40 | 2<<8, Acknowledged: 4}}
	if text := loss.Error(); !strings.Contains(text, "in ballot 5.2.0:") || strings.Contains(text, "term") {
		t.Errorf("a loss says %q, want the ballot and nothing of a term", text)
	}
}
