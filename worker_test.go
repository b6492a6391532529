package synod

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/synod-go/synod/mesos"
	"github.com/synod-go/synod/storage"
)

// openList opens a worker whose state is the list of its commands. trap may panic, or
// refuse.
func openList(t *testing.T, c WorkerConfig, trap func(state []int, n int) error) *Worker[[]int, int, int] {
	t.Helper()
	w, err := tryList(t.Context(), c, trap)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = w.Close() })
	return w
}

func tryList(ctx context.Context, c WorkerConfig, trap func(state []int, n int) error) (*Worker[[]int, int, int], error) {
	if c.Name == "" {
		c.Name = "list"
	}
	return OpenWorker(ctx, c, nil, func(s *[]int, n int) { *s = append(*s, n) }, func(s []int, n int) ([]int, error) {
		if trap != nil {
			if err := trap(s, n); err != nil {
				return nil, err
			}
		}
		return []int{n}, nil
	})
}

func (w *Worker[S, C, E]) mustDo(t *testing.T, commands ...C) {
	t.Helper()
	for _, c := range commands {
		if err := w.Do(t.Context(), fmt.Sprint(c), c); err != nil {
			t.Fatalf("command %v: %v", c, err)
		}
	}
}

func listOf(t *testing.T, w *Worker[[]int, int, int]) (list []int) {
	t.Helper()
	if err := w.View(t.Context(), func(s []int) { list = slices.Clone(s) }); err != nil {
		t.Fatal(err)
	}
	return list
}

func TestAPanicUndoesTheCommandAndItIsTriedAgain(t *testing.T) {
	crashes := 0
	w := openList(t, WorkerConfig{}, func(s []int, n int) error {
		if n == 3 && crashes == 0 {
			crashes++
			s[0] = 99 // which no replay brings back
			panic("disk on fire")
		}
		return nil
	})
	w.mustDo(t, 1, 2, 3, 4)
	if got := listOf(t, w); !slices.Equal(got, []int{1, 2, 3, 4}) {
		t.Errorf("the state is %v", got)
	}
	if got, want := w.Status(), (WorkerStatus{Restarts: 1, Replayed: 2, Events: 4}); got != want {
		t.Errorf("the status is %+v, want %+v", got, want)
	}
}

func TestACommandThatAlwaysPanicsEscalates(t *testing.T) {
	tries := 0
	dir := t.TempDir()
	w := openList(t, WorkerConfig{Dir: dir, Intensity: 3, Period: time.Hour}, func(_ []int, n int) error {
		if n == 2 {
			tries++
			panic("poison")
		}
		return nil
	})
	w.mustDo(t, 1)
	err := w.Do(t.Context(), "2", 2)
	var escalation *EscalationError
	var panicked *PanicError
	if !errors.As(err, &escalation) || !errors.As(err, &panicked) || panicked.Value != "poison" || tries != 4 {
		t.Fatalf("after %d tries: %v", tries, err)
	}
	<-w.Done()
	if err := w.Do(t.Context(), "3", 3); !errors.As(err, &escalation) {
		t.Errorf("a command to a worker that has ended: %v", err)
	}
	again := openList(t, WorkerConfig{Dir: dir}, nil)
	if got := listOf(t, again); !slices.Equal(got, []int{1}) {
		t.Errorf("of a command that was never done something is there: %v", got)
	}
}

func TestARefusedCommandLeavesNothing(t *testing.T) {
	no := errors.New("no")
	w := openList(t, WorkerConfig{}, func(_ []int, n int) error {
		if n == 2 {
			return no
		}
		return nil
	})
	w.mustDo(t, 1)
	if err := w.Do(t.Context(), "2", 2); err != no {
		t.Errorf("the error of handle came as %v", err)
	}
	w.mustDo(t, 3)
	if got := listOf(t, w); !slices.Equal(got, []int{1, 3}) {
		t.Errorf("the state is %v", got)
	}
	if err := w.Do(t.Context(), "", 2); !errors.Is(err, ErrCommandID) {
		t.Errorf("without an id: %v", err)
	}
}

func TestACommandIsHandledOnceByItsID(t *testing.T) {
	dir := t.TempDir()
	config := WorkerConfig{Dir: dir, MaxRemembered: 3, SnapshotBytes: 1} // a snapshot after each
	w := openList(t, config, nil)
	w.mustDo(t, 1, 2, 3, 4, 4, 4, 2)
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	w = openList(t, config, nil)
	w.mustDo(t, 4, 2, 3)
	if got := listOf(t, w); !slices.Equal(got, []int{1, 2, 3, 4}) {
		t.Errorf("the state is %v", got)
	}
	if s := w.Status(); s.Replayed != 0 || s.Events != 4 {
		t.Errorf("behind a snapshot of all: %+v", s)
	}
	w.mustDo(t, 5, 1) // 1 is forgotten by MaxRemembered
	if got := listOf(t, w); !slices.Equal(got, []int{1, 2, 3, 4, 5, 1}) {
		t.Errorf("the state is %v", got)
	}
	if _, err := tryList(t.Context(), config, nil); !errors.Is(err, storage.ErrLocked) {
		t.Errorf("a second worker of the directory: %v", err)
	}
}

