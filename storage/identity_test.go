package storage

import (
	"encoding/binary"
	"errors"
	"io/fs"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
)

func TestADirectoryIsOpenedOnce(t *testing.T) { // D13
	for _, c := range []struct {
		name string
		fs   FS
		dir  string
	}{{"memory", NewMemory(1), "data"}, {"os", OS(), t.TempDir()}} {
		o := small(c.fs)
		s, err := Open(c.dir, o)
		if err != nil {
			t.Fatal(err)
		}
		_, err = Open(c.dir, o)
		if !errors.Is(err, ErrLocked) || !strings.Contains(err.Error(), "by process ") {
			t.Fatalf("%s: got %v", c.name, err)
		}
		if r, err := Inspect(c.fs, c.dir); err != nil || !r.Locked || r.LockedBy == "" {
			t.Fatalf("%s: inspect says %+v, %v", c.name, r, err)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		if s, err = Open(c.dir, o); err != nil {
			t.Fatalf("%s: after close: %v", c.name, err)
		}
		_ = s.Close()
		if err := s.Close(); !errors.Is(err, ErrClosed) {
			t.Fatalf("%s: closed twice: %v", c.name, err)
		}
	}
}

func TestADirectoryOfAnotherNodeOrClusterIsRefused(t *testing.T) { // D13
	m := NewMemory(1)
	s := mustOpen(t, small(m))
	id := s.Identity()
	if id.Incarnation == 0 || id.Node != "n1" || id.Cluster != "" {
		t.Fatalf("got %+v", id)
	}
	if err := s.SetCluster("c1"); err != nil {
		t.Fatal(err)
	}
	var identity *IdentityError
	if err := s.SetCluster("c2"); !errors.As(err, &identity) || identity.Have != "c1" {
		t.Fatalf("got %v", err)
	}
	_ = s.Close()
	o := small(m)
	o.Node = "n2"
	if _, err := Open("data", o); !errors.As(err, &identity) || identity.Field != "node" {
		t.Fatalf("got %v", err)
	}
	o.Node, o.Cluster = "n1", "c2"
	if _, err := Open("data", o); !errors.As(err, &identity) || identity.Field != "cluster" {
		t.Fatalf("got %v", err)
	}
	s = mustOpen(t, small(m))
	if got := s.Identity(); got.Incarnation != id.Incarnation || got.Cluster != "c1" {
		t.Fatalf("got %+v, was %+v", got, id)
	}
}

func TestSegmentsOfAnotherStoreAreRefused(t *testing.T) { // D13
	m, other := NewMemory(1), NewMemory(2)
	logOf(t, tiny(m), 2)
	o := tiny(other)
	o.Random = func() uint64 { return 77 }
	logOf(t, o, 3)
	replace(t, m, firstSegment, content(t, other, firstSegment))
	if _, err := Open("data", tiny(m)); !isDamage(err) {
		t.Fatalf("got %v, want *DamageError", err)
	}
}

func TestANewerFormatIsNamed(t *testing.T) {
	m := NewMemory(1)
	logOf(t, tiny(m), 2)
	newer := func(name string, b []byte, sum func([]byte) uint32) {
		c := m.Clone(1)
		binary.LittleEndian.PutUint32(b[8:], 9)
		binary.LittleEndian.PutUint32(b[12:], sum(b))
		replace(t, c, name, b)
		var format *FormatError
		if _, err := Open("data", tiny(c)); !errors.As(err, &format) || format.Format != 9 {
			t.Fatalf("%s: got %v, want *FormatError", name, err)
		}
	}
	newer("data/identity", content(t, m, "data/identity"), identitySum)
	newer(firstSegment, content(t, m, firstSegment), segmentSum)
}

func TestALostIdentityIsDamageOnceThereIsData(t *testing.T) { // D8
	m := NewMemory(1)
	logOf(t, tiny(m), 2)
	if err := m.Remove("data/identity"); err != nil {
		t.Fatal(err)
	}
	if _, err := Open("data", tiny(m)); !isDamage(err) {
		t.Fatalf("got %v, want *DamageError", err)
	}
}

// denied is a file system that may be read but not written.
type denied struct{ FS }

func (d denied) MakeDir(string) error { return nil }

func (d denied) Lock(name string) (File, error) {
	return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrPermission}
}

func TestADirectoryThatCannotBeWrittenIsNamedSo(t *testing.T) {
	m := NewMemory(1)
	logOf(t, tiny(m), 1)
	if _, err := Open("data", tiny(denied{m})); !errors.Is(err, ErrReadOnly) {
		t.Fatalf("got %v, want ErrReadOnly", err)
	}
}

// readOnlyLock is a file system whose lock file may be read but not written.
type readOnlyLock struct{ FS }

