package storage

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strings"
)

// lostName is the file that marks a directory as lost: its text says why.
const lostName = "lost"

// quarantinedMark begins that text if the state on the directory is wrong.
const quarantinedMark = "quarantined\n"

// maxLostBytes bounds that text.
const maxLostBytes = 4 << 10

// ErrLost says that the data directory must never be used again.
var ErrLost = errors.New("data directory must not be used any more")

// LostError says that the directory lacks something that its node has
// acknowledged, that it is a copy of one in use, or that its state is another than
// its peers'. Whoever went on from it would take back what others rely on.
// errors.Is(err, ErrLost) holds.
type LostError struct {
	Dir         string
	Reason      string // who knows it, and of what, for people
	Quarantined bool   // by Quarantine: nothing is missing, but the state is wrong
}

func (e *LostError) Error() string {
	return fmt.Sprintf("storage: %s: %v: %s; move it away and start the node again: it joins as a new member", e.Dir, ErrLost, e.Reason)
}

func (e *LostError) Unwrap() error { return ErrLost }

// Condemn marks the directory as lost, durably: no Open succeeds any more. The
// store goes on until Close. It waits for the disk.
func (s *Store) Condemn(reason string) error { return s.condemn(reason) }

// Quarantine is Condemn for a directory that lacks nothing, but from which a wrong
// state is restored.
func (s *Store) Quarantine(reason string) error { return s.condemn(quarantinedMark + reason) }

// Absolve takes the mark back, durably: for who has marked a directory that was not whole
// yet, and has completed it since. It waits for the disk.
func (s *Store) Absolve() error {
	s.identityMu.Lock()
	defer s.identityMu.Unlock()
	if s.abandoned {
		return ErrClosed
	}
	err := s.fs.Remove(path.Join(s.dir, lostName))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err == nil {
		err = s.fs.SyncDir(s.dir)
	}
	if err != nil {
		return fmt.Errorf("storage: take the mark of %s back: %w", s.dir, err)
	}
	return nil
}

func (s *Store) condemn(reason string) error {
	s.identityMu.Lock() // abandon gives up the lock under it
	defer s.identityMu.Unlock()
	if s.abandoned {
		return ErrClosed
	}
	text := []byte(reason[:min(len(reason), maxLostBytes)])
	err := replaceFile(s.fs, path.Join(s.dir, lostName), text)
	if isNoSpace(err) && s.dropReserve() {
		err = replaceFile(s.fs, path.Join(s.dir, lostName), text)
	}
	if err != nil {
		return fmt.Errorf("storage: mark %s as lost: %w", s.dir, err)
	}
	return nil
}

// readLost returns *LostError if the directory is marked as lost.
func readLost(fsys FS, dir string) error {
	b, err := readFile(fsys, path.Join(dir, lostName), maxLostBytes)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return fmt.Errorf("storage: read %s of %s: %w", lostName, dir, err)
	}
	reason, quarantined := strings.CutPrefix(string(b), quarantinedMark)
	return &LostError{Dir: dir, Reason: strings.TrimSpace(reason), Quarantined: quarantined}
}

// Position counts the batches that the log surely holds. In the life of a
// directory it never falls: whoever has been told a higher one than Position
// returns knows that the directory is an older copy, or has lost something. Safe
// for concurrent use.
func (s *Store) Position() uint64 { return s.position.Load() }
