package sim

// sight is something that a campaign must have seen, or it has proved little.
type sight int

const (
	sawTruncated sight = iota
	sawSplitVote
	sawSnapshotSent
	sawDeposedWithTail
	sawDuplicate
	sawExpired
	sawReadRejected
	sawFollowerRead
	sawNoSpace
	sawFullRefused
	sawTornWrite
	sawTornCut
	sawSyncError
	sawConfigInterrupted
	sawConfigRolledBack
	sawCorruptFrame
	sawNotCommitted
	sawLeaseRead
	sawLeaseLost
	sawBitFlip
	sawDamageRefused
	sawDamageSurvived
	sawWipe
	sawRebuilt // only actors, from here on
	sawInstalled
	sawOverloaded
	sawOutcomeUnknown
	sawTooManyPanics
	sawMachinePanic
	sawStopped
	sawGhost // only the Paxos log, from here on
	sawSealedLeader
	sawWitnessTrimmed
	sawSessionConfirmed // only a tree, from here on
	sawSessionExpired
	sawSessionLost
	sawOldEpoch
	sawLockTaken
	sawLockPassedOn
	sawLateAct
	sawFenced
	sawWatched
	sawHistoryGone
	sights
)

var sightNames = [sights]string{
	"log conflict truncated", "split vote", "snapshot sent while log truncated", "leader change with uncommitted tail",
	"duplicate answered from session", "expired session", "read rejected", "read on a follower", "ENOSPC hit",
	"refused on a full disk", "crash in the middle of a write", "torn tail cut", "write or sync failed",
	"config change interrupted", "config rolled back", "corrupt frame", "surely not committed", "lease read", "lease lost",
	"bit flipped", "damaged disk refused", "damage survived", "disk lost",
	"actor rebuilt after a panic", "snapshot installed", "overload refused", "outcome unknown", "too many panics",
	"state machine panicked", "stopped in good order",
	"ghost made void", "leader behind a SEAL", "witness lets go of its log",
	"sign of life confirmed", "session expired", "session given up", "expiry of an old epoch", "lock taken", "lock passed on",
	"act without a look at the clock", "act refused for its token", "watch told", "history gone",
}

// sometimes counts sights.
type sometimes [sights]uint64

func (s *sometimes) count(x sight) { s[x]++ }

func (s *sometimes) add(o sometimes) {
	for i, n := range o {
		s[i] += n
	}
}

// byName is for reports.
func (s *sometimes) byName(of []sight) map[string]uint64 {
	m := map[string]uint64{}
	for _, x := range of {
		m[sightNames[x]] = s[x]
	}
	return m
}

// missing are the sights never seen.
func (s *sometimes) missing(of []sight) (names []string) {
	for _, x := range of {
		if s[x] == 0 {
			names = append(names, sightNames[x])
		}
	}
	return names
}

// worldSights are what a World can see.
func worldSights() (of []sight) {
	for x := range sawRebuilt {
		of = append(of, x)
	}
	return of
}

// paxosSights are what a World of the Paxos log can see.
func paxosSights() (of []sight) {
	for _, x := range worldSights() {
		switch x {
		case sawTruncated, sawSplitVote, sawConfigInterrupted, sawConfigRolledBack: // a log of Raft
		default:
			of = append(of, x)
		}
	}
	return append(of, sawGhost, sawSealedLeader, sawWitnessTrimmed)
}

// treeSights are what a World with a tree can see.
func treeSights() (of []sight) {
	for x := sawSessionConfirmed; x < sights; x++ {
		of = append(of, x)
	}
	return of
}

// actorSights are what an ActorWorld can see.
func actorSights() []sight {
	of := []sight{
		sawSnapshotSent, sawDeposedWithTail, sawDuplicate, sawExpired, sawReadRejected, sawFollowerRead, sawNoSpace,
		sawFullRefused, sawTornWrite, sawSyncError, sawCorruptFrame, sawNotCommitted, sawLeaseRead,
	}
	for x := sawRebuilt; x <= sawStopped; x++ {
		of = append(of, x)
	}
	return of
}
