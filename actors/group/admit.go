package group

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/synod-go/synod/consensus"
)

// ErrNameTaken: a live member has the newcomer's name.
var ErrNameTaken = errors.New("group: the name belongs to a member that answers")

// ErrPlaceVotes: the newcomer has the name of an acceptor and is none.
var ErrPlaceVotes = errors.New("group: the name belongs to an acceptor, and the newcomer is none: remove that member first")

// Admit proposes a place for a newcomer, as a non-voter that is to be promoted
// when fewer than voters members vote, unless its roles are without acceptor: then
// it never votes. One that has the name of a member which
// no longer answers takes that member's place: a node that lost its disk comes
// back under another id. version must be that of the configuration in force. It
// returns the index of the proposed one.
func (h *Handle) Admit(ctx context.Context, m consensus.Member, voters int, version consensus.Index) (consensus.Index, error) {
	return ask(ctx, h, func(a *Actor) (consensus.Index, error) {
		members, err := admitted(a.engine.Status(), m, voters)
		if err != nil {
			return 0, err
		}
		return a.engine.ChangeMembership(members, version)
	})
}

// admitted is the wanted list of members with the newcomer in it.
func admitted(s consensus.Status, m consensus.Member, voters int) ([]consensus.Member, error) {
	members := slices.Clone(s.Configuration.Members)
	n := 0
	for _, old := range members {
		switch {
		case old.Name == m.Name && (old.ID == s.ID || answers(s, old.ID)):
			return nil, fmt.Errorf("%w: %s", ErrNameTaken, m.Name)
		case old.Name == m.Name && old.Voter && !m.Accepts():
			return nil, fmt.Errorf("%w: %s", ErrPlaceVotes, m.Name)
		case old.Name == m.Name && old.Voter:
			m.Promote, m.Replaces = true, old.ID
		}
		if old.Voter || old.Promote && old.Replaces == consensus.None && old.Name != m.Name {
			n++
		}
	}
	// Newcomers of that name that never got as far as voting make room at once.
	members = slices.DeleteFunc(members, func(old consensus.Member) bool { return old.Name == m.Name && !old.Voter })
	if m.Replaces != consensus.None {
		return append(members, m), nil
	}
	m.Promote = n < voters && m.Accepts()
	return append(members, m), nil
}

func answers(s consensus.Status, id consensus.ID) bool {
	return slices.ContainsFunc(s.Peers, func(p consensus.PeerStatus) bool { return p.ID == id && p.Active })
}
