package multipaxos

import (
	"fmt"

	"github.com/synod-go/synod/consensus"
)

// What Propose, ReadIndex, ChangeMembership and TransferLeadership answer: see
// package consensus.
var (
	ErrNotLeader         = consensus.ErrNotLeader
	ErrOverloaded        = consensus.ErrOverloaded
	ErrSealing           = consensus.ErrSealing
	ErrTransferring      = consensus.ErrTransferring
	ErrUnavailable       = consensus.ErrUnavailable
	ErrStaleVersion      = consensus.ErrStaleVersion
	ErrChangePending     = consensus.ErrChangePending
	ErrInvalidMembership = consensus.ErrInvalidMembership
	ErrUnknownMember     = consensus.ErrUnknownMember
	ErrMalformed         = consensus.ErrMalformed
)

// ConfigError says which field of a Config cannot be.
type ConfigError struct {
	Field  string
	Reason string
}

func (e *ConfigError) Error() string {
	return fmt.Sprintf("multipaxos: config: %s %s", e.Field, e.Reason)
}

// StateError says why a State cannot have been written by this package: the
// disk was damaged, or belongs to someone else.
type StateError struct {
	Index  Index // where
	Reason string
}

func (e *StateError) Error() string {
	return fmt.Sprintf("multipaxos: recovered state: %s at slot %d", e.Reason, e.Index)
}

// panicf reports a broken invariant of this replica's own state. No message,
// whatever it holds, leads here.
func panicf(format string, args ...any) {
	panic("multipaxos: " + fmt.Sprintf(format, args...))
}
