package multipaxos

import "math/rand/v2"

// Config of a Node. The zero value of each field but ID means its default.
// Durations are on the host's clock (Time, nanoseconds).
type Config struct {
	// ID of this replica: the incarnation of its storage. Required.
	ID ID

	// Heartbeat is how often a leader makes itself heard. Default 50 ms.
	Heartbeat Time
	// Election is how long a replica waits for its leader before it polls: a
	// random time in [Election, 2*Election), and half an Election more for each
	// of up to two proposers with a higher priority. At least 3*Heartbeat.
	// Default 6*Heartbeat, that is 300 ms.
	Election Time
	// Lease is how long an acceptor that heard its leader promises nothing to
	// another proposer, and, less MaxDrift, how long the leader may read without
	// asking. At most Election. Default Election/2.
	Lease Time
	// MaxDrift bounds how far two clocks may drift apart within one Lease.
	// Default Lease/10.
	MaxDrift Time
	// DiskStall is how long a save may take before the replica counts its disk
	// as stalled: a leader hands over, others do not campaign. Default
	// 2*Election.
	DiskStall Time

	// MaxAcceptBytes bounds the entries of one Accept, one piece of a Promise
	// and one Learned. Default 1 MiB; a single larger entry still goes alone.
	MaxAcceptBytes int
	// MaxInflightBytes and MaxInflightFrames bound what one acceptor has been
	// sent and has not yet acknowledged as durable. Deep batches with a shallow
	// pipeline use the disk best. Defaults 8 MiB and 3.
	MaxInflightBytes  int
	MaxInflightFrames int
	// FullFrameBytes is how much a frame must hold to be sent while another is
	// under way to the same acceptor; less waits and gathers what arrives
	// meanwhile. Default 64 KiB.
	FullFrameBytes int
	// Window and MaxUnchosenBytes bound the slots beyond the chosen prefix: what a
	// leader proposes, and twice as much what an acceptor takes. The bytes also bound
	// what is chosen and not yet applied: beyond them a leader takes no proposals and a
	// learner asks for nothing, and CatchUpBytes beyond them an acceptor votes for
	// nothing. More is ErrOverloaded. Defaults 65536 slots and 64 MiB.
	Window           int
	MaxUnchosenBytes int
	// MaxApplyBytes bounds Apply of one Output, and four times as much what is
	// handed out and not yet reported by Applied. Default 4 MiB.
	MaxApplyBytes int
	// MaxReads bounds waiting ReadIndex calls. Default 65536.
	MaxReads int
	// MaxChunkBytes is the size of a snapshot chunk. Default 256 KiB.
	MaxChunkBytes int

	// TrailingEntries stay in memory behind a snapshot so that a replica a
	// little behind needs no snapshot. Default 4096 entries, at most
	// TrailingBytes of them. Default 16 MiB.
	TrailingEntries int
	TrailingBytes   int
	// CatchUpBytes is how large the log in memory may get because this replica
	// keeps it, in spite of newer snapshots, for a peer that is catching up from
	// it. Default 256 MiB.
	CatchUpBytes int
	// CatchUpTime is how long a peer that catches up may be silent until
	// nothing is kept for it. Default 100*Election, that is 30 s.
	CatchUpTime Time

	// PromoteWithin is how close, in slots, a learner must be to the leader's
	// chosen prefix to be made an acceptor. Default 256.
	PromoteWithin int

	// Witness says that this replica runs no state machine: what takes a snapshot
	// elsewhere, it takes over without. It is to be a member that is no learner.
	Witness bool

	// Rand is the source of the election jitter. The same source state and the
	// same inputs give the same outputs. Default: seeded from ID.
	Rand *rand.Rand
}

const millisecond Time = 1e6

// DefaultMaxChunkBytes is the default of Config.MaxChunkBytes.
const DefaultMaxChunkBytes = 256 << 10

// withDefaults returns c with every zero field replaced by its default.
func (c Config) withDefaults() Config {
	def(&c.Heartbeat, 50*millisecond)
	def(&c.Election, 6*c.Heartbeat)
	def(&c.Lease, c.Election/2)
	def(&c.MaxDrift, c.Lease/10)
	def(&c.DiskStall, 2*c.Election)
	def(&c.MaxAcceptBytes, 1<<20)
	def(&c.MaxInflightBytes, 8<<20)
	def(&c.MaxInflightFrames, 3)
	def(&c.FullFrameBytes, 64<<10)
	def(&c.Window, 65536)
	def(&c.MaxUnchosenBytes, 64<<20)
	def(&c.MaxApplyBytes, 4<<20)
	def(&c.MaxReads, 65536)
	def(&c.MaxChunkBytes, DefaultMaxChunkBytes)
	def(&c.TrailingEntries, 4096)
	def(&c.TrailingBytes, 16<<20)
	def(&c.CatchUpBytes, 256<<20)
	def(&c.CatchUpTime, 100*c.Election)
	def(&c.PromoteWithin, 256)
	if c.Rand == nil {
		c.Rand = rand.New(rand.NewPCG(uint64(c.ID), 0))
	}
	return c
}

func def[T Time | int](field *T, value T) {
	if *field == 0 {
		*field = value
	}
}

// check reports the first field that cannot be.
func (c Config) check() error {
	switch {
	case c.ID == None:
		return &ConfigError{"ID", "is missing"}
	case c.Heartbeat < 8:
		return &ConfigError{"Heartbeat", "is less than 8 ns"}
	case c.Election < 3*c.Heartbeat:
		return &ConfigError{"Election", "is less than three heartbeats"}
	case c.Election > 1<<53:
		return &ConfigError{"Election", "is more than a hundred days"}
	case c.Lease < 0 || c.Lease > c.Election:
		return &ConfigError{"Lease", "is not within [0, Election]"}
	case c.MaxDrift < 0 || c.MaxDrift >= c.Lease:
		return &ConfigError{"MaxDrift", "is not within [0, Lease)"}
	case c.DiskStall < 0:
		return &ConfigError{"DiskStall", "is negative"}
	case c.CatchUpTime < 0:
		return &ConfigError{"CatchUpTime", "is negative"}
	}
	for _, f := range []struct {
		name  string
		value int
	}{
		{"MaxAcceptBytes", c.MaxAcceptBytes}, {"MaxInflightBytes", c.MaxInflightBytes},
		{"MaxInflightFrames", c.MaxInflightFrames}, {"FullFrameBytes", c.FullFrameBytes},
		{"Window", c.Window}, {"MaxUnchosenBytes", c.MaxUnchosenBytes},
		{"MaxApplyBytes", c.MaxApplyBytes}, {"MaxReads", c.MaxReads}, {"MaxChunkBytes", c.MaxChunkBytes},
		{"TrailingEntries", c.TrailingEntries}, {"TrailingBytes", c.TrailingBytes},
		{"CatchUpBytes", c.CatchUpBytes}, {"PromoteWithin", c.PromoteWithin},
	} {
		if f.value < 0 {
			return &ConfigError{f.name, "is negative"}
		}
	}
	return nil
}
