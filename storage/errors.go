package storage

import (
	"errors"
	"fmt"
)

var (
	// ErrLocked says that another process, or another Store of this process,
	// holds the data directory. The text names its process id if it is known.
	ErrLocked = errors.New("data directory is in use")

	// ErrReadOnly says that the data directory, or something in it, cannot be
	// written: wrong owner, wrong mode, or a read-only mount.
	ErrReadOnly = errors.New("data directory is not writable")

	// ErrClosed says that the Store was closed before the call.
	ErrClosed = errors.New("store is closed")

	// ErrOverloaded says that more than Options.MaxPendingBytes waited for the
	// disk. It is final, like every error of Append.
	ErrOverloaded = errors.New("too many bytes wait for the log")

	// ErrTooLarge says that a record is larger than Store.MaxRecordBytes, or that
	// the state of all groups no longer fits into a quarter of a segment.
	ErrTooLarge = errors.New("record is too large for a segment")

	// ErrFull says that the disk has no room for another segment, not even after
	// the reserve was given up.
	ErrFull = errors.New("no space left for the log")

	// ErrNotFound says that a group has no such snapshot.
	ErrNotFound = errors.New("no such snapshot")

	// ErrMismatch says that a received snapshot does not have the size or the
	// checksum that its sender announced. Its bytes have been thrown away.
	ErrMismatch = errors.New("snapshot differs from what was announced")
)

// DamageError says that bytes which were once durable are no longer what was
// written. Nothing is cut or repaired: a node that meets it must not vote, lead
// or acknowledge from this directory, and is rebuilt from its peers.
type DamageError struct {
	File   string // path of the damaged file
	Offset int64  // in bytes, where the first thing is wrong
	Reason string // what is wrong, for people
	Err    error  // the cause below, if any: a read error, for example
}

func (e *DamageError) Error() string {
	text := fmt.Sprintf("storage: %s is damaged at byte %d: %s", e.File, e.Offset, e.Reason)
	if e.Err != nil {
		text += ": " + e.Err.Error()
	}
	return text
}

func (e *DamageError) Unwrap() error { return e.Err }

// FormatError says that a file was written by a newer version of this package.
type FormatError struct {
	File      string
	Format    uint32 // what the file says
	Supported uint32 // the newest that this version reads
}

func (e *FormatError) Error() string {
	return fmt.Sprintf("storage: %s has format %d, this version reads up to %d: use the newer version", e.File, e.Format, e.Supported)
}

// IdentityError says that the directory belongs to another node or cluster than
// the one that opened it.
type IdentityError struct {
	Dir   string
	Field string // "node" or "cluster"
	Want  string // what the caller expected
	Have  string // what the directory says
}

func (e *IdentityError) Error() string {
	return fmt.Sprintf("storage: %s belongs to %s %q, not %q", e.Dir, e.Field, e.Have, e.Want)
}
