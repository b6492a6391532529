package group

import (
	"testing"

	"github.com/synod-go/synod/actors"
)

func TestCommittedEntriesEnterAFullMailbox(t *testing.T) {
	for _, message := range []any{applyBatch{}, takeSnapshot{}, installSnapshot{}} {
		if _, ok := message.(actors.Control); !ok {
			t.Errorf("a full mailbox refuses %T: the applier would see a gap", message)
		}
	}
}
