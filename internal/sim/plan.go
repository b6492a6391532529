package sim

import (
	"cmp"
	"flag"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/synod-go/synod/consensus"
)

// Fault is a class of faults, one bit each.
type Fault uint32

// The classes. A run has each of them with a probability of one half; Plan.Off
// takes some away without changing what the others do.
const (
	Loss       Fault = 1 << iota // messages vanish
	Duplicate                    // messages arrive twice
	Delay                        // messages take long, now and then very long
	Reorder                      // messages overtake each other
	Corrupt                      // frames and snapshot chunks are damaged on the way
	Partition                    // links are cut, in several shapes
	Crash                        // processes die
	Tear                         // a crash hits the disk in the middle of a write
	Pause                        // processes stand still and go on
	ClockRate                    // clocks run at different speeds
	ClockJump                    // clocks jump forward
	SlowDisk                     // flushes take long
	SyncError                    // a write or a flush fails: the process must end
	DiskFull                     // no space is left for a while
	Wipe                         // a disk is lost, and the machine comes back as a new replica
	BitFlip                      // a bit on a disk changes while the process is down
	PeerHint                     // PeerLost is called for no reason
	Membership                   // members are added, removed, replaced
	Transfer                     // leadership is handed over; replicas campaign for no reason
	Snapshot                     // snapshots are taken at any moment
	Lease                        // clients read by lease; clocks keep to MaxDrift
	SlowApply                    // state machines lag
	Impatience                   // clients give up and repeat early
	Panic                        // actors panic; without effect where there are none
	Roles                        // members play some of the roles of Paxos only; without effect in a Raft group
	Burst                        // many small Accepts are under way at a time; without effect in a Raft group
	faultsEnd
)

var faultNames = []string{
	"loss", "duplicate", "delay", "reorder", "corrupt", "partition", "crash", "tear", "pause", "clockrate", "clockjump",
	"slowdisk", "syncerror", "diskfull", "wipe", "bitflip", "peerhint", "membership", "transfer", "snapshot", "lease",
	"slowapply", "impatience", "panic", "roles", "burst",
}

// AllFaults is every class.
const AllFaults = faultsEnd - 1

func (f Fault) String() string {
	var names []string
	for i, name := range faultNames {
		if f&(1<<i) != 0 {
			names = append(names, name)
		}
	}
	return strings.Join(names, ",")
}

// ParseFaults reads a list of names, separated by commas, as String writes it.
func ParseFaults(s string) (Fault, error) {
	var f Fault
next:
	for name := range strings.SplitSeq(s, ",") {
		if name == "" {
			continue
		}
		for i, known := range faultNames {
			if name == known {
				f |= 1 << i
				continue next
			}
		}
		return 0, fmt.Errorf("sim: no fault class %q, there are %v", name, AllFaults)
	}
	return f, nil
}

// Plan is one run: the seed decides everything that the other fields leave
// open. Its zero fields mean "as the seed has it".
type Plan struct {
	Seed    uint64
	Engine  string // raft or paxos: no seed decides that. Default raft
	Steps   int    // events of the safety phase. Default 40,000
	Voters  int    // first members, 1 to 5
	Clients int    // 1 to 8
	Off     Fault  // classes turned off
	Skip    []Skip // single faults left out
	// Script gives every client a register of its own and has it repeat what it
	// asks until it is answered: then the answers do not depend on the order in
	// which things happen, and so not on the engine.
	Script bool
	// Tree makes the state machine a coordination.Tree in which clients hold sessions.
	Tree bool
	// Stop ends the run after that many events of both phases, for a shrunk
	// run that has shown its failure by then. 0 does not.
	Stop uint64
}

// Skip names the n-th fault of a class, counted from 1.
type Skip struct {
	Class Fault
	N     uint64
}

