package synod

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"hash/fnv"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/synod-go/synod/actors/group"
	"github.com/synod-go/synod/raft"
	"github.com/synod-go/synod/replica"
	"github.com/synod-go/synod/storage"
)

// Level says how fresh a read must be.
type Level int

const (
	// Linearizable sees everything that was acknowledged, anywhere, before the
	// read began. It asks a majority, on any node. Default.
	Linearizable Level = iota
	// Lease sees the same on the leader without asking, as long as clocks
	// drift less than a tenth of Config.Lease within it. Without a lease it
	// falls back to Linearizable.
	Lease
	// Sequential sees what this node has applied, and never less than an earlier
	// read on the same node. ReadAt sets the least index.
	Sequential
	// Stale sees what this node has applied so far: it never waits.
	Stale
)

// RequestID names one command of one client, so that repeating it is safe. It
// begins with a time: 48 bits of Unix milliseconds, then 80 random bits.
type RequestID = replica.RequestID

// Result of a command.
type Result struct {
	// Index of the log at which the command took effect.
	Index uint64
	// Value is what the state machine returned. It must not be changed.
	Value []byte
}

// Group is one replicated state machine. It is safe for concurrent use.
type Group struct {
	node   *Node
	name   string
	id     storage.Group
	config GroupConfig
	handle *group.Handle
	seen   atomic.Uint64 // the highest index that a read has shown
	// recovered is closed when the replica has been rebuilt from the log.
	recovered     chan struct{}
	onceRecovered sync.Once
	// admitting: a newcomer's place is being proposed.
	admitting atomic.Bool
	// asks are the requests for a place.
	asks asks
	// refusedPlace is who was told last that its name is an acceptor's.
	refusedPlace atomic.Uint64
	// keeper of sessions, if the group has any.
	keeper atomic.Pointer[Sessions]
	// master of the cluster manager, if the group is its registry.
	master atomic.Pointer[Master]
	// jobs are the built-in framework beside it.
	jobs atomic.Pointer[Jobs]
	// members is the configuration as the replica last told it: for names, read only.
	members atomic.Pointer[raft.Configuration]
	noted   noted
}

// groupID is what the log and the wire call a group.
func groupID(name string) storage.Group {
	h := fnv.New32a()
	h.Write([]byte(name))
	return storage.Group(h.Sum32())
}

// Name of the group.
func (g *Group) Name() string { return g.name }

// Engine keeps the group's log.
func (g *Group) Engine() Engine { return g.config.Engine }

// Propose replicates command and returns the state machine's result once a
// majority has it on disk and it is applied on this node, which must lead.
// Errors: *NotLeaderError, ErrNoLeader, ErrOverloaded, ErrDiskFull, ErrTooLarge
// and ErrNotCommitted (surely not done), ErrUnknownOutcome, also when ctx ends.
func (g *Group) Propose(ctx context.Context, command []byte) (Result, error) {
	return g.propose(ctx, replica.Envelope{Kind: replica.KindPlain, Command: command})
}

// ProposeOnce is Propose for a command that may be repeated under the same
// request id: it is applied once, and every repetition gets the first result.
// Results are remembered for Limits.RequestRetention, as far as Limits.Requests
// reaches; after that a repetition is refused with ErrRequestExpired. An id of the
// future is refused with ErrRequestFuture. It does not matter otherwise what the
// clocks of clients and nodes show.
func (g *Group) ProposeOnce(ctx context.Context, request RequestID, command []byte) (Result, error) {
	return g.propose(ctx, replica.Envelope{Kind: replica.KindRequest, Request: request, Command: command})
}

func (g *Group) propose(ctx context.Context, e replica.Envelope) (Result, error) {
	if len(e.Command) > g.node.maxCommand {
		return Result{}, ErrTooLarge
	}
	result, _, err := g.handle.Propose(ctx, e.Append(make([]byte, 0, e.Size())))
	if err != nil {
		return Result{}, g.proposeError(err)
	}
	return Result{Index: result.Index, Value: result.Value}, result.Err()
}

// Read calls f when this node's state machine is as fresh as level wants, with
// the machine and the index it has applied; f reads the machine while nothing is
// applied, and must not keep it. f may be called twice: a lease that ended while
// f ran makes its answer void.
// Nothing is changed by a failed read; ErrNoLeader and ErrOverloaded may be
// tried again. A witness answers *NotLeaderError at Linearizable and Lease, so that
// the leader is asked, and ErrNoStateMachine at the other levels.
func (g *Group) Read(ctx context.Context, level Level, f func(machine StateMachine, index uint64)) error {
	if g.witness() && level != Sequential && level != Stale {
		return g.notLeader()
	}
	switch level {
	case Lease:
		if g.handle.ReadLease(ctx, f) {
			return nil
		}
	case Sequential:
		return g.ReadAt(ctx, g.seen.Load(), f)
	case Stale:
		return g.readError(g.handle.Read(0, f))
	}
	index, err := g.handle.ReadIndex(ctx)
	if err != nil {
		return g.readError(err)
	}
	return g.ReadAt(ctx, uint64(index), f)
}

