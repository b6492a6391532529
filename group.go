package synod

import (
	"context"
	"crypto/rand"
	"errors"
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
	// Sequential sees what this node has applied, and never less than before
	// on the same node. ReadAt sets the least index.
	Sequential
	// Stale is Sequential on a node that may be cut off or quarantined.
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
// the index it has applied; f reads the machine while nothing is applied. f may
// be called twice: a lease that ended while f ran makes its answer void.
// Nothing is changed by a failed read; ErrNoLeader and ErrOverloaded may be
// tried again.
func (g *Group) Read(ctx context.Context, level Level, f func(index uint64)) error {
	switch level {
	case Lease:
		if g.handle.ReadLease(ctx, f) {
			return nil
		}
	case Sequential, Stale:
		return g.view(f)
	}
	if _, err := g.handle.ReadIndex(ctx); err != nil {
		return g.readError(err)
	}
	return g.view(f)
}

// ReadAt is a sequential read that sees at least what index brought: the index
// of an earlier Result, perhaps from another node. It waits until this node has
// applied it.
func (g *Group) ReadAt(ctx context.Context, index uint64, f func(index uint64)) error {
	if err := g.handle.WaitApplied(ctx, raft.Index(index)); err != nil {
		return g.readError(err)
	}
	return g.view(f)
}

func (g *Group) view(f func(uint64)) error {
	machine := g.handle.Machine()
	if machine == nil {
		return g.node.stoppedError()
	}
	return machine.View(f)
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
	before := g.handle.View()
	if err := g.handle.TransferLeadership(ctx, target); err != nil {
		return g.memberError(err)
	}
	return g.node.await(ctx, func() bool {
		now := g.handle.View()
		return now.Leader != before.Leader && now.Leader != raft.None
	})
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
		err := g.changeMembership(ctx, edit(members, i), configuration.Version)
		if !errors.Is(err, raft.ErrChangePending) {
			return err
		}
		if paused := g.node.pause(ctx); paused != nil {
			return err
		}
	}
}

func (g *Group) changeMembership(ctx context.Context, members []raft.Member, version raft.Index) error {
	index, err := g.handle.ChangeMembership(ctx, members, version)
	if err != nil {
		return g.memberError(err)
	}
	if err := g.handle.WaitApplied(ctx, index); err != nil {
		return g.proposeError(err)
	}
	return g.node.await(ctx, func() bool {
		c := g.handle.View().Configuration
		return c.Version >= index && !c.Joint()
	})
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
	digest := g.handle.Machine().Digest()
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
