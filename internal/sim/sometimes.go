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
	sights
)

var sightNames = [sights]string{
	"log conflict truncated", "split vote", "snapshot sent while log truncated", "leader change with uncommitted tail",
	"duplicate answered from session", "expired session", "read rejected", "read on a follower", "ENOSPC hit",
	"refused on a full disk", "crash in the middle of a write", "torn tail cut", "write or sync failed",
	"config change interrupted", "config rolled back", "corrupt frame", "surely not committed", "lease read", "lease lost",
	"bit flipped", "damaged disk refused", "damage survived", "disk lost",
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
func (s *sometimes) byName() map[string]uint64 {
	m := map[string]uint64{}
	for i, n := range s {
		m[sightNames[i]] = n
	}
	return m
}

// missing are the sights never seen.
func (s *sometimes) missing() (names []string) {
	for i, n := range s {
		if n == 0 {
			names = append(names, sightNames[i])
		}
	}
	return names
}