// ParseSkips reads a list such as "crash:3,partition:1-12".
func ParseSkips(s string) (skips []Skip, err error) {
	for item := range strings.SplitSeq(s, ",") {
		if item == "" {
			continue
		}
		name, numbers, _ := strings.Cut(item, ":")
		class, err := ParseFaults(name)
		if err != nil {
			return nil, err
		}
		low, high, isRange := strings.Cut(numbers, "-")
		if !isRange {
			high = low
		}
		first, err := strconv.ParseUint(low, 10, 64)
		if err != nil {
			return nil, fmt.Errorf("sim: %q is not a fault and its number: %w", item, err)
		}
		last, err := strconv.ParseUint(high, 10, 64)
		if err != nil || last-first > maxSkips {
			return nil, fmt.Errorf("sim: %q is not a range of at most %d faults", item, maxSkips)
		}
		for n := first; n <= last; n++ {
			skips = append(skips, Skip{class, n})
		}
	}
	return skips, nil
}

// maxSkips bounds one range.
const maxSkips = 100_000

// formatSkips writes what ParseSkips reads, sorted, with ranges.
func formatSkips(skips []Skip) string {
	skips = slices.Clone(skips)
	slices.SortFunc(skips, func(a, b Skip) int { return cmp.Or(cmp.Compare(a.Class, b.Class), cmp.Compare(a.N, b.N)) })
	var items []string
	for i := 0; i < len(skips); {
		j := i
		for j+1 < len(skips) && skips[j+1].Class == skips[i].Class && skips[j+1].N <= skips[j].N+1 {
			j++
		}
		item := fmt.Sprintf("%v:%d", skips[i].Class, skips[i].N)
		if skips[j].N > skips[i].N {
			item += fmt.Sprintf("-%d", skips[j].N)
		}
		items = append(items, item)
		i = j + 1
	}
	return strings.Join(items, ",")
}

// ParseArgs reads what Args wrote. Lines that begin with # are left out.
func ParseArgs(text string) (p Plan, err error) {
	flags := flag.NewFlagSet("plan", flag.ContinueOnError)
	flags.Uint64Var(&p.Seed, "seed", 0, "")
	flags.StringVar(&p.Engine, "engine", "", "")
	flags.IntVar(&p.Steps, "steps", 0, "")
	flags.IntVar(&p.Voters, "voters", 0, "")
	flags.IntVar(&p.Clients, "clients", 0, "")
	flags.BoolVar(&p.Script, "script", false, "")
	flags.BoolVar(&p.Tree, "tree", false, "")
	flags.Uint64Var(&p.Stop, "stop", 0, "")
	flags.Func("off", "", func(s string) (err error) { p.Off, err = ParseFaults(s); return err })
	flags.Func("omit", "", func(s string) (err error) { p.Skip, err = ParseSkips(s); return err })
	var args []string
	for line := range strings.Lines(text) {
		if !strings.HasPrefix(line, "#") {
			args = append(args, strings.Fields(line)...)
		}
	}
	return p, flags.Parse(args)
}

// Args are the test flags that replay p.
func (p Plan) Args() string {
	s := fmt.Sprintf("-seed=%d -steps=%d", p.Seed, p.Steps)
	if p.Engine != "" && p.Engine != engineRaft {
		s += " -engine=" + p.Engine
	}
	if p.Voters > 0 {
		s += fmt.Sprintf(" -voters=%d", p.Voters)
	}
	if p.Clients > 0 {
		s += fmt.Sprintf(" -clients=%d", p.Clients)
	}
	if p.Script {
		s += " -script"
	}
	if p.Tree {
		s += " -tree"
	}
	if p.Off != 0 {
		s += fmt.Sprintf(" -off=%v", p.Off)
	}
	if len(p.Skip) > 0 {
		s += " -omit=" + formatSkips(p.Skip)
	}
	if p.Stop > 0 {
		s += fmt.Sprintf(" -stop=%d", p.Stop)
	}
	return s
}

const (
	maxSlots   = 8 // machines of a world
	maxClients = 8
	micro      = int64(1_000)
	milli      = int64(1_000_000)
	second     = int64(1_000_000_000)
)

// weather is what a seed draws: which faults there are and how bad they are.
// Probabilities are per mille, times are nanoseconds of the world.
type weather struct {
	on      Fault
	voters  int
	slots   int
	clients int
	every   [32]int64 // mean time between two faults of a class

	loss, duplicate, corrupt int
	delay                    int64 // mean of a message
	clog                     int   // how often a message takes up to 5 s
	flush, slowFlush         int64 // means
	slowFlushes              int
	apply                    int64
	think                    int64 // of a client between two operations
	patience                 int64 // of a client with one attempt
	restart                  int64
	pause                    int64

	heartbeat, election, lease consensus.Time
	drift                      consensus.Time
	trailing, chunk, appendMax int
	snapshotEvery              consensus.Index
	segment                    int64
	capacity                   int64 // of a full disk
	sessionTimeout             int64 // milliseconds
	padding                    int   // bytes a snapshot carries beside the registers
	requests                   int   // whose results are remembered
	plain                      bool  // all members have the same priority
	ranked                     bool  // the first member has a higher one than all others
}

