package replica

import (
	"errors"
	"fmt"
)

// Errors of a single command. Each stands for a [Code].
var (
	// ErrMalformed tells that an envelope or a request id cannot be read.
	ErrMalformed = errors.New("replica: malformed command")
	// ErrUnavailable tells that this replica does not know how the entry ended.
	// The outcome is unknown.
	ErrUnavailable = errors.New("replica: result not known here")
	// ErrSessionExpired tells that the session is not known: it expired, was
	// closed, or never existed. The command did not run now; whether it ran
	// while the session lived cannot be told any more.
	ErrSessionExpired = errors.New("replica: session expired")
	// ErrAcknowledged tells that the client had acknowledged the reply to this
	// sequence number. The command did not run again; the reply is gone.
	ErrAcknowledged = errors.New("replica: reply was acknowledged and is gone")
	// ErrSessionWindow tells that the sequence number is too far ahead of the
	// first one not acknowledged. The command did not run: repeat it after
	// acknowledging.
	ErrSessionWindow = errors.New("replica: too many unacknowledged commands in the session")
	// ErrRepliesFull tells that the session, or all sessions together, hold as
	// many bytes of unacknowledged replies as they may. The command did not
	// run: repeat it after acknowledging.
	ErrRepliesFull = errors.New("replica: too many bytes of unacknowledged replies")
	// ErrTooManySessions tells that no further session can be registered.
	ErrTooManySessions = errors.New("replica: too many sessions")
	// ErrRequestExpired tells that the request id is of a time whose ids are no
	// longer remembered. The command did not run now and never will under this
	// id; whether it ran before is unknown.
	ErrRequestExpired = errors.New("replica: request id expired, outcome unknown")
	// ErrRequestFuture tells that the request id is too far ahead of the leader's
	// clocks: the client's clock is wrong. The command did not run. Leaders refuse
	// with it; a replica does not.
	ErrRequestFuture = errors.New("replica: request id lies in the future")
)

// Code tells how an entry ended. The numbers are stable: they go over the wire.
type Code uint8

const (
	// CodeApplied: the command ran now, or the entry held none. The Value of a
	// KindRegister is empty; the id of the new session is the Index.
	CodeApplied Code = 0
	// CodeDuplicate: the command ran before; Value and Index are those of then.
	CodeDuplicate Code = 1
	// CodeUnavailable: the replica stopped before this entry, or had applied it
	// earlier and no longer knows how it ended. The entry is committed, so the
	// command will run, or has run, on all replicas.
	CodeUnavailable Code = 2

	CodeMalformed       Code = 3  // ErrMalformed
	CodeSessionExpired  Code = 4  // ErrSessionExpired
	CodeAcknowledged    Code = 5  // ErrAcknowledged
	CodeSessionWindow   Code = 6  // ErrSessionWindow
	CodeRepliesFull     Code = 7  // ErrRepliesFull
	CodeTooManySessions Code = 8  // ErrTooManySessions
	CodeRequestExpired  Code = 9  // ErrRequestExpired
	CodeRequestFuture   Code = 10 // ErrRequestFuture
)

// Err is nil for CodeApplied and CodeDuplicate and otherwise the error that the
// code stands for.
func (c Code) Err() error {
	switch c {
	case CodeApplied, CodeDuplicate:
		return nil
	case CodeUnavailable:
		return ErrUnavailable
	case CodeMalformed:
		return ErrMalformed
	case CodeSessionExpired:
		return ErrSessionExpired
	case CodeAcknowledged:
		return ErrAcknowledged
	case CodeSessionWindow:
		return ErrSessionWindow
	case CodeRepliesFull:
		return ErrRepliesFull
	case CodeTooManySessions:
		return ErrTooManySessions
	case CodeRequestExpired:
		return ErrRequestExpired
	case CodeRequestFuture:
		return ErrRequestFuture
	default:
		return fmt.Errorf("replica: unknown result code %d", uint8(c))
	}
}

// Result is how an entry ended.
type Result struct {
	// Index is where the command took effect: the entry's own index, or for
	// CodeDuplicate that of the entry that ran it.
	Index uint64
	Code  Code
	// Value is the machine's result. It is shared: nobody may change it.
	Value []byte
}

// Err is r.Code.Err().
func (r Result) Err() error { return r.Code.Err() }

// Errors of a replica as a whole.
var (
	// ErrStopped is matched by both of the next two.
	ErrStopped = errors.New("replica: stopped")
	// ErrFailed tells that the state machine panicked, could not be restored,
	// or met an entry that this program does not understand.
	ErrFailed = errors.New("replica: failed")
	// ErrQuarantined tells that somebody called Quarantine.
	ErrQuarantined = errors.New("replica: quarantined")
	// ErrUnknownKind tells that an entry was written by a newer program. To
	// skip it would part this replica from the others, so it stops.
	ErrUnknownKind = errors.New("replica: command of an unknown kind")
	// ErrOldSnapshot tells that a snapshot would move a working replica back.
	ErrOldSnapshot = errors.New("replica: snapshot is older than the replica")
	// ErrCorrupt tells that a snapshot's bytes do not add up.
	ErrCorrupt = errors.New("replica: corrupt snapshot")
)

// StoppedError is why a replica no longer applies or answers anything. It
// matches ErrStopped, one of ErrFailed and ErrQuarantined, and its Cause.
type StoppedError struct {
	// Index is the last index that was applied in full.
	Index uint64
	// State is ErrFailed or ErrQuarantined.
	State error
	Cause error
}

// Error tells the state, the index and the cause.
func (e *StoppedError) Error() string {
	return fmt.Sprintf("%v after index %d: %v", e.State, e.Index, e.Cause)
}

// Unwrap returns what the error matches.
func (e *StoppedError) Unwrap() []error { return []error{ErrStopped, e.State, e.Cause} }

// PanicError is the Cause of a [StoppedError] when the state machine panicked.
type PanicError struct {
	// Value is what the machine panicked with.
	Value any
	// Stack is where.
	Stack []byte
}

// Error tells the value; print Stack for the place.
func (e *PanicError) Error() string { return fmt.Sprintf("state machine panicked: %v", e.Value) }
