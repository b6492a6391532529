package replica

import "io"

// StateMachine is what a group replicates. It must be deterministic: its state
// and results follow from the commands applied alone. It reads no clock and no
// random source, and it must not let the order of a Go map reach its state, its
// results or its snapshots.
//
// The replica calls Apply, Snapshot and Restore one at a time. While a reader
// is inside [Replica.View] none of them runs.
type StateMachine interface {
	// Apply carries out the command at the given index of the log. now is log
	// time in Unix milliseconds; it never decreases. The command is lent: copy
	// what must outlive the call. The result belongs to the replica from then
	// on, which may keep it to answer a repetition.
	Apply(index uint64, now int64, command []byte) (result []byte)

	// Snapshot returns quickly a picture of the present state. Its WriteTo is
	// called at most once, later, on another goroutine, while Apply goes on.
	Snapshot() (io.WriterTo, error)

	// Restore replaces the state by the one that a snapshot wrote to r. After
	// an error the state may be anything: the replica refuses to use it.
	Restore(r io.Reader) error
}

// Digester may be implemented by a [StateMachine] that can say cheaply what its
// state amounts to. The value joins the replica's own digest every
// [Limits.DigestEvery] entries, so that a state gone wrong is found although
// its results have not shown it yet, and is checked after a Restore.
type Digester interface {
	Digest() uint64
}

// Entry is one committed position of the log.
type Entry struct {
	// Index is one more than the index of the entry before.
	Index uint64
	// Data is an encoded [Envelope]. It is empty for an entry that is not for
	// the state machine, such as a leader's no-op or a configuration: those
	// are handed over as well, so that no index is ever missing.
	Data []byte
}

// Renewer may be implemented by a [StateMachine] with a state that is partly only of
// use in the cluster in which it came about. See [Replica.Renew].
type Renewer interface {
	// Renew makes the state that of a new cluster, at the given index and log time.
	// It is called outside of any log, on one replica, before it is copied to others.
	Renew(index uint64, now int64)
}
