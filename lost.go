package synod

import (
	"cmp"
	"fmt"

	"github.com/synod-go/synod/cluster"
	"github.com/synod-go/synod/storage"
)

// ErrLost: the node's data directory lacks what the node has acknowledged, or is a
// copy of one in use. The node has ended, and no node starts on the directory any
// more: move it away, and start the node again; it joins as a new member.
// *storage.LostError, which wraps it, has the reason.
var ErrLost = storage.ErrLost

// refusedAsCopy is called by the link when a peer refuses this process for good.
func (n *Node) refusedAsCopy(by cluster.NodeID, reason string) {
	go n.lose(fmt.Sprintf("%s refuses node %s: %s", n.peerName(by), n.cfg.Name, reason))
}

// lose ends the node, and its data directory with it: a start that nobody refuses,
// because all who know better have been restarted, must not succeed either. It
// waits for the disk.
func (n *Node) lose(reason string) {
	n.losing.Do(func() {
		if err := n.store.Condemn(reason); err != nil {
			n.log.Error("the data directory cannot be marked as lost: do not start a node on it", "error", err)
		}
		n.fail(&storage.LostError{Dir: cmp.Or(n.cfg.Dir, "data"), Reason: reason})
	})
}
