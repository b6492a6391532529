package models

import (
	"math/bits"
	"testing"

	"github.com/synod-go/synod/internal/explore"
)

var (
	// smallEpochs has one leader change in each epoch.
	smallEpochs = epochModel{first: 2, second: 2, owners: [epochMaxBallots]int{0, 1, 2, 3}}
	// longEpochs has two leader changes in epoch 1: with fewer nothing can be
	// chosen behind a SEAL. Its ballot 0 has proposed the SEAL; ballot 1 need not
	// find it, ballot 2 may.
	longEpochs = epochModel{first: 3, second: 1, owners: [epochMaxBallots]int{0, 1, 2, 3}, narrow: true}
	// lossyEpochs takes the disk of replica 0 at any time.
	lossyEpochs = epochModel{first: 2, second: 1, owners: [epochMaxBallots]int{0, 1, 2}, loss: true}
)

func (m epochModel) with(broken mutant) epochModel {
	m.mutant = broken
	return m
}

func newVoterApplies(s epochState) bool {
	return seals(s.log[3][0]) && s.log[3][1] == valueOf(proposedAt(s.log[3][1]), isCommand)
}

func TestALogOfTwoEpochsIsSafe(t *testing.T) {
	m := smallEpochs
	if *large {
		m.first, m.owners = 3, [epochMaxBallots]int{0, 1, 2, 2, 3}
		m.narrow = true
	}
	holds(t, m, explore.Config[epochState]{Sometimes: map[string]func(epochState) bool{
		"the new voter applies a command of epoch 2": newVoterApplies,
		"an old leader is voted for after epoch 2 has chosen": func(s epochState) bool {
			return newVoterApplies(s) && (s.accepted[0][1]|s.accepted[1][1]) != 0
		},
		"the second leader of epoch 2 re-proposes": func(s epochState) bool {
			last := m.first + m.second - 1
			return s.proposals[last][1] == valueOf(last-1, isCommand) && bits.OnesCount8(s.accepted[last][1]) >= 2
		},
	}})
}

// What is chosen in epoch 1 behind its first SEAL is void: nobody applies it.
func TestWhatIsChosenBehindASealIsVoid(t *testing.T) {
	void := func(s epochState, kind uint8) bool {
		return newVoterApplies(s) && bits.OnesCount8(s.accepted[1][1]) >= 2 && s.proposals[1][1] == valueOf(1, kind)
	}
	holds(t, longEpochs, explore.Config[epochState]{Sometimes: map[string]func(epochState) bool{
		"a command is chosen behind the SEAL":     func(s epochState) bool { return void(s, isCommand) },
		"a second SEAL is chosen behind the SEAL": func(s epochState) bool { return void(s, isSeal) },
	}})
}

// A replica whose disk is lost never votes under its old identity; the new disk
// is replica 3, and a SEAL puts it in the place of the old one.
func TestALostDiskIsReplacedBySeal(t *testing.T) {
	holds(t, lossyEpochs, explore.Config[epochState]{Sometimes: map[string]func(epochState) bool{
		"the new disk votes for what is chosen": func(s epochState) bool {
			const newDisk = 1 << 3
			return s.lost != 0 && s.leaders[2].voters == votersWithout0 && s.accepted[2][1]&newDisk != 0 && newVoterApplies(s)
		},
	}})
}

func TestEpochsWithoutOneOfTheirRulesAreNotSafe(t *testing.T) {
	for _, c := range []struct {
		model  epochModel
		broken mutant
		want   string
	}{
		{smallEpochs, promisesBlindly, "have the log of epoch 1"},
		{smallEpochs, prefixVolatile, "have the log of epoch 1"},
		{smallEpochs, reportsOldVotes, "applies in epoch 2 what was proposed in epoch 1"},
		{longEpochs, takesSecondSeal, "applies in epoch 2 what was proposed in epoch 1"},
		{smallEpochs, countsOldVoters, "have the log of epoch 1"},
		{lossyEpochs, votesAfterLoss, "two values chosen"},
		{longEpochs, acknowledgesHole, "for replica 0 it is void"},
	} {
		t.Run(string(c.broken), func(t *testing.T) {
			fails(t, c.model.with(c.broken), explore.Config[epochState]{}, c.want)
		})
	}
}
