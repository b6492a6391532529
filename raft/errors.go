package raft

import (
	"errors"
	"fmt"
)

// What Propose, ReadIndex, ChangeMembership and TransferLeadership answer, and
// what Read.Err holds.
var (
	// ErrNotLeader: this replica does not lead, or (ReadIndex) knows no leader.
	ErrNotLeader = errors.New("raft: not the leader")
	// ErrOverloaded: a bound of Config is reached. Nothing was taken; try later.
	ErrOverloaded = errors.New("raft: overloaded")
	// ErrTransferring: leadership is being handed over. Try the next leader.
	ErrTransferring = errors.New("raft: leadership is being transferred")
	// ErrUnavailable: no answer in time (Read.Err), or the replica asked to
	// lead does not answer or has a stalled disk (TransferLeadership).
	ErrUnavailable = errors.New("raft: unavailable")
)

// What ChangeMembership and TransferLeadership answer about members.
var (
	// ErrStaleVersion: the configuration has changed since the caller read it.
	ErrStaleVersion = errors.New("raft: stale configuration version")
	// ErrChangePending: the change before, or the first entry of the leader's
	// term, is not yet committed.
	ErrChangePending = errors.New("raft: a membership change is pending")
	// ErrInvalidMembership is wrapped by what says why a list of members
	// cannot be a configuration.
	ErrInvalidMembership = errors.New("raft: invalid membership")
	// ErrUnknownMember: the replica is not a voter of the configuration.
	ErrUnknownMember = errors.New("raft: not a voter")
)

// ErrMalformed is wrapped by what DecodeEntries and DecodeConfiguration say
// about bytes they did not write.
var ErrMalformed = errors.New("raft: malformed")

// ConfigError says which field of a Config cannot be.
type ConfigError struct {
	Field  string
	Reason string
}

func (e *ConfigError) Error() string {
	return fmt.Sprintf("raft: config: %s %s", e.Field, e.Reason)
}

// StateError says why a State cannot have been written by this package: the
// disk was damaged, or belongs to someone else.
type StateError struct {
	Index  Index // where
	Reason string
}

func (e *StateError) Error() string {
	return fmt.Sprintf("raft: recovered state: %s at index %d", e.Reason, e.Index)
}

// panicf reports a broken invariant of this replica's own state. No message,
// whatever it holds, leads here.
func panicf(format string, args ...any) {
	panic("raft: " + fmt.Sprintf(format, args...))
}
