package group

import (
	"errors"
	"fmt"
	"log/slog"
	"math"
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"google.golang.org/protobuf/proto"

	"github.com/synod-go/synod/actors"
	"github.com/synod-go/synod/consensus"
	"github.com/synod-go/synod/replica"
	"github.com/synod-go/synod/storage"
)

// Config of a group's replica. Fields without a default are required.
type Config struct {
	// Protocol makes the engine: raftnode.New or paxosnode.New.
	Protocol Protocol
	// ID of the replica: the node's storage incarnation.
	ID consensus.ID
	// Group numbers the group in the log and on the wire, Name names it in
	// logs and events.
	Group storage.Group
	Name  string
	// Store is the node's log and snapshots, shared with other groups.
	Store *storage.Store
	// Bootstrap is the first configuration. It is used only if the log holds
	// nothing of the group.
	Bootstrap []consensus.Member
	// Roles are those that this replica plays in a Paxos group; 0 is all three. One
	// that is an acceptor alone is a witness: it runs no state machine and keeps no
	// snapshots. The group must know it as what it is (*RolesError).
	Roles consensus.Roles
	// Machine makes an empty state machine. It is called at each start of the
	// actor, also after a panic. A witness needs none.
	Machine func() replica.StateMachine
	// Replica configures sessions and digest.
	Replica replica.Config
	// Peer returns the actor that takes a peer's messages. A message to a nil
	// PID is dropped.
	Peer func(consensus.ID) *actor.PID
	// Intercept, for tests and demonstrations of a bad network, is handed each message
	// to a peer that may leave, and what sends it: at once, later, more than once or
	// never. It is called by several goroutines and must not block. Optional.
	Intercept func(to consensus.ID, m proto.Message, send func())
	// Clock must count on while the machine is suspended.
	Clock func() consensus.Time

	// SnapshotBytes of log since the last snapshot make the next one. Default
	// 64 MiB. What an engine keeps of the log so that a follower catches up while
	// snapshots go on is four times that by default.
	SnapshotBytes int
	// MaxChunkBytes is the size of a snapshot's chunk on the wire. Default 256 KiB.
	MaxChunkBytes int
	// MaxProposals and MaxProposalBytes bound what waits in the inbox, and
	// MaxReads the reads that do, and likewise those that wait for the state
	// machine; more is ErrOverloaded. Defaults 65536, 64 MiB, 65536.
	MaxProposals     int
	MaxProposalBytes int
	MaxReads         int

	// LogWait is how long an actor that is restarted after a panic waits for what
	// was under way to the log; then the node ends. Default 1 minute.
	LogWait time.Duration

	// Changed is called inside the actor when role, term, leader or
	// configuration changed; it must not block. Optional.
	Changed func(View)
	// Event tells of a snapshot, a digest mismatch and the like, for
	// operators; it must not block. Optional.
	Event func(kind string, attrs ...slog.Attr)
	// Note is told why elections are begun and refused, inside the actor; it must not
	// block. Optional.
	Note func(consensus.Note)
	// Progress is told how far the restore of a snapshot at the start has come:
	// stage "restore", bytes read, bytes to read. It runs inside the actor, often,
	// and must be quick. Optional.
	Progress func(stage string, done, total int64)
	// FailStop is called when the replica must not go on: its log failed or
	// its state differs from the majority's (*QuarantineError). It must not block.
	FailStop func(error)
	// Logger defaults to discarding.
	Logger *slog.Logger

	// What a simulated world replaces: who runs the group's three actors
	// (default protoactor's dispatcher), what wakes them when the core's time has
	// come, and the clock that stamps proposals (defaults of package time).
	Dispatcher actor.Dispatcher
	Timer      func(f func()) Timer
	WallClock  func() time.Time
}

// Timer calls a function once, when the duration of its last Reset is over. The
// function does not block. A new Timer does not run. *time.Timer is one.
type Timer interface {
	Reset(time.Duration) bool
	Stop() bool
}

func newTimer(f func()) Timer {
	t := time.AfterFunc(math.MaxInt64, f)
	t.Stop()
	return t
}

func (c Config) withDefaults() (Config, error) {
	switch {
	case c.Protocol == nil:
		return c, errors.New("group: Config.Protocol is missing")
	case c.ID == consensus.None:
		return c, errors.New("group: Config.ID is missing")
	case c.Store == nil:
		return c, errors.New("group: Config.Store is missing")
	case !c.Roles.Valid():
		return c, fmt.Errorf("group: Config.Roles is %d", c.Roles)
	case c.Machine == nil && !c.Witness():
		return c, errors.New("group: Config.Machine is missing")
	case c.Peer == nil:
		return c, errors.New("group: Config.Peer is missing")
	case c.Clock == nil:
		return c, errors.New("group: Config.Clock is missing")
	case c.FailStop == nil:
		return c, errors.New("group: Config.FailStop is missing")
	}
	setDefault(&c.MaxChunkBytes, 256<<10)
	setDefault(&c.SnapshotBytes, 64<<20)
	setDefault(&c.MaxProposals, 65536)
	setDefault(&c.MaxProposalBytes, 64<<20)
	setDefault(&c.MaxReads, 65536)
	if c.LogWait == 0 {
		c.LogWait = time.Minute
	}
	if c.Replica.Limits.DigestEvery == 0 {
		c.Replica.Limits.DigestEvery = 4096
	}
	if c.Changed == nil {
		c.Changed = func(View) {}
	}
	if c.Event == nil {
		c.Event = func(string, ...slog.Attr) {}
	}
	if c.Progress == nil {
		c.Progress = func(string, int64, int64) {}
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.Timer == nil {
		c.Timer = newTimer
	}
	if c.WallClock == nil {
		c.WallClock = time.Now
	}
	return c, c.Protocol.Check(c)
}

func setDefault(value *int, to int) {
	if *value == 0 {
		*value = to
	}
}

// Witness reports whether this replica votes and runs no state machine.
func (c Config) Witness() bool { return c.Roles.Witness() }

// props are those of each of the group's actors.
func (c Config) props(producer actor.Producer, mailbox actor.MailboxProducer, more ...actor.PropsOption) *actor.Props {
	options := append(more, actor.WithMailbox(mailbox))
	if c.Dispatcher != nil {
		options = append(options, actor.WithDispatcher(c.Dispatcher))
	}
	return actor.PropsFromProducer(actors.Guard(c.Logger, producer), options...)
}