func TestReplayThatPanicsEscalatesAtOnce(t *testing.T) {
	dir := t.TempDir()
	w := openList(t, WorkerConfig{Dir: dir}, nil)
	w.mustDo(t, 1, 2)
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	replays := 0
	_, err := OpenWorker(t.Context(), WorkerConfig{Name: "list", Dir: dir, Intensity: 100}, 0, func(_ *int, n int) {
		if n == 2 {
			replays++
			panic("what is 2?")
		}
	}, func(int, int) ([]int, error) { return nil, nil })
	var failed *ReplayError
	if !errors.As(err, &failed) || failed.Record != 2 || replays != 1 || !strings.Contains(err.Error(), "what is 2?") {
		t.Fatalf("after %d replays: %v", replays, err)
	}
	_, err = OpenWorker(t.Context(), WorkerConfig{Name: "list", Dir: dir}, 0, func(*int, bool) {},
		func(int, int) ([]bool, error) { return nil, nil })
	if !errors.As(err, &failed) || failed.Record != 1 {
		t.Fatalf("an event of another type: %v", err)
	}
	if got := listOf(t, openList(t, WorkerConfig{Dir: dir}, nil)); !slices.Equal(got, []int{1, 2}) {
		t.Errorf("the log is touched: %v", got)
	}
}

// An event that replay cannot take is not logged.
func TestAnEventThatCannotBeReplayedIsNotLogged(t *testing.T) {
	c := WorkerConfig{Name: "w", Dir: t.TempDir()}
	w, err := OpenWorker(t.Context(), c, 0, func(s *int, n int) {
		if n < 0 {
			panic("negative")
		}
		*s += n
	}, func(_ int, n int) ([]int, error) { return []int{n}, nil })
	if err != nil {
		t.Fatal(err)
	}
	w.mustDo(t, 1)
	var escalation *EscalationError
	if err := w.Do(t.Context(), "-1", -1); !errors.As(err, &escalation) {
		t.Errorf("the error is %v", err)
	}
	<-w.Done()
	if w, err = OpenWorker(t.Context(), c, 0, func(s *int, n int) { *s += n }, func(_ int, n int) ([]int, error) { return []int{n}, nil }); err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	if err := w.View(t.Context(), func(s int) {
		if s != 1 {
			t.Errorf("the state is %d", s)
		}
	}); err != nil {
		t.Fatal(err)
	}
}

// Many callers at once, a panic now and then: each command once, and a batch keeps what
// was handled before its panic.
func TestConcurrentCommandsAreEachDoneOnce(t *testing.T) {
	const callers, each = 8, 40
	crashed := map[int]bool{}
	w := openList(t, WorkerConfig{Intensity: 1000, SnapshotBytes: 500}, func(_ []int, n int) error {
		if n%17 == 0 && !crashed[n] {
			crashed[n] = true
			panic(n)
		}
		return nil
	})
	var group sync.WaitGroup
	for c := range callers {
		group.Go(func() {
			for i := range each {
				n := c*each + i
				for range 2 {
					if err := w.Do(t.Context(), strconv.Itoa(n), n); err != nil {
						t.Errorf("command %d: %v", n, err)
					}
				}
			}
		})
	}
	group.Wait()
	got := listOf(t, w)
	slices.Sort(got)
	for i, n := range got {
		if i != n || len(got) != callers*each {
			t.Fatalf("done were %d: %v", len(got), got)
		}
	}
	if s := w.Status(); s.Restarts != len(crashed) || s.Restarts < 10 {
		t.Errorf("%d restarts, %d panics", s.Restarts, len(crashed))
	}
}

// The power fails in the middle of each operation of the disk in turn: what was acknowledged is
// there, once and in order, and nothing that was never asked for.
func TestAPowerCutAtEachOperationLosesNothing(t *testing.T) { breakEachOperation(t, storage.CrashNow) }

// The same with each operation failing: the worker is closed and opened again.
func TestAFailureOfEachOperationLosesNothing(t *testing.T) { breakEachOperation(t, storage.Fail) }