// drawWeather follows the ranges of the reliability study, section 4.2.
func drawWeather(d *dice, p Plan) weather {
	w := weather{on: drawClasses(d) &^ p.Off}
	n := 0
	next := func() draw { n++; return d.at(streamPlan, 0, uint64(n)) }
	w.voters = [...]int{3, 3, 3, 5, 5, 4, 1, 2}[next().below(8)]
	if p.Voters > 0 {
		w.voters = p.Voters
	}
	w.slots = min(w.voters+2, maxSlots)
	w.clients = int(next().between(2, 6))
	if p.Clients > 0 {
		w.clients = p.Clients
	}
	w.loss = int(next().between(5, 300))
	w.duplicate = int(next().between(5, 500))
	w.corrupt = int(next().between(1, 10))
	w.delay = next().around(2*milli) + 50*micro
	w.clog = int(next().between(0, 10))
	w.flush = next().around(milli) + 20*micro
	w.slowFlush = next().between(20*milli, 600*milli)
	w.slowFlushes = int(next().between(5, 100))
	w.apply = next().around(milli / 2)
	w.think = next().around(8*milli) + milli
	w.patience = next().between(100*milli, 1500*milli)
	w.restart = next().around(500*milli) + milli
	w.pause = next().between(50*milli, 3*second)
	w.drawRaft(next)
	for class := range w.every {
		w.every[class] = next().around(2*second) + 200*milli
	}
	w.every[bit(Transfer)] = next().around(700*milli) + 100*milli
	w.every[bit(Wipe)] = next().around(6*second) + second
	w.every[bit(BitFlip)] = next().around(3*second) + second
	w.every[bit(Crash)] = next().around(600*milli) + 60*milli
	if next().perMille(100) {
		w.rush()
	}
	w.requests = 64
	if p.Script { // no result is forgotten while a client may ask for it again
		w.sessionTimeout, w.requests = 10_000_000, 1<<20
	}
	return w
}

// rush makes a snapshot take much longer to send than the next one to be due, with
// no log behind it.
func (w *weather) rush() {
	w.snapshotEvery, w.trailing = 5, 1
	w.chunk, w.padding = 16, 6000
}

// drawRaft draws the limits of the core and of the disk.
func (w *weather) drawRaft(next func() draw) {
	w.heartbeat = consensus.Time(next().between(20*milli, 80*milli))
	w.election = w.heartbeat * consensus.Time(next().between(3, 6))
	w.lease = w.election / consensus.Time(next().between(1, 3))
	w.drift = w.lease / 10
	w.trailing = next().below(200)
	w.chunk = int(next().between(64, 2000))
	w.appendMax = int(next().between(100, 4000))
	w.snapshotEvery = consensus.Index(next().between(30, 600))
	w.segment = next().between(12, 32) * 4 << 10
	w.capacity = w.segment * next().between(3, 8)
	w.sessionTimeout = next().between(300, 5000)
	w.padding = next().below(6000)
}

// drawClasses is the swarm: each class is on or off for the whole run. Lease
// reads are sound only while clocks keep to MaxDrift, so clocks misbehave in
// the runs without them, also if Off takes the lease reads away later.
func drawClasses(d *dice) Fault {
	var on Fault
	for i := range faultNames {
		if d.at(streamSwarm, i, 1).perMille(500) {
			on |= 1 << i
		}
	}
	if on&Lease != 0 {
		on &^= ClockRate | ClockJump
	}
	if on&(Wipe|BitFlip) != 0 { // or nobody could replace what is lost
		on |= Membership
	}
	return on
}

// bit is the number of a single class.
func bit(f Fault) int {
	for i := range faultNames {
		if f == 1<<i {
			return i
		}
	}
	panic(fmt.Sprintf("sim: %v is not one class", f))
}
