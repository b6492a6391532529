package group

import (
	"testing"

	"github.com/synod-go/synod/consensus"
)

func TestALeaderKeepsTheNewestCheckpointsOnly(t *testing.T) {
	var d digests
	for i := range consensus.Index(maxCheckpoints + 3) {
		d.at(i + 1)[1] = uint64(i)
	}
	if len(d.by) != maxCheckpoints || d.at(3) != nil || d.at(4)[1] != 3 {
		t.Fatalf("%d checkpoints are kept, want the newest %d", len(d.by), maxCheckpoints)
	}
}