func breakEachOperation(t *testing.T, fault storage.Fault) {
	config := func(fs storage.FS) WorkerConfig {
		return WorkerConfig{Dir: "w", SnapshotBytes: 60, fs: fs, segmentBytes: 48 << 10}
	}
	cuts := 0
	for n := int64(1); ; n++ {
		memory := storage.NewMemory(uint64(n))
		memory.SetFault(storage.FailAt(n, fault))
		acked := 0
		w, err := tryList(t.Context(), config(memory), nil)
		if err == nil {
			for acked < 8 && w.Do(t.Context(), strconv.Itoa(acked), acked) == nil {
				acked++
			}
			err = w.Close()
		}
		if err == nil && acked == 8 && memory.Operations() < n {
			break // it was more than there are
		}
		cuts++
		if memory.SetFault(nil); fault == storage.CrashNow {
			memory.Crash()
		}
		w = openList(t, config(memory), nil)
		got := listOf(t, w)
		if len(got) < acked || len(got) > acked+1 {
			t.Fatalf("cut %d: %d were acknowledged, there are %v", n, acked, got)
		}
		for i := range 8 {
			w.mustDo(t, i) // all of them again
		}
		if got := listOf(t, w); !slices.Equal(got, []int{0, 1, 2, 3, 4, 5, 6, 7}) {
			t.Fatalf("cut %d: in the end there are %v", n, got)
		}
		_ = w.Close()
	}
	if cuts < 20 {
		t.Errorf("only %d cuts", cuts)
	}
}

func TestALogThatFailsEndsTheWorkerUnknown(t *testing.T) {
	memory := storage.NewMemory(1)
	w := openList(t, WorkerConfig{Dir: "w", fs: memory, Intensity: 100}, nil)
	w.mustDo(t, 1)
	memory.SetFault(func(o storage.Operation) storage.Fault {
		if o.Kind == storage.OpWrite {
			return storage.Fail
		}
		return 0
	})
	if err := w.Do(t.Context(), "2", 2); !errors.Is(err, ErrUnknownOutcome) {
		t.Errorf("the error is %v", err)
	}
	<-w.Done()
	if w.Err() == nil || w.Status().Restarts != 0 {
		t.Errorf("it ended with %v after %d restarts", w.Err(), w.Status().Restarts)
	}
	memory.SetFault(nil)
	w = openList(t, WorkerConfig{Dir: "w", fs: memory}, nil)
	w.mustDo(t, 2)
	if got := listOf(t, w); !slices.Equal(got, []int{1, 2}) {
		t.Errorf("the state is %v", got)
	}
}

const workerChildDir = "SYNOD_TEST_WORKER_DIR"

// TestWorkerChild is a process of TestKilledWorkersLoseNothingAndDoNothingTwice.
func TestWorkerChild(t *testing.T) {
	dir := os.Getenv(workerChildDir)
	if dir == "" {
		t.Skip("runs as a child only")
	}
	w := openList(t, WorkerConfig{Dir: dir, SnapshotBytes: 2000, Intensity: mesos.NoRestarts}, nil)
	have := listOf(t, w)
	fmt.Println("have", len(have), slices.IsSorted(have) && (len(have) == 0 || have[len(have)-1] == len(have)-1))
	for n := max(0, len(have)-5); n < killedCommands; n++ { // the last ones again
		w.mustDo(t, n)
		fmt.Println("done", n)
	}
	have = listOf(t, w)
	fmt.Println("end", len(have), slices.IsSorted(have) && have[len(have)-1] == len(have)-1)
}

const killedCommands = 400

// A process is killed with kill -9 at some moment, again and again.
func TestKilledWorkersLoseNothingAndDoNothingTwice(t *testing.T) {
	dir, seed := t.TempDir(), uint64(time.Now().UnixNano())
	rng := rand.New(rand.NewPCG(seed, 1))
	t.Logf("seed %d", seed)
	acked, kills := -1, 0
	for {
		child := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestWorkerChild$", "-test.v")
		child.Env = append(os.Environ(), workerChildDir+"="+dir)
		out, err := child.StdoutPipe()
		if err == nil {
			err = child.Start()
		}
		if err != nil {
			t.Fatal(err)
		}
		budget, ended, killed := 1+rng.IntN(30), false, false
		for lines := bufio.NewScanner(out); lines.Scan(); {
			var n int
			var ok bool
			switch line := lines.Text(); {
			case strings.HasPrefix(line, "have ") || strings.HasPrefix(line, "end "):
				_, err := fmt.Sscanf(line[strings.Index(line, " ")+1:], "%d %t", &n, &ok)
				if ended = strings.HasPrefix(line, "end "); err != nil || !ok || n <= acked || ended && n != killedCommands {
					t.Fatalf("command %d was acknowledged, and after %d kills a process says: %s", acked, kills, line)
				}
			case strings.HasPrefix(line, "done "):
				n, _ = strconv.Atoi(line[5:])
				acked = max(acked, n)
				if budget--; budget == 0 {
					kills++
					killed = child.Process.Kill() == nil
				}
			}
		}
		if err := child.Wait(); ended { // it may have come to its end before the kill did
			if err != nil && !killed {
				t.Fatal(err)
			}
			break
		}
	}
	if kills < 10 {
		t.Errorf("only %d kills", kills)
	}
	t.Logf("%d kills", kills)
}
