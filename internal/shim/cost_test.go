//go:build linux

package shim

import (
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/synod-go/synod/internal/shim/process"
)

// The init of package process is to come before anything large: what was initialised
// before it is what Go lists here.
func TestTheShimTakesOverEarly(t *testing.T) {
	hooks.env = []string{"GODEBUG=inittrace=1"}
	defer func() { hooks.env = nil }()
	spec := inDir(t, "exit 0")
	waitFor(t, start(t, spec))
	trace := read(t, spec.Dir, process.ErrorFile)
	for line := range strings.Lines(trace) {
		name := strings.Fields(line)[1]
		if slices.Contains([]string{"os", "net", "fmt", "context", "time", "reflect", "testing"}, name) || strings.Contains(name, ".") {
			t.Errorf("%s was initialised before the shim", name)
		}
	}
	if !strings.Contains(trace, "init runtime ") {
		t.Errorf("no trace: %q", trace)
	}
}

// pss returns the proportional memory of a process in bytes, and its dirty part.
func pss(t testing.TB, pid int) (all, dirty int) {
	t.Helper()
	for line := range strings.Lines(read(t, "/proc", strconv.Itoa(pid), "smaps_rollup")) {
		f := strings.Fields(line)
		n, _ := strconv.Atoi(f[1])
		switch f[0] {
		case "Pss:":
			all = n << 10
		case "Private_Dirty:":
			dirty = n << 10
		}
	}
	if all == 0 {
		t.Skip("this kernel does not tell proportional memory")
	}
	return all, dirty
}

// What a shim has of its own; what it shares with all that run the same binary is not
// counted. A bound that one which has initialised a large program does not keep.
func TestShimIsSmall(t *testing.T) {
	if raceDetector {
		t.Skip("the race detector has megabytes of its own in every shim")
	}
	spec := inDir(t, "i=0; while [ $i -lt 20000 ]; do i=$((i+1)); echo line; done; echo >done; exec sleep 1000")
	spec.LogBytes = 10 << 10
	h := start(t, spec)
	var s State
	for range 50 {
		var err error
		if s, err = h.State(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, "the log is written", func() bool { return read(t, spec.Dir, "done") != "" })
	all, dirty := pss(t, s.Shim.PID)
	t.Logf("%.2f MB, of it dirty %.2f MB", float64(all)/1e6, float64(dirty)/1e6)
	if dirty > 3<<19 {
		t.Errorf("%d bytes of its own after 50 questions and a busy log", dirty)
	}
}

// BenchmarkStart starts 100 tasks an iteration, four at a time, and says how large their
// shims are.
func BenchmarkStart(b *testing.B) {
	for _, parent := range []string{"", "-"} {
		b.Run("cgroup="+strconv.FormatBool(parent == ""), func(b *testing.B) {
			var memory, launches, cpu float64
			for b.Loop() {
				b.StopTimer()
				handles := startMany(b, parent, &launches)
				for _, h := range handles {
					s, err := h.State(b.Context())
					if err != nil {
						b.Fatal(err)
					}
					all, _ := pss(b, s.Shim.PID)
					memory += float64(all)
					cpu += cpuSeconds(b, s.Shim.PID)
				}
				for _, h := range handles {
					cleanUp(b, h.dir)
				}
				b.StartTimer()
			}
			b.ReportMetric(memory/float64(b.N)/1e8, "MB-PSS/shim")
			b.ReportMetric(launches/float64(b.N), "starts/s")
			b.ReportMetric(cpu/float64(b.N)*10, "shim-CPU-ms/start")
		})
	}
}

// cpuSeconds is what the main thread of a process has used.
func cpuSeconds(b *testing.B, pid int) float64 {
	b.Helper()
	text := read(b, "/proc", strconv.Itoa(pid), "schedstat")
	nanos, err := strconv.ParseFloat(strings.Fields(text + " ")[0], 64)
	if err != nil {
		b.Fatal(err)
	}
	return nanos / 1e9
}

func startMany(b *testing.B, parent string, launches *float64) (handles []*Handle) {
	b.Helper()
	const count, atOnce = 100, 4
	dir := b.TempDir()
	errs := make(chan error, count)
	todo := make(chan int)
	began := time.Now()
	for range atOnce {
		go func() {
			for i := range todo {
				spec := Spec{Dir: filepath.Join(dir, fmt.Sprint(i)), Argv: []string{"sleep", "1000"}, CgroupParent: parent, LogBytes: 1 << 20}
				errs <- Start(b.Context(), spec)
			}
		}()
	}
	for i := range count {
		todo <- i
		handles = append(handles, Open(filepath.Join(dir, fmt.Sprint(i))))
	}
	close(todo)
	for range count {
		if err := <-errs; err != nil {
			b.Fatal(err)
		}
	}
	*launches += count / time.Since(began).Seconds()
	return handles
}
