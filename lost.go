package synod

import (
	"cmp"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/synod-go/synod/actors/group"
	"github.com/synod-go/synod/cluster"
	"github.com/synod-go/synod/storage"
)

// ErrLost: the node's data directory lacks what the node has acknowledged, or is a
// copy of one in use. The node has ended, and no node starts on the directory any
// more: move it away, and start the node again; it joins as a new member. Without
// TLS the word of a peer ends the node, but does not mark the directory.
// *storage.LostError, which wraps it, has the reason. A directory whose state was
// wrong ends with ErrQuarantined too.
var ErrLost = storage.ErrLost

// refusedAsCopy is called by the link when a peer refuses this process for good.
// Without TLS anybody who reaches a peer may have told it a position in this node's
// name, or refuse in the peer's: that must not cost a directory.
func (n *Node) refusedAsCopy(by cluster.NodeID, reason string) {
	reason = fmt.Sprintf("%s refuses node %s: %s", n.peerName(by), n.cfg.Name, reason)
	if n.cfg.TLS == nil && n.cfg.local == nil {
		reason += " (not proven without TLS, so the directory is not marked; if it is the right one, restart the nodes that refuse it, one after the other)"
		n.failStopWith(&storage.LostError{Dir: n.dataDir(), Reason: reason})
		return
	}
	go n.lose(reason)
}

// lose ends the node, and its data directory with it: a start that nobody refuses,
// because all who know better have been restarted, must not succeed either. It
// waits for the disk, at most markTimeout.
func (n *Node) lose(reason string) {
	n.condemn(n.store.Condemn, &storage.LostError{Reason: reason})
}

// quarantine does the same for a wrong state: a snapshot may hold it, which would
// vote, lead and be read until the next checkpoint of the digest.
func (n *Node) quarantine(e *group.QuarantineError) {
	reason := fmt.Sprintf("node %s: %s", n.cfg.Name, strings.TrimPrefix(e.Error(), "group: "))
	n.condemn(n.store.Quarantine, &storage.LostError{Reason: reason, Quarantined: true})
}

// markTimeout is how long the node goes on while its directory is marked. A disk
// that hangs must not keep it voting; the mark follows when the disk answers.
const markTimeout = 3 * time.Second

func (n *Node) condemn(mark func(reason string) error, lost *storage.LostError) {
	n.losing.Do(func() {
		lost.Dir = n.dataDir()
		marked := make(chan struct{})
		go func() {
			defer close(marked)
			if err := mark(lost.Reason); err != nil {
				n.log.Error("the data directory cannot be marked as lost: do not start a node on it", "error", err)
			}
		}()
		timer := time.NewTimer(markTimeout)
		defer timer.Stop()
		select {
		case <-marked:
		case <-timer.C:
			n.log.Error("the disk does not answer, the data directory is not yet marked as lost: do not start a node on it")
		}
		n.failStopWith(lostError(lost))
	})
}

func (n *Node) dataDir() string { return cmp.Or(n.cfg.Dir, "data") }

// lostError makes a directory that was quarantined end as a quarantine does.
func lostError(err error) error {
	if lost, ok := errors.AsType[*storage.LostError](err); ok && lost.Quarantined {
		return fmt.Errorf("%w: %w", ErrQuarantined, err)
	}
	return err
}