// ReadAt is a sequential read that sees at least what index brought: the index
// of an earlier Result, perhaps from another node. It waits until this node has
// applied it. On a witness it is ErrNoStateMachine.
func (g *Group) ReadAt(ctx context.Context, index uint64, f func(machine StateMachine, index uint64)) error {
	if g.witness() {
		return ErrNoStateMachine
	}
	for {
		if err := g.handle.WaitApplied(ctx, raft.Index(index)); err != nil {
			return g.readError(err)
		}
		err := g.handle.Read(raft.Index(index), func(machine StateMachine, applied uint64) {
			f(machine, applied)
			g.note(applied)
		})
		if !errors.Is(err, group.ErrBehind) {
			return g.readError(err)
		}
		// The replica was restarted in between and is catching up.
		if err := g.node.pause(ctx); err != nil {
			return err
		}
	}
}

// note keeps the highest index that a read has shown.
func (g *Group) note(index uint64) {
	for seen := g.seen.Load(); seen < index && !g.seen.CompareAndSwap(seen, index); seen = g.seen.Load() {
	}
}

// Snapshot makes a snapshot of the state machine on this node now and returns
// its index. On a witness it is ErrNoStateMachine.
func (g *Group) Snapshot(ctx context.Context) (uint64, error) {
	index, err := g.handle.Snapshot(ctx)
	return uint64(index), g.readError(err)
}

// TransferLeadership hands the leadership to the named node, or to the best one
// if to is empty, and returns when another node leads. Call it on the leader.
// Errors: ErrNotFound (nobody of that name may lead), ErrAmbiguous, ErrUnavailable,
// *NotLeaderError and ErrNoLeader, after which nothing was done, and ErrUnknownOutcome.
func (g *Group) TransferLeadership(ctx context.Context, to string) error {
	before := g.handle.View()
	if before.Role != raft.Leader {
		return g.notLeader()
	}
	target := raft.None
	if to != "" {
		able := slices.DeleteFunc(slices.Clone(before.Configuration.Members), func(m raft.Member) bool { return !m.Proposes() })
		i, err := pick(able, to, identify)
		if err != nil {
			return err
		}
		if target = able[i].ID; uint64(target) == g.node.ID() {
			return nil
		}
	}
	if err := g.handle.TransferLeadership(ctx, target); err != nil {
		return g.memberError(err)
	}
	for try := 1; ; try++ {
		err := g.awaitSuccessor(ctx, before.Leader)
		// The other one may have been too slow; to be asked again changes nothing more.
		if now := g.handle.View(); err == nil || try == transferTries || now.Role != raft.Leader ||
			g.handle.TransferLeadership(ctx, target) != nil {
			return g.outcome(err)
		}
	}
}

// transferTries is how often a leader hands over before it goes on leading.
const transferTries = 3

// awaitSuccessor waits until another node leads.
func (g *Group) awaitSuccessor(ctx context.Context, before raft.ID) error {
	// The core gives up after an Election; the new leader needs another one at most.
	ctx, cancel := context.WithTimeout(ctx, 3*g.node.cfg.Election)
	defer cancel()
	return g.node.await(ctx, func() bool {
		now := g.handle.View()
		return now.Leader != before && now.Leader != raft.None
	})
}

// outcome is the error of waiting for what was already begun: it may still happen.
func (g *Group) outcome(err error) error {
	if errors.Is(err, ErrNoLeader) {
		return fmt.Errorf("%w: %w", ErrUnknownOutcome, err)
	}
	return err
}

// GroupStatus is a group as this node sees it. Only the leader knows the
// Match of others. The fields are read one after the other: while the group
// works, Applied and Digest may be newer than Commit.
type GroupStatus struct {
	Name   string
	Engine Engine
	Role   string // follower, pre-candidate, candidate, leader
	// Term is Raft's, or the ballot of Paxos as one number: Ballot is the same for
	// people, epoch.round.proposer, and Epoch that of the configuration below. Both
	// are empty in a Raft group.
	Term      uint64
	Ballot    string
	Epoch     uint32
	Leader    string // its name, "" if none is known
	LeaderAPI string // what it announces, "" if that is not known
	Commit    uint64 // what this node knows to be committed
	Applied   uint64 // by this node's state machine; on a witness what is chosen
	// First and Last are the indexes of the log in memory: First is Last+1 when
	// it is empty. The newest entries may not be on disk yet.
	First, Last   uint64
	Snapshot      uint64 // index of this node's newest one, 0 if there is none
	LogBytes      int    // of memory that the log takes, about
	Lease         bool   // reads at level Lease need no round, on the leader alone
	Stalled       bool   // a write has been under way for longer than two election timeouts
	ConfigVersion uint64 // log index of the configuration below, committed or not
	// Joint tells that a change of the members is under way: until it ends,
	// majorities of the old and of the new voters are both needed.
	Joint   bool
	Members []GroupMember
	// Asking are the ids of nodes that have asked for a place within the last second or so
	// and have none. Only nodes that run the group ask.
	Asking []uint64
	// Witness: this node votes and runs no state machine. It has no Digest.
	Witness bool
	// Digest is the checksum of everything applied up to DigestIndex: replicas
	// with one DigestIndex have one Digest, or one of them is wrong.
	DigestIndex uint64
	Digest      uint64
	// Quarantined says why this node's state machine answers nothing more: its
	// state differs from the majority's. "" if it is not quarantined.
	Quarantined string
}

