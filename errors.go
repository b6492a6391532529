package synod

import (
	"context"
	"errors"
	"fmt"

	"github.com/synod-go/synod/actors/group"
	"github.com/synod-go/synod/consensus"
	"github.com/synod-go/synod/raft"
	"github.com/synod-go/synod/replica"
)

// Errors after which nothing was done.
var (
	// ErrNoLeader: no leader is known, or it has lost its majority. Try again.
	ErrNoLeader = errors.New("synod: no leader")
	// ErrOverloaded: a bound of Config is reached. Try again later.
	ErrOverloaded = errors.New("synod: overloaded")
	// ErrDiskFull: the leader's disk is below its reserve.
	ErrDiskFull = errors.New("synod: disk full")
	// ErrTooLarge: the command exceeds MaxCommandBytes.
	ErrTooLarge = errors.New("synod: command too large")
	// ErrStopped: the node has stopped.
	ErrStopped = errors.New("synod: node stopped")
	// ErrQuarantined: the replica's state differs from the majority's. The node has
	// ended, and no node starts on its data directory any more, as with ErrLost.
	ErrQuarantined = replica.ErrQuarantined
	// ErrNotCommitted: another command took the place of this one in the log.
	ErrNotCommitted = errors.New("synod: surely not committed")
	// ErrUnavailable: the member that shall lead does not answer, or its disk does
	// not; or, if none was named, nobody else can lead.
	ErrUnavailable = errors.New("synod: no member can take the leadership")
	// ErrInvalidMembership: the group cannot have these members: no voter would be
	// left, for example. It wraps the reason.
	ErrInvalidMembership = errors.New("synod: invalid membership")
	// ErrNotFound: no member has that name.
	ErrNotFound = errors.New("synod: no such member")
	// ErrAmbiguous: several members have that name. Their ids tell them apart.
	ErrAmbiguous = errors.New("synod: several members have that name")
	// ErrConflict: the configuration changed since it was read, or is changing, or
	// another member that answers has the newcomer's name.
	ErrConflict = errors.New("synod: membership changed meanwhile")
)

// ErrUnknownOutcome tells that a command may or may not have been applied. It
// wraps the reason. ProposeOnce with the same RequestID finds out.
var ErrUnknownOutcome = errors.New("synod: outcome unknown")

// ErrRequestExpired tells that a RequestID is too old to be remembered: whether
// its command was applied cannot be told any more, unless it was sent for the
// first time: then it surely was not.
var ErrRequestExpired = replica.ErrRequestExpired

// ErrRequestFuture tells that a RequestID is more than Limits.RequestSkew ahead of
// the leader's clocks: the clock that made it is wrong. Nothing was done.
var ErrRequestFuture = replica.ErrRequestFuture

// NotLeaderError tells that another node leads the group. Nothing was done.
type NotLeaderError struct {
	Group  string
	Leader string // the leader's name
	API    string // the address it announces for its API, "" if none
}

// Error names the leader.
func (e *NotLeaderError) Error() string {
	return fmt.Sprintf("synod: %s leads group %s", e.Leader, e.Group)
}

// proposeError tells what became of a proposal.
func (g *Group) proposeError(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, raft.ErrNotLeader), errors.Is(err, raft.ErrTransferring), errors.Is(err, consensus.ErrSealing):
		return g.notLeader()
	case errors.Is(err, group.ErrOverloaded):
		return ErrOverloaded
	case errors.Is(err, group.ErrDiskFull):
		return ErrDiskFull
	case errors.Is(err, group.ErrNotCommitted):
		return ErrNotCommitted
	case errors.Is(err, group.ErrStopped):
		return g.node.stoppedError()
	case errors.Is(err, group.ErrUnknown), errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		return fmt.Errorf("%w: %w", ErrUnknownOutcome, err)
	}
	return err
}

// readError tells why a read, which changes nothing, was not answered.
func (g *Group) readError(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, raft.ErrNotLeader), errors.Is(err, raft.ErrUnavailable), errors.Is(err, raft.ErrTransferring),
		errors.Is(err, group.ErrUnknown):
		return ErrNoLeader
	case errors.Is(err, raft.ErrOverloaded), errors.Is(err, group.ErrOverloaded):
		return ErrOverloaded
	case errors.Is(err, group.ErrStopped):
		return g.node.stoppedError()
	case errors.Is(err, group.ErrNoMachine):
		return ErrNoStateMachine
	}
	return err
}

// notLeader names the leader, or says that there is none.
func (g *Group) notLeader() error {
	leader := g.handle.View().Leader
	if leader == raft.None || uint64(leader) == g.node.ID() {
		return ErrNoLeader
	}
	e := &NotLeaderError{Group: g.name}
	e.Leader, e.API = g.node.nameAndAPI(uint64(leader))
	return e
}

// memberError maps what the core says of a membership change or a transfer.
func (g *Group) memberError(err error) error {
	switch {
	case errors.Is(err, raft.ErrStaleVersion), errors.Is(err, raft.ErrChangePending), errors.Is(err, group.ErrNameTaken):
		return fmt.Errorf("%w: %w", ErrConflict, err)
	case errors.Is(err, group.ErrPlaceVotes):
		return fmt.Errorf("%w: %w", ErrConflict, err)
	case errors.Is(err, raft.ErrInvalidMembership):
		return fmt.Errorf("%w: %w", ErrInvalidMembership, err)
	case errors.Is(err, raft.ErrUnavailable):
		return ErrUnavailable
	case errors.Is(err, raft.ErrUnknownMember):
		return ErrNotFound
	}
	return g.proposeError(err)
}
