package synod

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"hash/fnv"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/synod-go/synod/actors/raftnode"
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
	handle *raftnode.Handle
	seen   atomic.Uint64 // the highest index that a read has shown
	// hadPlace: this node has been in the group's configuration.
	hadPlace atomic.Bool
}

// groupID is what the log and the wire call a group.
func groupID(name string) storage.Group {
	h := fnv.New32a()
	h.Write([]byte(name))
	return storage.Group(h.Sum32())
}

// Name of the group.
func (g *Group) Name() string { return g.name }

// Propose replicates command and returns the state machine's result once a
// majority has it on disk and it is applied on this node, which must lead.
// Errors: *NotLeaderError, ErrNoLeader, ErrOverloaded, ErrDiskFull, ErrTooLarge
// and ErrNotCommitted (surely not done), ErrUnknownOutcome, also when ctx ends.
func (g *Group) Propose(ctx context.Context, command []byte) (Result, error) {
	return g.propose(ctx, replica.Envelope{Kind: replica.KindPlain, Command: command})
}

// ProposeOnce is Propose for a command that may be repeated under the same
// request id: it is applied once, and every repetition gets the first result.
// Results are remembered for Limits.RequestRetention; after that a repetition
// is refused with ErrRequestExpired.
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
// tried again.
func (g *Group) Read(ctx context.Context, level Level, f func(machine StateMachine, index uint64)) error {
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
// applied it.
func (g *Group) ReadAt(ctx context.Context, index uint64, f func(machine StateMachine, index uint64)) error {
	for {
		if err := g.handle.WaitApplied(ctx, raft.Index(index)); err != nil {
			return g.readError(err)
		}
		err := g.handle.Read(raft.Index(index), func(machine StateMachine, applied uint64) {
			f(machine, applied)
			g.note(applied)
		})
		if !errors.Is(err, raftnode.ErrBehind) {
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
// its index.
func (g *Group) Snapshot(ctx context.Context) (uint64, error) {
	index, err := g.handle.Snapshot(ctx)
	return uint64(index), g.readError(err)
}

// TransferLeadership hands the leadership to the named node, or to the best one
// if to is empty, and returns when another node leads. Call it on the leader.
func (g *Group) TransferLeadership(ctx context.Context, to string) error {
	before := g.handle.View()
	if before.Role != raft.Leader {
		return g.notLeader()
	}
	target := raft.None
	if to != "" {
		m, ok := g.member(to)
		if !ok {
			return ErrNotFound
		}
		if target = m.ID; uint64(target) == g.node.ID() {
			return nil
		}
	}
	if err := g.handle.TransferLeadership(ctx, target); err != nil {
		return g.memberError(err)
	}
	// The core gives up after an Election; the new leader needs another one at most.
	ctx, cancel := context.WithTimeout(ctx, 3*g.node.cfg.Election)
	defer cancel()
	return g.outcome(g.node.await(ctx, func() bool {
		now := g.handle.View()
		return now.Leader != before.Leader && now.Leader != raft.None
	}))
}

// outcome is the error of waiting for what was already begun: it may still happen.
func (g *Group) outcome(err error) error {
	if errors.Is(err, ErrNoLeader) {
		return fmt.Errorf("%w: %w", ErrUnknownOutcome, err)
	}
	return err
}

// RemoveMember removes the named node from the group, and waits until that is
// committed. The leader may remove itself. Call it on the leader.
func (g *Group) RemoveMember(ctx context.Context, name string) error {
	return g.change(ctx, name, func(members []raft.Member, i int) []raft.Member {
		return slices.Delete(members, i, i+1)
	})
}

// Promote makes the named member a voter, and Demote a non-voter.
func (g *Group) Promote(ctx context.Context, name string) error {
	return g.change(ctx, name, func(members []raft.Member, i int) []raft.Member {
		if !members[i].Voter {
			members[i].Promote = true
		}
		return members
	})
}

// Demote takes the named member's vote.
func (g *Group) Demote(ctx context.Context, name string) error {
	return g.change(ctx, name, func(members []raft.Member, i int) []raft.Member {
		members[i].Voter, members[i].Promote = false, false
		return members
	})
}

// change edits the members around the named one and waits for the commit. A
// change that is under way is waited for.
func (g *Group) change(ctx context.Context, name string, edit func([]raft.Member, int) []raft.Member) error {
	for {
		configuration := g.handle.View().Configuration
		members := slices.Clone(configuration.Members)
		i := slices.IndexFunc(members, func(m raft.Member) bool { return m.Name == name })
		if i < 0 {
			return ErrNotFound
		}
		wanted := edit(members, i)
		err := g.changeMembership(ctx, wanted, configuration.Version, name)
		if !errors.Is(err, raft.ErrChangePending) {
			return err
		}
		if paused := g.node.pause(ctx); paused != nil {
			return err
		}
	}
}

// changeMembership proposes wanted and waits until it is committed, joint phase
// and all. What it says about the named member must then hold: if the leader
// changed meanwhile, somebody else's change may have taken the place.
func (g *Group) changeMembership(ctx context.Context, wanted []raft.Member, version raft.Index, name string) error {
	index, err := g.handle.ChangeMembership(ctx, wanted, version)
	if err != nil {
		return g.memberError(err)
	}
	var c raft.Configuration
	err = g.node.await(ctx, func() bool {
		c = g.handle.View().Configuration
		return c.Version >= index && !c.Joint()
	})
	if err == nil {
		err = g.handle.WaitApplied(ctx, c.Version)
	}
	if err != nil {
		return g.outcome(g.proposeError(err))
	}
	if named(wanted, name) != named(c.Members, name) {
		return ErrConflict
	}
	return nil
}

// named tells what a list of members says about one: whether it is there, and
// whether it votes or shall.
func named(members []raft.Member, name string) (is struct{ member, voter bool }) {
	for _, m := range members {
		if m.Name == name {
			is.member, is.voter = true, is.voter || m.Voter || m.Promote
		}
	}
	return is
}

func (g *Group) member(name string) (raft.Member, bool) {
	members := g.handle.View().Configuration.Members
	i := slices.IndexFunc(members, func(m raft.Member) bool { return m.Name == name })
	if i < 0 {
		return raft.Member{}, false
	}
	return members[i], true
}

// GroupStatus is a group as this node sees it. Only the leader knows the
// Match of others.
type GroupStatus struct {
	Name          string
	Role          string // follower, pre-candidate, candidate, leader
	Term          uint64
	Leader        string // its name, "" if none is known
	LeaderAPI     string
	Commit        uint64
	Applied       uint64
	First, Last   uint64 // of the log in memory
	Snapshot      uint64 // index of the newest one
	LogBytes      int
	Lease         bool
	Stalled       bool   // the disk does not answer
	ConfigVersion uint64 // of the configuration below
	// Joint tells that a change of the members is under way: until it ends,
	// majorities of the old and of the new voters are both needed.
	Joint       bool
	Members     []GroupMember
	DigestIndex uint64
	Digest      uint64
	Quarantined string // why, "" if it is not
}

// GroupMember is one replica.
type GroupMember struct {
	ID       uint64
	Name     string
	Voter    bool
	Promote  bool // becomes a voter when it has caught up
	Priority int
	Self     bool
	// Known only on the leader:
	Match  uint64 // durable there up to this index
	Active bool   // has answered within an election timeout
}

// Status of the group on this node.
func (g *Group) Status(ctx context.Context) (GroupStatus, error) {
	s, err := g.handle.Status(ctx)
	if err != nil {
		return GroupStatus{Name: g.name}, g.readError(err)
	}
	out := GroupStatus{
		Name: g.name, Role: strings.ToLower(s.Role.String()), Term: uint64(s.Term),
		Commit: uint64(s.Commit), Applied: uint64(g.handle.Applied()), First: uint64(s.FirstIndex), Last: uint64(s.LastIndex),
		Snapshot: uint64(s.Snapshot), LogBytes: s.LogBytes, Stalled: s.Stalled,
		ConfigVersion: uint64(s.Configuration.Version), Joint: s.Configuration.Joint(), Lease: g.handle.HoldsLease(),
	}
	if s.Leader != raft.None {
		out.Leader, out.LeaderAPI = g.node.nameAndAPI(uint64(s.Leader))
	}
	digest := g.handle.Replica().Digest()
	out.DigestIndex, out.Digest = digest.Index, digest.Digest
	for _, m := range s.Configuration.Members {
		out.Members = append(out.Members, g.memberStatus(m, &s))
	}
	return out, nil
}

func (g *Group) memberStatus(m raft.Member, s *raft.Status) GroupMember {
	member := GroupMember{ID: uint64(m.ID), Name: m.Name, Voter: m.Voter, Promote: m.Promote,
		Priority: int(m.Priority), Self: m.ID == s.ID}
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