// GroupMember is one replica.
type GroupMember struct {
	ID       uint64
	Name     string
	Voter    bool
	Promote  bool // becomes a voter when it has caught up
	Priority int
	// Roles are what it plays in a Paxos group as long as it has the vote that it has,
	// 0 in a Raft group. An Acceptor without a vote plays none, or the others.
	Roles Roles
	Self  bool
	// Known of others on the leader only, else 0 and false:
	Match  uint64 // its log equals this node's and is durable there up to this index; for Self, Last
	Active bool   // it has answered within an election timeout; true for Self
}

// Status of the group on this node. With an error only Name and Quarantined are
// set: a quarantined replica ends its node.
func (g *Group) Status(ctx context.Context) (GroupStatus, error) {
	s, err := g.handle.Status(ctx)
	if err != nil {
		failed := GroupStatus{Name: g.name, Quarantined: g.quarantined()}
		if failed.Quarantined != "" { // the actor may have ended in the middle of the call
			return failed, fmt.Errorf("%w: %s", ErrQuarantined, failed.Quarantined)
		}
		return failed, g.readError(err)
	}
	out := GroupStatus{
		Name: g.name, Engine: g.config.Engine, Ballot: g.ballot(s.Term), Role: strings.ToLower(s.Role.String()), Term: uint64(s.Term),
		Commit: uint64(s.Commit), Applied: uint64(g.handle.Applied()), First: uint64(s.FirstIndex), Last: uint64(s.LastIndex),
		Snapshot: uint64(s.Snapshot), LogBytes: s.LogBytes, Stalled: s.Stalled,
		ConfigVersion: uint64(s.Configuration.Version), Joint: s.Configuration.Joint(), Lease: g.handle.HoldsLease(),
		Witness: g.witness(),
	}
	if g.config.Engine == Paxos {
		out.Epoch = s.Configuration.Epoch
	}
	if s.Leader != raft.None {
		out.Leader, out.LeaderAPI = g.node.nameAndAPI(uint64(s.Leader))
	}
	if !g.witness() {
		digest := g.handle.Replica().Digest()
		out.DigestIndex, out.Digest, out.Quarantined = digest.Index, digest.Digest, g.quarantined()
	}
	for _, m := range s.Configuration.Members {
		out.Members = append(out.Members, g.memberStatus(m, &s))
	}
	out.Asking = slices.DeleteFunc(g.asks.lately(), func(id uint64) bool {
		return slices.ContainsFunc(out.Members, func(m GroupMember) bool { return m.ID == id })
	})
	return out, nil
}

// quarantined says why the replica has stopped, "" if it is not quarantined.
func (g *Group) quarantined() string {
	r := g.handle.Replica()
	if r == nil {
		return ""
	}
	var stopped *replica.StoppedError
	if err := r.View(func(uint64) {}); !errors.As(err, &stopped) || !errors.Is(err, ErrQuarantined) {
		return ""
	}
	return strings.TrimPrefix(stopped.Cause.Error(), "group: ")
}

func (g *Group) memberStatus(m raft.Member, s *raft.Status) GroupMember {
	member := GroupMember{ID: uint64(m.ID), Name: m.Name, Voter: m.Voter, Promote: m.Promote,
		Priority: int(m.Priority), Self: m.ID == s.ID}
	if g.config.Engine == Paxos {
		member.Roles = m.Plays()
	}
	if member.Self {
		member.Match, member.Active = uint64(s.LastIndex), true
	}
	for _, p := range s.Peers {
		if p.ID == m.ID {
			member.Match, member.Active = uint64(p.Match), p.Active
		}
	}
	return member
}

// NewRequestID draws one for now.
func NewRequestID() RequestID {
	var random [10]byte
	_, _ = rand.Read(random[:]) // never fails
	return replica.NewRequestID(time.Now().UnixMilli(), random)
}
