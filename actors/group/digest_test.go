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

// With the roles apart all voters may be witnesses, which have no state to compare.
func TestWhoseDigestsCount(t *testing.T) {
	for _, c := range []struct {
		member consensus.Member
		counts bool
	}{
		{consensus.Member{Voter: true}, true},
		{consensus.Member{}, false}, // it may be a newcomer of anybody's
		{consensus.Member{Voter: true, Roles: consensus.RoleAcceptor}, false},
		{consensus.Member{Roles: consensus.RoleAcceptor}, false},
		{consensus.Member{Voter: true, Roles: consensus.RoleAcceptor | consensus.RoleLearner}, true},
		{consensus.Member{Roles: consensus.RoleLearner}, true},
		{consensus.Member{Roles: consensus.RoleProposer}, true},
	} {
		if got := judges(c.member); got != c.counts {
			t.Errorf("the digest of %+v counts: %v, want %v", c.member, got, c.counts)
		}
	}
}
