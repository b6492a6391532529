package chaos

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"time"
)

// FaultKind names what is done to the cluster.
type FaultKind string

// The faults. One of a majority or of all stops the writes until it is healed;
// every other must leave the cluster available.
const (
	KillLeader   FaultKind = "kill leader"
	KillFollower FaultKind = "kill follower"
	KillMajority FaultKind = "kill majority"
	KillAll      FaultKind = "kill all"

	PauseLeader   FaultKind = "pause leader"
	PauseFollower FaultKind = "pause follower"
	PauseMajority FaultKind = "pause majority"

	IsolateLeader   FaultKind = "isolate leader"
	IsolateFollower FaultKind = "isolate follower"
	LeaderDeaf      FaultKind = "leader hears nothing"
	LeaderMute      FaultKind = "leader is not heard"
	Ring            FaultKind = "ring"     // each node reaches its two neighbours only; of three nodes one pair is cut
	Flapping        FaultKind = "flapping" // the leader is cut off and back ten times a hold
	Loss            FaultKind = "loss 30%" // of every packet between nodes

	// Partial partitions: every node reaches some other. See partial.go.
	OneLink     FaultKind = "one link"    // between the leader and one follower
	Chain       FaultKind = "chain"       // each node reaches the next one only, and the leader is at an end
	Star        FaultKind = "star"        // all reach one follower only
	Constrained FaultKind = "constrained" // as Star, and the leader reaches nobody

	PowerFollower FaultKind = "power cut follower"
	PowerLeader   FaultKind = "power cut leader"
	PowerMajority FaultKind = "power cut majority"
	PowerAll      FaultKind = "power cut all"

	WriteError FaultKind = "write error" // EIO from the log's writes
	NoSpace    FaultKind = "no space"    // ENOSPC from the log's writes
	SlowDisk   FaultKind = "slow disk"   // 50 ms more for each write of the log
	LyingDisk  FaultKind = "lying disk"  // flushes that are forgotten at a power cut
	FullDisk   FaultKind = "full disk"   // the file system has no room left

	// Faults of those who want a lock, or to lead: see contest.go. A nap is shorter than
	// the session's timeout, a pause and a cut are longer.
	KillHolder  FaultKind = "kill holder"
	NapHolder   FaultKind = "nap of the holder"
	PauseHolder FaultKind = "pause holder"
	CutHolder   FaultKind = "cut holder" // from all nodes
	KillWaiter  FaultKind = "kill waiter"
	PauseWaiter FaultKind = "pause waiter"
	// Two at a time.
	KillHolderAndLeader  FaultKind = "kill holder and leader"
	PauseHolderAndLeader FaultKind = "pause holder, kill leader"
)

// stopsWrites reports whether no majority is left while the fault holds.
func (k FaultKind) stopsWrites() bool {
	return strings.HasSuffix(string(k), "majority") || strings.HasSuffix(string(k), "all") || strings.HasSuffix(string(k), "engine")
}

// Fault is one step of a plan.
type Fault struct {
	Kind FaultKind
	Hold time.Duration // from the fault to its end
	Pick int           // chooses among the nodes that fit
}

func (f Fault) String() string { return fmt.Sprintf("%s for %v, pick %d", f.Kind, f.Hold, f.Pick) }

// Choice is a kind of fault in a mix.
type Choice struct {
	Kind     FaultKind
	Weight   int
	Min, Max time.Duration // of the hold
}

