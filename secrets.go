package synod

import (
	"errors"

	"github.com/synod-go/synod/cluster"
)

// SetGossipKeys replaces the keys of gossip while the node runs: the first encrypts, all
// of them are understood. To replace the key of a cluster, let all nodes understand the
// new one first, then let all of them encrypt with it, then take the old one away: at no
// moment does a node not hear another. It is for nodes that were started with a key.
func (n *Node) SetGossipKeys(keys [][]byte) error {
	if n.gossip == nil {
		return errors.New("synod: this node has no gossip")
	}
	return n.gossip.SetKeys(keys)
}

// Secrets are what a node shows others to prove who it is, by their fingerprints.
type Secrets struct {
	// TLS says what the certificate is now; nil: the node speaks plain text.
	TLS *cluster.TLSState
	// GossipKeys are those of gossip, the one that encrypts first; none: it is not encrypted.
	GossipKeys []string
}

// Secrets returns what the node uses now.
func (n *Node) Secrets() (s Secrets) {
	if n.cfg.TLS != nil {
		state := n.cfg.TLS.State()
		s.TLS = &state
	}
	if n.gossip != nil {
		s.GossipKeys = n.gossip.Keys()
	}
	return s
}
