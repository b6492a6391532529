package raftnode

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/synod-go/synod/raft"
)

// ErrNameTaken: a live member has the newcomer's name.
var ErrNameTaken = errors.New("raftnode: the name belongs to a member that answers")

// Admit proposes a place for a newcomer, as a non-voter that is to be promoted
// when fewer than voters members vote. One that has the name of a member which
// no longer answers takes that member's place: a node that lost its disk comes
// back under another id. version must be that of the configuration in force. It
// returns the index of the proposed one.
func (h *Handle) Admit(ctx context.Context, m raft.Member, voters int, version raft.Index) (raft.Index, error) {
	return ask(ctx, h, func(a *Actor) (raft.Index, error) {
		members, err := admitted(a.core.Status(), m, voters)
		if err != nil {
			return 0, err
		}
		return a.core.ChangeMembership(members, version)
	})
}

// admitted is the wanted list of members with the newcomer in it.
func admitted(s raft.Status, m raft.Member, voters int) ([]raft.Member, error) {
	members := slices.Clone(s.Configuration.Members)
	n := 0
	for _, old := range members {
		switch {
		case old.Name == m.Name && (old.ID == s.ID || answers(s, old.ID)):
			return nil, fmt.Errorf("%w: %s", ErrNameTaken, m.Name)
		case old.Name == m.Name && old.Voter:
			m.Promote, m.Replaces = true, old.ID
		}
		if old.Voter || old.Promote && old.Replaces == raft.None && old.Name != m.Name {
			n++
		}
	}
	// Newcomers of that name that never got as far as voting make room at once.
	members = slices.DeleteFunc(members, func(old raft.Member) bool { return old.Name == m.Name && !old.Voter })
	if m.Replaces != raft.None {
		return append(members, m), nil
	}
	m.Promote = n < voters
	return append(members, m), nil
}

func answers(s raft.Status, id raft.ID) bool {
	return slices.ContainsFunc(s.Peers, func(p raft.PeerStatus) bool { return p.ID == id && p.Active })
}
