package storage

import (
	"fmt"
	"os"
	"sync"
	"testing"
)

// benchDir is on the disk that holds the package, not on a tmpfs.
func benchDir(b *testing.B) string {
	b.Helper()
	dir, err := os.MkdirTemp(".", "bench-*.test")
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

// BenchmarkDurable measures 150-byte records, each awaited by its writer, with a
// varying number of writers that wait at the same time.
func BenchmarkDurable(b *testing.B) {
	for _, writers := range []int{1, 16, 64, 256} {
		b.Run(fmt.Sprintf("writers=%d", writers), func(b *testing.B) {
			s, err := Open(benchDir(b), Options{Node: "n", ReserveBytes: -1})
			if err != nil {
				b.Fatal(err)
			}
			defer s.Close()
			data := make([]byte, 150)
			b.ReportAllocs()
			b.ResetTimer()
			var group sync.WaitGroup
			for w := range writers {
				group.Go(func() {
					durable := make(chan error, 1)
					done := func(err error) { durable <- err }
					records := []Record{{Group: 1, Type: 1, Data: data}}
					for i := w; i < b.N; i += writers {
						records[0].Index = uint64(i + 1)
						s.Append(records, done)
						if err := <-durable; err != nil {
							b.Error(err)
							return
						}
						if i%10000 == 0 {
							s.Release(1, uint64(i))
						}
					}
				})
			}
			group.Wait()
			b.StopTimer()
			st := s.Stats()
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "records/s")
			b.ReportMetric(float64(st.Batches)/b.Elapsed().Seconds(), "flushes/s")
		})
	}
}

// BenchmarkRawOverwrite is the ceiling: 4 KiB O_DIRECT|O_DSYNC overwrites of a
// zero-filled file, one after the other.
func BenchmarkRawOverwrite(b *testing.B) {
	f, err := createFilled(OS(), benchDir(b)+"/raw", nil, 64<<20, nil)
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	block := alignedBuffer(BlockBytes)
	b.ResetTimer()
	for i := range b.N {
		if _, err := f.WriteAt(block, int64(i)%(16<<10)*BlockBytes); err != nil {
			b.Fatal(err)
		}
		if !f.Durable() {
			if err := f.Sync(); err != nil {
				b.Fatal(err)
			}
		}
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "flushes/s")
}

// BenchmarkAppend measures what Append costs its caller.
func BenchmarkAppend(b *testing.B) {
	s, err := Open("data", Options{FS: NewMemory(1), Node: "n", SegmentBytes: 16 << 20, ReserveBytes: -1, MaxPendingBytes: 1 << 40})
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	records := []Record{{Group: 1, Type: 1, Index: 1, Data: make([]byte, 150)}}
	done := func(error) {}
	b.ReportAllocs()
	for b.Loop() {
		s.Append(records, done)
	}
}

// BenchmarkManualStep is what a simulated node pays for one append and flush.
func BenchmarkManualStep(b *testing.B) {
	s := mustOpen(b, small(NewMemory(1)))
	records := []Record{{Group: 1, Type: 1, Index: 1, Data: make([]byte, 150)}}
	b.ReportAllocs()
	i := uint64(0)
	for b.Loop() {
		i++
		records[0].Index = i
		s.Append(records, nil)
		if err := s.Flush(); err != nil {
			b.Fatal(err)
		}
		s.Release(1, i)
	}
}

// BenchmarkManualReopen is what a simulated crash and restart cost.
func BenchmarkManualReopen(b *testing.B) {
	m := NewMemory(1)
	s := mustOpen(b, small(m))
	mustPut(b, s, entry(1, 1, "x"))
	b.ReportAllocs()
	for b.Loop() {
		m.Crash()
		mustOpen(b, small(m))
	}
}

// BenchmarkRecover reads a log of a given size on the real disk.
func BenchmarkRecover(b *testing.B) {
	if testing.Short() {
		b.Skip("writes 1 GiB")
	}
	dir := benchDir(b)
	s, err := Open(dir, Options{Node: "n", ReserveBytes: -1})
	if err != nil {
		b.Fatal(err)
	}
	const total = 1 << 30
	records := make([]Record, 2000)
	for i := range records {
		records[i] = Record{Group: 1, Type: 1, Data: make([]byte, 500)}
	}
	for written, index := 0, uint64(0); written < total; written += 524 * len(records) {
		batch := append([]Record(nil), records...)
		for i := range batch {
			index++
			batch[i].Index = index
		}
		s.Append(batch, nil)
		if s.Pending() > 16<<20 {
			if err := s.Flush(); err != nil {
				b.Fatal(err)
			}
		}
	}
	if err := s.Close(); err != nil {
		b.Fatal(err)
	}
	b.SetBytes(total)
	b.ResetTimer()
	for range b.N {
		s, err := Open(dir, Options{Node: "n", ReserveBytes: -1})
		if err != nil {
			b.Fatal(err)
		}
		b.StopTimer()
		_ = s.Close()
		b.StartTimer()
	}
}
