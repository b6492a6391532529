package synod

import (
	"cmp"
	"errors"
	"fmt"
	"strings"

	"github.com/synod-go/synod/actors/raftnode"
	"github.com/synod-go/synod/cluster"
	"github.com/synod-go/synod/storage"
)

// ErrLost: the node's data directory lacks what the node has acknowledged, or is a
// copy of one in use. The node has ended, and no node starts on the directory any
// more: move it away, and start the node again; it joins as a new member.
// *storage.LostError, which wraps it, has the reason. A directory whose state was
// wrong ends with ErrQuarantined too.
var ErrLost = storage.ErrLost

// refusedAsCopy is called by the link when a peer refuses this process for good.
func (n *Node) refusedAsCopy(by cluster.NodeID, reason string) {
	go n.lose(fmt.Sprintf("%s refuses node %s: %s", n.peerName(by), n.cfg.Name, reason))
}

// lose ends the node, and its data directory with it: a start that nobody refuses,
// because all who know better have been restarted, must not succeed either. It
// waits for the disk.
func (n *Node) lose(reason string) {
	n.condemn(n.store.Condemn, &storage.LostError{Reason: reason})
}

// quarantine does the same for a wrong state: a snapshot may hold it, which would
// vote, lead and be read until the next checkpoint of the digest.
func (n *Node) quarantine(e *raftnode.QuarantineError) {
	reason := fmt.Sprintf("node %s: %s", n.cfg.Name, strings.TrimPrefix(e.Error(), "raftnode: "))
	n.condemn(n.store.Quarantine, &storage.LostError{Reason: reason, Quarantined: true})
}

func (n *Node) condemn(mark func(reason string) error, lost *storage.LostError) {
	n.losing.Do(func() {
		if err := mark(lost.Reason); err != nil {
			n.log.Error("the data directory cannot be marked as lost: do not start a node on it", "error", err)
		}
		lost.Dir = cmp.Or(n.cfg.Dir, "data")
		n.failStopWith(lostError(lost))
	})
}

// lostError makes a directory that was quarantined end as a quarantine does.
func lostError(err error) error {
	if lost, ok := errors.AsType[*storage.LostError](err); ok && lost.Quarantined {
		return fmt.Errorf("%w: %w", ErrQuarantined, err)
	}
	return err
}
