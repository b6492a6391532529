package storage

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// places are directories on the file systems at hand: the temporary directory and
// a tmpfs, where O_DIRECT may be refused.
func places(t *testing.T) map[string]string {
	t.Helper()
	out := map[string]string{"disk": t.TempDir()}
	if dir, err := os.MkdirTemp("/dev/shm", "storage-test-*"); err == nil {
		t.Cleanup(func() { _ = os.RemoveAll(dir) })
		out["tmpfs"] = dir
	}
	return out
}

func TestTheLogWorksOnRealFileSystems(t *testing.T) {
	for name, dir := range places(t) {
		o := Options{Node: "n", SegmentBytes: 256 << 10, ReserveBytes: 256 << 10, MinFreeBytes: 1}
		s, err := Open(dir, o)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		const writers, each = 8, 200
		var group sync.WaitGroup
		for w := range writers {
			group.Go(func() { writeMany(t, s, Group(w), each) })
		}
		group.Wait()
		meta := makeSnapshot(t, s, 7, strings.Repeat("snap", 1<<16))
		st := s.Stats()
		if st.Batches == 0 || st.FlushMax == 0 || st.Segments < 2 {
			t.Fatalf("%s: %+v", name, st)
		}
		if err := s.Close(); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		r, err := Inspect(OS(), dir)
		if err != nil || r.Tail.State != TailClean || !r.Tail.Marked || len(r.Problems) > 0 {
			t.Fatalf("%s: %+v, %v", name, r, err)
		}
		if s, err = Open(dir, o); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		for w := range writers {
			if got := contents(t, s, Group(w)); len(got) != each {
				t.Fatalf("%s: group %d has %d records", name, w, len(got))
			}
		}
		if metas, err := s.Snapshots(1); err != nil || len(metas) != 1 || metas[0].Checksum != meta.Checksum {
			t.Fatalf("%s: %v %v", name, metas, err)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

func writeMany(t *testing.T, s *Store, g Group, n int) {
	durable := make(chan error, n)
	for i := range n {
		s.Append([]Record{entry(g, uint64(i+1), strings.Repeat("d", 500+i))}, func(err error) { durable <- err })
		if i%20 == 19 {
			for range 20 {
				if err := <-durable; err != nil {
					t.Error(err)
				}
			}
		}
	}
}

func TestARefusedDirectTransferFallsBack(t *testing.T) {
	f, err := OS().Open(t.TempDir()+"/f", Create|Direct)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	data := []byte("not aligned at all")
	if _, err := f.WriteAt(data, 3); err != nil {
		t.Fatal(err)
	}
	got := make([]byte, len(data))
	if _, err := f.ReadAt(got, 3); err != nil || string(got) != string(data) {
		t.Fatalf("read %q, %v", got, err)
	}
}

func TestAlignedBuffersAreAligned(t *testing.T) {
	for n := range 20 {
		if b := alignedBuffer(n*777 + 1); len(b) != n*777+1 || addressOf(b)%BlockBytes != 0 {
			t.Fatalf("buffer of %d bytes at %x", len(b), addressOf(b))
		}
	}
}

// D12: a flush that hangs shows in Stats while it hangs, and Append never waits.
func TestAStalledFlushIsVisibleAndBlocksNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := NewMemory(1)
		o := small(m)
		o.Manual = false
		s := mustOpen(t, o)
		time.Sleep(time.Second) // virtual: the keeper and the first mark are done
		release := make(chan struct{})
		var stall atomic.Bool
		stall.Store(true)
		m.SetFault(func(op Operation) Fault {
			if op.Kind == OpWrite && stall.Swap(false) {
				<-release
			}
			return 0
		})
		var acked atomic.Int64
		for i := range uint64(100) {
			s.Append([]Record{entry(1, i+1, "x")}, func(error) { acked.Add(1) })
		}
		time.Sleep(3 * time.Second)
		st := s.Stats()
		if acked.Load() != 0 || time.Since(st.Flushing) != 3*time.Second || st.Pending == 0 || time.Since(st.PendingSince) < 3*time.Second {
			t.Fatalf("%d acknowledged, %+v", acked.Load(), st)
		}
		close(release)
		if err := s.Flush(); err != nil || acked.Load() != 100 {
			t.Fatalf("%d acknowledged, %v", acked.Load(), err)
		}
		if st := s.Stats(); st.FlushMax < 3*time.Second || !st.Flushing.IsZero() {
			t.Fatalf("%+v", st)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	})
}

// Group commit: what arrives during a flush is the next batch, in one write; an
// idle log writes at once; after MarkAfter there is one mark and no more.
func TestOneFlushTakesAllThatArrivedDuringTheLast(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := NewMemory(1)
		o := small(m)
		o.Manual = false
		s := mustOpen(t, o)
		time.Sleep(time.Second)
		before := s.Stats().Batches
		var first atomic.Bool
		first.Store(true)
		m.SetFault(func(op Operation) Fault {
			if op.Kind == OpWrite && first.Swap(false) {
				time.Sleep(10 * time.Millisecond)
			}
			return 0
		})
		start := time.Now()
		for i := range uint64(50) {
			s.Append([]Record{entry(1, i+1, "x")}, nil)
			if i == 0 {
				synctest.Wait() // its flush runs
			}
		}
		if err := s.Flush(); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(start); took != 10*time.Millisecond {
			t.Fatalf("took %v of virtual time", took)
		}
		if got := s.Stats().Batches - before; got != 2 {
			t.Fatalf("50 records went in %d batches, want 2", got)
		}
		time.Sleep(time.Minute)
		if got := s.Stats().Batches - before; got != 3 {
			t.Fatalf("%d batches after a minute, want one sync mark more", got)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	})
}