// The mixes of the campaigns. Holds are short, because the cluster must only be
// caught at the wrong moment; pauses and cuts outlive elections and leases.
var (
	KillMix = []Choice{
		{KillLeader, 40, 0, 600 * time.Millisecond},
		{KillFollower, 20, 0, 400 * time.Millisecond},
		{KillMajority, 8, 0, 200 * time.Millisecond},
		{KillAll, 12, 0, 100 * time.Millisecond},
		{PauseLeader, 10, 100 * time.Millisecond, 2 * time.Second},
		{PauseFollower, 6, 100 * time.Millisecond, 2 * time.Second},
		{PauseMajority, 4, 100 * time.Millisecond, time.Second},
	}
	LongPauseMix = []Choice{
		{PauseLeader, 3, 10 * time.Second, time.Minute},
		{PauseFollower, 2, 10 * time.Second, time.Minute},
		{PauseMajority, 1, 10 * time.Second, 30 * time.Second},
	}
	NetworkMix = []Choice{
		{IsolateLeader, 30, 500 * time.Millisecond, 3 * time.Second},
		{IsolateFollower, 10, 500 * time.Millisecond, 2 * time.Second},
		{LeaderDeaf, 15, 500 * time.Millisecond, 3 * time.Second},
		{LeaderMute, 15, 500 * time.Millisecond, 3 * time.Second},
		{Ring, 15, 500 * time.Millisecond, 3 * time.Second},
		{Flapping, 10, time.Second, 3 * time.Second},
		{Loss, 5, time.Second, 4 * time.Second},
	}
	// OneLinkMix is what Raft must bear.
	OneLinkMix = []Choice{{OneLink, 1, 2 * time.Second, 4 * time.Second}}
	// PartialMix is for Paxos. Raft may have no leader in the others for as long as
	// they last: it elects only who has the longest log, and that one may reach no
	// majority. The holds outlive four election timeouts, so that whoever leads then
	// is seen to go on.
	PartialMix = []Choice{
		{OneLink, 30, 2 * time.Second, 4 * time.Second},
		{Chain, 25, 3 * time.Second, 4 * time.Second},
		{Star, 25, 3 * time.Second, 4 * time.Second},
		{Constrained, 20, 3 * time.Second, 4 * time.Second},
	}
	// ApartMix is PartialMix for roles apart: a chain may leave nobody who can lead.
	ApartMix = []Choice{PartialMix[0], PartialMix[2], PartialMix[3]}
	PowerMix = []Choice{
		{PowerFollower, 20, 0, 300 * time.Millisecond},
		{PowerLeader, 30, 0, 400 * time.Millisecond},
		{PowerMajority, 20, 0, 100 * time.Millisecond},
		{PowerAll, 30, 0, 0},
	}
	DiskMix = []Choice{
		{WriteError, 30, 0, 300 * time.Millisecond},
		{NoSpace, 20, 0, 300 * time.Millisecond},
		{SlowDisk, 20, time.Second, 3 * time.Second},
		{LyingDisk, 20, 300 * time.Millisecond, time.Second},
		{FullDisk, 10, time.Second, 2 * time.Second},
	}
	// ContenderMix is what locks and elections must bear. The session timeout of the
	// contenders stands between a nap and a pause.
	ContenderMix = []Choice{
		{KillHolder, 25, 0, 0},
		{NapHolder, 5, sessionTimeout / 4, sessionTimeout / 2},
		{PauseHolder, 12, sessionTimeout + time.Second, 2 * sessionTimeout},
		{KillWaiter, 6, 0, 0},
		{PauseWaiter, 4, sessionTimeout + time.Second, 2 * sessionTimeout},
		{KillHolderAndLeader, 6, 0, 500 * time.Millisecond},
		{PauseHolderAndLeader, 5, sessionTimeout + 2*time.Second, 2 * sessionTimeout},
		{KillLeader, 12, 0, 600 * time.Millisecond},
		{KillFollower, 4, 0, 400 * time.Millisecond},
		{KillMajority, 4, 0, 200 * time.Millisecond},
		{KillAll, 4, 0, 100 * time.Millisecond},
		{PauseLeader, 6, 3 * time.Second, 8 * time.Second},
	}
	// ContenderCutMix is the same with cuts, for contenders in networks of their own.
	ContenderCutMix = append([]Choice{
		{CutHolder, 20, sessionTimeout + time.Second, 2 * sessionTimeout},
		{IsolateLeader, 8, 2 * time.Second, 6 * time.Second},
		{IsolateFollower, 4, 2 * time.Second, 6 * time.Second},
	}, ContenderMix...)
)

// MakePlan draws cycles faults from mix. Each of the mix comes before any comes
// a second time, so that a short run meets all of them.
func MakePlan(seed uint64, mix []Choice, cycles int) []Fault {
	random := rand.New(rand.NewPCG(seed, 0))
	total := 0
	for _, c := range mix {
		total += c.Weight
	}
	first := random.Perm(len(mix))
	plan := make([]Fault, 0, cycles)
	for n := range cycles {
		chosen := mix[0]
		if n < len(first) {
			chosen = mix[first[n]]
		} else {
			draw := random.IntN(total)
			for _, c := range mix {
				if draw -= c.Weight; draw < 0 {
					chosen = c
					break
				}
			}
		}
		hold := chosen.Min
		if spread := chosen.Max - chosen.Min; spread > 0 {
			hold += time.Duration(random.Int64N(int64(spread)))
		}
		plan = append(plan, Fault{chosen.Kind, hold, random.IntN(1 << 16)})
	}
	return plan
}
