package storage

import "io"

// FS is what the store needs of a file system. Paths use slashes. Errors keep the
// meaning of io/fs (fs.ErrNotExist, fs.ErrExist, fs.ErrPermission) and of
// syscall.ENOSPC. All methods may be called from any goroutine.
//
// Nothing is durable unless this says so: written bytes become durable with
// File.Sync (or at once, if File.Durable), and what Open created, Rename moved or
// Remove took away becomes durable with SyncDir of the directory.
type FS interface {
	// Open opens a file, or with Create makes it, with mode 0600.
	Open(name string, flag OpenFlag) (File, error)
	// Rename replaces to, if it exists, in one step.
	Rename(from, to string) error
	Remove(name string) error
	// List returns the names in dir, sorted.
	List(dir string) ([]string, error)
	// MakeDir creates dir and its parents with mode 0700; it may exist.
	MakeDir(dir string) error
	SyncDir(dir string) error
	// Lock opens or creates a file and takes an exclusive lock on it, until it is
	// closed or the process ends. It returns ErrLocked if another holds the lock.
	Lock(name string) (File, error)
	// Free returns how many bytes of dir's device an unprivileged writer may use.
	Free(dir string) (int64, error)
}

// OpenFlag says how FS.Open opens a file. The zero value opens for reading.
type OpenFlag uint8

// Flags of FS.Open, to be combined with |.
const (
	Write  OpenFlag = 1 << iota // for reading and writing
	Create                      // implies Write; an existing file is emptied
	// Direct bypasses the page cache where the system can: offsets, lengths and
	// buffers must then be multiples of BlockBytes (see alignedBuffer). A read
	// sees what is on the device, not what a failed sync left in memory.
	Direct
)

// BlockBytes is the unit of everything in the log: batches begin and end at a
// multiple of it, so that no write ever touches a block of an acknowledged batch.
const BlockBytes = 4096

// File is an open file. Methods may be called from any goroutine.
type File interface {
	io.ReaderAt
	io.WriterAt
	io.Closer
	// Sync makes all bytes written through any handle of this file durable.
	Sync() error
	// Durable reports that each WriteAt has made its bytes durable when it
	// returns, so that Sync is not needed after it.
	Durable() bool
	Truncate(size int64) error
	Size() (int64, error)
}
