package group

import (
	"fmt"
	"log/slog"

	"github.com/synod-go/synod/consensus"
)

// LossError tells that this replica's log ends before what it had acknowledged
// (consensus.Loss). It is the end of the node and of its data directory: the host must
// not start from the directory again, see storage.Store.Condemn.
type LossError struct {
	Group string
	When  string // the leader's term or ballot: see Protocol.Term
	consensus.Loss
}

func (e *LossError) Error() string {
	return fmt.Sprintf("group: group %s has lost entries %d to %d of its log, which it had acknowledged to leader %016x in %s: its disk has lost what it had confirmed, or its data directory is an older copy",
		e.Group, e.Last+1, e.Acknowledged, uint64(e.Leader), e.When)
}

// lose ends the replica: whoever waits is told, and nobody may ask any more. The
// answer to the leader has left.
func (a *Actor) lose(loss consensus.Loss) {
	word, term := a.cfg.Protocol.Term(loss.Term)
	err := &LossError{Group: a.cfg.Name, When: word + " " + term, Loss: loss}
	a.log.Error("entries lost that were acknowledged", "group", a.cfg.Name, word, term, "leader", fmt.Sprintf("%016x", uint64(loss.Leader)),
		"acknowledged", uint64(loss.Acknowledged), "last", uint64(loss.Last))
	a.cfg.Event("entries lost", slog.Uint64("acknowledged", uint64(loss.Acknowledged)), slog.Uint64("last", uint64(loss.Last)))
	a.cfg.FailStop(err)
	a.handle.close(fmt.Errorf("%w: %w", ErrStopped, err))
}

// reportLosses tells of peers that have lost entries. The core counts on them no
// more.
func (a *Actor) reportLosses(peers []consensus.ID) {
	for _, id := range peers {
		name := fmt.Sprintf("%016x", uint64(id))
		if m, ok := a.engine.Configuration().Find(id); ok && m.Name != "" {
			name = m.Name
		}
		a.log.Error("a peer has lost entries that it had acknowledged", "group", a.cfg.Name, "peer", name)
		a.cfg.Event("peer lost entries", slog.String("peer", name))
	}
}