func (r readOnlyLock) Lock(name string) (File, error) {
	f, err := r.FS.Lock(name)
	return readOnlyFile{f}, err
}

type readOnlyFile struct{ File }

func (readOnlyFile) Truncate(int64) error {
	return &fs.PathError{Op: "truncate", Path: "data/lock", Err: syscall.EINVAL}
}

func TestALockFileThatCannotBeWrittenIsNamedSo(t *testing.T) {
	m := NewMemory(1)
	logOf(t, tiny(m), 1)
	_, err := Open("data", tiny(readOnlyLock{m}))
	if !errors.Is(err, ErrReadOnly) || strings.Contains(err.Error(), "invalid argument") || !strings.Contains(err.Error(), "lock file") {
		t.Fatalf("got %v, want ErrReadOnly and that it is the lock file", err)
	}
}

func TestOptionsAreChecked(t *testing.T) {
	for name, change := range map[string]func(*Options){
		"no node":        func(o *Options) { o.Node = "" },
		"long node":      func(o *Options) { o.Node = strings.Repeat("n", 256) },
		"small segment":  func(o *Options) { o.SegmentBytes = 4096 },
		"odd segment":    func(o *Options) { o.SegmentBytes = 64<<10 + 1 },
		"large segments": func(o *Options) { o.SegmentBytes = 2 << 30 },
	} {
		o := small(NewMemory(1))
		change(&o)
		if _, err := Open("data", o); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

func TestSegmentsMayChangeTheirSize(t *testing.T) {
	m := NewMemory(1)
	all := logOf(t, tiny(m), 5)
	o := small(m)
	o.SegmentBytes = 128 << 10
	s := mustOpen(t, o)
	for i := range uint64(30) {
		mustPut(t, s, entry(2, i+1, strings.Repeat("x", 5000)))
	}
	_ = s.Close()
	o.SegmentBytes = minSegmentBytes
	s = mustOpen(t, o)
	for i := range uint64(30) {
		mustPut(t, s, entry(2, i+31, strings.Repeat("x", 5000)))
	}
	if got := contents(t, s, 2); len(got) != 60 {
		t.Fatalf("got %d entries", len(got))
	}
	want(t, contents(t, s, 1), all...)
}

func TestDirectoriesAndFilesArePrivate(t *testing.T) {
	dir := t.TempDir() + "/data"
	o := small(OS())
	s, err := Open(dir, o)
	if err != nil {
		t.Fatal(err)
	}
	makeSnapshot(t, s, 1, "x")
	_ = s.Close()
	seen := 0
	err = fs.WalkDir(os.DirFS(dir), ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		wanted := fs.FileMode(0o600)
		if d.IsDir() {
			wanted = 0o700
		}
		if seen++; err == nil && info.Mode().Perm() != wanted {
			t.Errorf("%s has mode %v, want %v", name, info.Mode().Perm(), wanted)
		}
		return err
	})
	if err != nil || seen < 8 {
		t.Fatalf("saw %d files, %v", seen, err)
	}
}

func TestInspectTellsTornFromDamaged(t *testing.T) { // D2, W3
	m := NewMemory(1)
	s := mustOpen(t, tiny(m))
	mustPut(t, s, entry(1, 1, "a"), entry(1, 2, "b"), state(3, 1, "s"))
	mustPut(t, s, entry(1, 3, strings.Repeat("c", 6000)))
	makeSnapshot(t, s, 2, "snap")
	m.Kill()
	inspect := func(m *Memory) *Report {
		t.Helper()
		used := content(t, m, firstSegment)
		r, err := Inspect(m, "data")
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(used, content(t, m, firstSegment)) {
			t.Fatal("inspect has written")
		}
		return r
	}
	r := inspect(m)
	if r.Tail.State != TailClean || r.Tail.Marked || len(r.Problems) > 0 || r.Identity.Node != "n1" || r.Locked {
		t.Fatalf("got %+v", r)
	}
	if len(r.Groups) != 2 || r.Groups[0].Records != 3 || r.Groups[0].Last != 3 || r.Groups[1].States != 1 {
		t.Fatalf("groups: %+v", r.Groups)
	}
	if len(r.Snapshots) != 1 || r.Snapshots[0].State != "valid" || len(r.Segments) != 2 || r.Segments[1].Use != "prepared" {
		t.Fatalf("got %+v", r)
	}
	whole := content(t, m, firstSegment)
	for name, change := range map[string]struct {
		at    int
		state TailState
		off   int64
	}{"torn": {4 * BlockBytes, TailTorn, 3 * BlockBytes}, "damaged": {2*BlockBytes + 100, TailDamaged, 2 * BlockBytes}} {
		c := m.Clone(1)
		broken := slices.Clone(whole)
		broken[change.at] ^= 1
		replace(t, c, firstSegment, broken)
		r := inspect(c)
		if r.Tail.State != change.state || r.Tail.Offset != change.off {
			t.Fatalf("%s: tail is %+v", name, r.Tail)
		}
		_, err := Open("data", tiny(c))
		if (err == nil) != (len(r.Problems) == 0) {
			t.Fatalf("%s: open says %v, inspect %q", name, err, r.Problems)
		}
	}
}

// D13: a directory that has lost what its node acknowledged is never opened again,
// whatever happens around the mark, and its files say why.
func TestACondemnedDirectoryIsRefusedForGood(t *testing.T) {
	m := NewMemory(1)
	s := mustOpen(t, tiny(m))
	mustPut(t, s, entry(1, 1, "a"))
	if err := s.Condemn("n2 has seen more of it"); err != nil {
		t.Fatal(err)
	}
	mustPut(t, s, entry(1, 2, "b")) // it ends in good order
	m.Crash()
	for range 2 {
		var lost *LostError
		_, err := Open("data", tiny(m))
		if !errors.As(err, &lost) || !errors.Is(err, ErrLost) || lost.Reason != "n2 has seen more of it" {
			t.Fatalf("got %v, want *LostError with the reason", err)
		}
	}
	r, err := Inspect(m, "data")
	if err != nil || r.Lost != "n2 has seen more of it" || len(r.Problems) != 1 {
		t.Fatalf("inspect says %+v, %v", r, err)
	}
}

// A wrong state is told from a loss.
func TestAQuarantinedDirectoryIsRefusedAsSuch(t *testing.T) {
	m := NewMemory(1)
	s := mustOpen(t, tiny(m))
	if err := s.Quarantine("its state differs"); err != nil {
		t.Fatal(err)
	}
	m.Crash()
	_, err := Open("data", tiny(m))
	lost, ok := errors.AsType[*LostError](err)
	if !ok || !lost.Quarantined || lost.Reason != "its state differs" {
		t.Fatalf("got %v, want *LostError of a quarantine with the reason", err)
	}
	r, err := Inspect(m, "data")
	if err != nil || r.Lost != "its state differs" {
		t.Fatalf("inspect says %+v, %v", r, err)
	}
}

func TestADirectoryIsCondemnedOnAFullDiskToo(t *testing.T) { // D6, D13
	m := NewMemory(1)
	s := mustOpen(t, tiny(m))
	m.SetCapacity(m.Used())
	if err := s.Condemn("full"); err != nil {
		t.Fatal(err)
	}
	_ = s.Close()
	if err := s.Condemn("too late"); !errors.Is(err, ErrClosed) {
		t.Fatalf("got %v, want ErrClosed: the directory may be another process's by now", err)
	}
	if _, err := Open("data", tiny(m)); !errors.Is(err, ErrLost) {
		t.Fatalf("got %v, want ErrLost", err)
	}
}

// D13: what peers know an older copy by. It covers what is durable, and no crash
// takes it back.
func TestThePositionNeverFalls(t *testing.T) {
	m := NewMemory(1)
	s := mustOpen(t, tiny(m))
	last := s.Position()
	if last == 0 {
		t.Fatal("a new log has no position")
	}
	m.Fault = func(o Operation) Fault {
		if o.Kind == OpWrite && strings.HasSuffix(o.Name, ".log") && s != nil && s.Position() != last {
			t.Errorf("position %d covers a batch that is being written, %d were durable", s.Position(), last)
		}
		return 0
	}
	for n := range 200 {
		if n%3 == 0 {
			mustPut(t, s, entry(1, uint64(n+1), strings.Repeat("x", 1000)))
			if s.Position() <= last {
				t.Fatalf("record %d: position %d after %d", n, s.Position(), last)
			}
			last = s.Position()
		}
		s.Append([]Record{entry(1, uint64(n+1), "under way")}, func(error) {})
		if s.Position() != last {
			t.Fatalf("record %d: position %d covers what is not durable", n, s.Position())
		}
		if n%7 == 0 {
			m.Crash()
			s = nil
			s = mustOpen(t, tiny(m))
			if s.Position() <= last {
				t.Fatalf("record %d: position %d after a crash at %d", n, s.Position(), last)
			}
			last = s.Position()
		}
	}
}

// D6, D13: a start that has no room for a batch of its own is no older copy.
func TestThePositionOnAFullDiskIsThatOfItsLog(t *testing.T) {
	m := NewMemory(1)
	m.SetCapacity(12 * minSegmentBytes)
	s := mustOpen(t, tiny(m))
	for index := uint64(1); ; index++ {
		if err := put(s, entry(1, index, strings.Repeat("f", 3000))); err != nil {
			break
		}
	}
	last := s.Position()
	m.Crash()
	s = mustOpen(t, tiny(m))
	if s.Position() != last {
		t.Fatalf("position %d, before the crash %d", s.Position(), last)
	}
}