// D6 with the writer running: it waits on a full disk and goes on by itself.
func TestTheWriterWaitsOutAFullDisk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := NewMemory(1)
		m.SetCapacity(6 * minSegmentBytes)
		o := tiny(m)
		o.Manual = false
		s := mustOpen(t, o)
		var acked atomic.Int64
		for i := range uint64(100) {
			s.Append([]Record{entry(1, i+1, strings.Repeat("f", 3000))}, func(err error) {
				if err != nil {
					t.Error(err)
				}
				acked.Add(1)
			})
		}
		time.Sleep(10 * time.Second)
		if n := acked.Load(); n == 0 || n == 100 || !s.Full() {
			t.Fatalf("%d acknowledged, full %t", n, s.Full())
		}
		m.SetCapacity(1 << 30)
		time.Sleep(10 * time.Second)
		if n := acked.Load(); n != 100 || s.Full() {
			t.Fatalf("%d acknowledged, full %t", n, s.Full())
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	})
}

func TestCloseOnAFullDiskEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := NewMemory(1)
		m.SetCapacity(4 * minSegmentBytes)
		o := tiny(m)
		o.Manual = false
		s := mustOpen(t, o)
		failed := 0
		for i := range uint64(100) {
			s.Append([]Record{entry(1, i+1, strings.Repeat("f", 3000))}, func(err error) {
				if errors.Is(err, ErrFull) {
					failed++
				}
			})
		}
		if err := s.Close(); !errors.Is(err, ErrFull) || failed == 0 {
			t.Fatalf("got %v, %d failed", err, failed)
		}
		s.Append(nil, func(err error) {
			if !errors.Is(err, ErrClosed) {
				t.Errorf("append after close: %v", err)
			}
		})
	})
}

// Replay runs beside the writer and the keeper, and pins what it reads.
func TestReplayBesideTheWriter(t *testing.T) {
	o := tiny(NewMemory(1))
	o.Manual = false
	s := mustOpen(t, o)
	const n = 400
	for i := range uint64(n) {
		s.Append([]Record{entry(1, i+1, strings.Repeat("r", 900))}, nil)
	}
	if err := s.Flush(); err != nil {
		t.Fatal(err)
	}
	var group sync.WaitGroup
	group.Go(func() {
		for i := range uint64(n) {
			s.Append([]Record{entry(2, i+1, strings.Repeat("w", 900))}, nil)
			s.Release(2, i)
			if i%50 == 0 {
				_ = s.Flush()
				s.Release(1, i)
			}
		}
	})
	for range 20 {
		last, err := uint64(0), error(nil)
		err = s.Replay(1, func(r Record) error {
			if last != 0 && r.Index != last+1 {
				return fmt.Errorf("index %d after %d", r.Index, last)
			}
			last = r.Index
			return nil
		})
		if err != nil || last != n {
			t.Fatalf("replay ended at %d: %v", last, err)
		}
	}
	group.Wait()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}
