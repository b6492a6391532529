package paxos

import (
	"errors"
	"fmt"
)

// What Proposer.Propose answers. Nothing was taken then.
var (
	// ErrBusy: the last proposal or Finish of this proposer has not ended.
	ErrBusy = errors.New("paxos: a proposal is under way")
	// ErrNoValue: the value is empty.
	ErrNoValue = errors.New("paxos: no value")
	// ErrTooLarge: the value has more than MaxValueBytes.
	ErrTooLarge = errors.New("paxos: value too large")
)

// ConfigError says which field of a configuration cannot be.
type ConfigError struct {
	Field  string
	Reason string
}

func (e *ConfigError) Error() string {
	return fmt.Sprintf("paxos: config: %s %s", e.Field, e.Reason)
}

// StateError says why an AcceptorState cannot have been written by this package:
// the disk was damaged, or belongs to someone else.
type StateError struct {
	State  AcceptorState
	Reason string
}

func (e *StateError) Error() string {
	return fmt.Sprintf("paxos: recovered state: %s: promised %v, accepted %v", e.Reason, e.State.Promised, e.State.Accepted.Ballot)
}
