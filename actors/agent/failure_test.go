//go:build linux

package agent

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/synod-go/synod/internal/shim"
	"github.com/synod-go/synod/mesos"
)

// untilEnd is a task that notes its start and ends with 6 when the file is there.
func untilEnd(work, id string) (info mesos.TaskInfo, ledger, end string) {
	ledger, end = filepath.Join(work, id+".ledger"), filepath.Join(work, id+".end")
	return task(mesos.TaskID(id), "echo x >> "+ledger+"; while [ ! -e "+end+" ]; do sleep 0.01; done; exit 6"), ledger, end
}

// mustRunOnce ends the task and checks that it has run once, and how it ended.
func mustRunOnce(t *testing.T, m *master, id mesos.TaskID, ledger, end string) {
	t.Helper()
	touch(t, end)
	if s := m.told(id, mesos.Failed); s.ExitCode != 6 || !s.HasExit {
		t.Errorf("%s ended as %+v, want exit code 6", id, s)
	}
	if n := lines(t, ledger); n != 1 {
		t.Errorf("%s ran %d times", id, n)
	}
}

// A container's actor that panics, at any message, is started again and takes up its task by the
// same look as a restarted agent's.
func TestAContainersActorThatPanicsTakesUpItsTask(t *testing.T) {
	for _, at := range []string{"prepared", "started", "ended"} {
		t.Run(at, func(t *testing.T) {
			m, work := newMaster(t), newWork(t)
			c := config(t, m, work)
			var panics atomic.Int32
			c.step = func(_ mesos.ContainerID, step string) {
				if step == at && panics.Add(1) == 1 {
					panic("as if by a mistake")
				}
			}
			start(t, m, c)
			m.registered(1)
			info, ledger, end := untilEnd(work, "t")
			m.launch(info)
			if at == "prepared" { // nothing had started, and nothing may any more
				if s := m.told("t", mesos.Dropped); s.Reason != mesos.ReasonAgentRestarted || lines(t, ledger) != 0 {
					t.Errorf("it ended as %+v, and ran %d times", s, lines(t, ledger))
				}
			} else {
				m.told("t", mesos.Running)
				mustRunOnce(t, m, "t", ledger, end)
				m.mustHaveTold("t", mesos.Running, mesos.Failed)
			}
			if panics.Load() == 0 {
				t.Error("nothing has panicked")
			}
		})
	}
}

// A kill that the panic has swallowed is given again.
func TestAKillIsNotLostWithItsActor(t *testing.T) {
	m, work := newMaster(t), newWork(t)
	c := config(t, m, work)
	var armed, panics atomic.Bool
	c.step = func(_ mesos.ContainerID, step string) {
		if step == "message" && armed.CompareAndSwap(true, false) {
			panics.Store(true)
			panic("as if by a mistake")
		}
	}
	start(t, m, c)
	m.registered(1)
	m.launch(task("t", "exec sleep 1000"))
	m.told("t", mesos.Running)
	armed.Store(true)
	m.kill("t")
	if s := m.told("t", mesos.Killed); s.Signal != 15 || !panics.Load() {
		t.Errorf("it ended as %+v", s)
	}
}

func TestAnAgentsActorThatPanicsGoesOnFromItsCheckpoint(t *testing.T) {
	m, work := newMaster(t), newWork(t)
	h := start(t, m, config(t, m, work))
	m.registered(1)
	info, ledger, end := untilEnd(work, "t")
	m.launch(info)
	m.told("t", mesos.Running)
	h.tell(test(func(*host) { panic("as if by a mistake") }))
	m.until("the agent has registered with its task again", func() bool {
		last := m.registers[len(m.registers)-1]
		return len(m.registers) > 1 && len(last.Tasks) == 1 && last.Tasks[0].State == mesos.Running && last.Info.ID == "agent-1"
	})
	mustRunOnce(t, m, "t", ledger, end)
	m.mustHaveTold("t", mesos.Running, mesos.Failed)
}

func TestATaskWhoseShimIsKilledHasFailedAndIsGone(t *testing.T) {
	for _, restart := range []bool{false, true} {
		m, work := newMaster(t), newWork(t)
		h := start(t, m, config(t, m, work))
		m.registered(1)
		c := m.launch(task("t", "sleep 1000 & sleep 1000"))
		m.told("t", mesos.Running)
		state, err := shim.Open(pathsOf(work, c).run()).State(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if restart {
			stopAgent(t, h)
		}
		if err := syscall.Kill(state.Shim.PID, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		if restart {
			start(t, m, config(t, m, work))
		}
		if s := m.told("t", mesos.Failed); s.Reason != mesos.ReasonExecutorTerminated || s.HasExit {
			t.Errorf("restart %v: it ended as %+v", restart, s)
		}
		if f, err := shim.Observe(pathsOf(work, c).run()); err != nil || f.TaskAlive {
			t.Errorf("restart %v: %+v, %v: it lives", restart, f, err)
		}
	}
}

func TestAnAgentOnAFullDiskEndsAndItsTasksDoNot(t *testing.T) {
	m, work := newMaster(t), newWork(t)
	c := config(t, m, work)
	var full atomic.Bool
	c.failWrite = func() error {
		if full.Load() {
			return &os.PathError{Op: "write", Path: "checkpoint", Err: syscall.ENOSPC}
		}
		return nil
	}
	h := start(t, m, c)
	m.registered(1)
	info, ledger, end := untilEnd(work, "t")
	m.launch(info)
	m.told("t", mesos.Running)
	full.Store(true)
	other, otherLedger, _ := untilEnd(work, "other")
	m.launch(other)
	<-h.Done()
	if err := h.Err(); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("it ended for %v, want ENOSPC", err)
	}
	<-h.ended
	full.Store(false)
	start(t, m, config(t, m, work))
	mustRunOnce(t, m, "t", ledger, end)
	m.told("other", mesos.Dropped)
	if n := lines(t, otherLedger); n != 0 {
		t.Errorf("a task that could not be saved has run %d times", n)
	}
}

func TestAnAgentWhoseDiskHangsHoldsNobodyUpWhoAsks(t *testing.T) {
	m, work := newMaster(t), newWork(t)
	c := config(t, m, work)
	var hangs atomic.Bool
	hung, released := make(chan struct{}), make(chan struct{})
	c.failWrite = func() error {
		if hangs.CompareAndSwap(true, false) {
			close(hung)
			<-released
		}
		return nil
	}
	h := start(t, m, c)
	release := sync.OnceFunc(func() { close(released) })
	defer release()
	m.registered(1)
	hangs.Store(true)
	m.launch(task("t", "exit 0"))
	<-hung
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	asked := make(chan Status, 1)
	go func() { asked <- h.Status(ctx) }()
	select {
	case s := <-asked:
		if s.ID != "" || ctx.Err() == nil {
			t.Errorf("it answers %+v while its disk hangs", s)
		}
	case <-time.After(patience):
		t.Error("who asks waits as long as the disk hangs")
	}
	release()
	m.told("t", mesos.Finished) // what was begun is done, and nobody writes into the directory any more
}

// Starts that hang keep their places for a while only. Whether they have started is looked at:
// what has runs once, what has not never does.
func TestStartsThatHangDoNotHoldUpOthers(t *testing.T) {
	m, work := newMaster(t), newWork(t)
	c := config(t, m, work)
	c.startTime = 50 * time.Millisecond
	var calls atomic.Int32
	c.start = func(ctx context.Context, spec shim.Spec) error {
		switch n := calls.Add(1); {
		case n > maxStarts:
			return shim.Start(t.Context(), spec)
		case n%2 == 0:
			if err := shim.Start(t.Context(), spec); err != nil {
				t.Error(err)
			}
		}
		<-ctx.Done()
		return ctx.Err()
	}
	start(t, m, c)
	m.registered(1)
	var ledgers, ends []string
	for i := range maxStarts {
		info, ledger, end := untilEnd(work, fmt.Sprint("t", i))
		ledgers, ends = append(ledgers, ledger), append(ends, end)
		m.launch(info)
	}
	eventually(t, "all are being started", func() bool { return calls.Load() == maxStarts })
	info, ledger, end := untilEnd(work, "other")
	m.launch(info)
	m.told("other", mesos.Running)
	ran := 0
	for i := range maxStarts {
		id := mesos.TaskID(fmt.Sprint("t", i))
		m.until("it is known what became of it", func() bool { return len(m.of(id)) > 0 })
		m.mu.Lock()
		first := m.of(id)[0]
		m.mu.Unlock()
		switch first.State {
		case mesos.Running:
			ran++
			mustRunOnce(t, m, id, ledgers[i], ends[i])
		case mesos.Dropped:
			if n := lines(t, ledgers[i]); n != 0 {
				t.Errorf("%s was dropped and ran %d times", id, n)
			}
		default:
			t.Errorf("%s is %+v", id, first)
		}
	}
	if ran != maxStarts/2 {
		t.Errorf("%d run, want %d", ran, maxStarts/2)
	}
	mustRunOnce(t, m, "other", ledger, end)
}

// With no room even for the exit, only the shim knows it: that stays until somebody has saved it.
func TestAnExitThatNobodyCouldSaveIsNotForgotten(t *testing.T) {
	m, work := newMaster(t), newWork(t)
	c := config(t, m, work)
	var full atomic.Bool
	c.failWrite = func() error {
		if full.Load() {
			return &os.PathError{Op: "write", Path: "checkpoint", Err: syscall.ENOSPC}
		}
		return nil
	}
	h := start(t, m, c)
	m.registered(1)
	info, ledger, end := untilEnd(work, "t")
	p := pathsOf(work, m.launch(info))
	m.told("t", mesos.Running)
	state, err := shim.Open(p.run()).State(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	inTheWay := p.exit() + ".tmp" // which the shim cannot write
	if err := os.Mkdir(inTheWay, 0o700); err != nil {
		t.Fatal(err)
	}
	full.Store(true)
	touch(t, end)
	<-h.Done()
	<-h.ended
	h.background.Wait()
	if !state.Shim.Alive() {
		t.Fatal("the shim has left, and nobody knows how its task has ended")
	}
	if err := os.Remove(inTheWay); err != nil {
		t.Fatal(err)
	}
	start(t, m, config(t, m, work))
	mustRunOnce(t, m, "t", ledger, end)
}

func TestAfterARebootTasksHaveFailedAndTheAgentIsTheSame(t *testing.T) {
	m, work := newMaster(t), newWork(t)
	h := start(t, m, config(t, m, work))
	m.registered(1)
	m.launch(task("t", "exec sleep 1000"))
	m.told("t", mesos.Running)
	stopAgent(t, h)
	c := config(t, m, work)
	c.boot = "another"
	h = start(t, m, c)
	if s := m.told("t", mesos.Failed); s.Reason != mesos.ReasonAgentRestarted {
		t.Errorf("it ended as %+v", s)
	}
	if s := h.Status(t.Context()); s.ID != "agent-1" {
		t.Errorf("it is agent %q now", s.ID)
	}
}

func TestCleanupEndsAllTasksAndTheNextStartTellsIt(t *testing.T) {
	m, work := newMaster(t), newWork(t)
	c := config(t, m, work)
	c.Agent.KillGrace = 300 * time.Millisecond
	h := start(t, m, c)
	m.registered(1)
	m.launch(task("soft", "exec sleep 1000"))
	hard := m.launch(task("hard", `trap "" TERM; echo deaf; while :; do sleep 1000 & wait; done`))
	m.told("soft", mesos.Running)
	eventually(t, "it hears no TERM", func() bool { return content(work, hard, "run", "stdout") == "deaf\n" })
	stopAgent(t, h)
	before := len(m.registers)
	c.Recover = mesos.Cleanup
	h, err := Start(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	<-h.Done()
	if err := h.Err(); !errors.Is(err, ErrCleanedUp) {
		t.Errorf("it ended for %v", err)
	}
	<-h.ended
	if n := len(m.registers); n != before {
		t.Errorf("it registered: %d times", n-before)
	}
	start(t, m, config(t, m, work))
	m.told("soft", mesos.Killed)
	m.told("hard", mesos.Killed)
}

func TestAnAgentThatIsSentAwayStartsAsANewOne(t *testing.T) {
	m, work := newMaster(t), newWork(t)
	h := start(t, m, config(t, m, work))
	m.registered(1)
	c := m.launch(task("t", "exec sleep 1000"))
	m.told("t", mesos.Running)
	m.mu.Lock()
	m.id = "agent-2"
	m.mu.Unlock()
	m.send(mesos.Shutdown{Agent: "agent-1", Term: 5, Reason: "another machine has this id"})
	m.until("it registers as a new agent", func() bool {
		last := m.registers[len(m.registers)-1]
		return last.Info.ID == "" && len(last.Tasks) == 0
	})
	eventually(t, "it has its id", func() bool { return h.Status(t.Context()).ID == "agent-2" })
	if f, err := shim.Observe(pathsOf(work, c).run()); err != nil || f.TaskAlive || !f.HasExit {
		t.Errorf("%+v, %v: the task lives", f, err)
	}
	old, err := filepath.Glob(filepath.Join(work, retiredDir, "agent-1-*", checkpointFile))
	if err != nil || len(old) != 1 {
		t.Errorf("the old checkpoint: %v, %v", old, err)
	}
	second := task("u", "exit 0")
	second.Agent = "agent-2"
	m.launch(second)
	m.told("u", mesos.Finished)
}

func TestWithoutItsCheckpointAnAgentEndsWhatItDoesNotKnow(t *testing.T) {
	m, work := newMaster(t), newWork(t)
	h := start(t, m, config(t, m, work))
	m.registered(1)
	c := m.launch(task("t", "exec sleep 1000"))
	m.told("t", mesos.Running)
	stopAgent(t, h)
	if err := os.Remove(filepath.Join(work, checkpointFile)); err != nil {
		t.Fatal(err)
	}
	m.mu.Lock()
	m.id, m.launched = "agent-2", map[mesos.ContainerID]mesos.Task{}
	m.mu.Unlock()
	h = start(t, m, config(t, m, work))
	eventually(t, "the stranger has ended", func() bool { return h.hasEnded(c) })
	m.registered(2)
	eventually(t, "it is a new agent", func() bool { return h.Status(t.Context()).ID == "agent-2" })
}

func TestAnAgentWithLessThanItsTasksUseDoesNotStart(t *testing.T) {
	m, work := newMaster(t), newWork(t)
	h := start(t, m, config(t, m, work))
	m.registered(1)
	m.launch(task("t", "exec sleep 1000"))
	m.told("t", mesos.Running)
	stopAgent(t, h)
	c := config(t, m, work)
	c.Info.Resources, _ = mesos.ParseResources("cpus:64;mem:32")
	var less *mesos.ResourcesError
	if _, err := Start(t.Context(), c); !errors.As(err, &less) {
		t.Fatalf("got %v, want a ResourcesError", err)
	}
	start(t, m, config(t, m, work)) // the lock is free again
	m.registered(2)
	m.kill("t")
	m.told("t", mesos.Killed)
}

func TestALinkThatIsCutIsMadeAgainAndNothingIsToldTwice(t *testing.T) {
	m, work := newMaster(t), newWork(t)
	start(t, m, config(t, m, work))
	m.registered(1)
	info, ledger, end := untilEnd(work, "t")
	m.launch(info)
	m.told("t", mesos.Running)
	for n := 2; n < 5; n++ {
		m.mu.Lock()
		m.link.Close()
		m.mu.Unlock()
		m.registered(n)
	}
	mustRunOnce(t, m, "t", ledger, end)
	m.mustHaveTold("t", mesos.Running, mesos.Failed)
}

// A master of the past is not taken, even if it has a connection.
func TestALinkToAMasterOfThePastIsDropped(t *testing.T) {
	m, work := newMaster(t), newWork(t)
	start(t, m, config(t, m, work))
	m.registered(1)
	m.mu.Lock()
	old := m.link
	m.term = 3
	old.Close()
	m.mu.Unlock()
	m.until("a link of the past is made and closed", func() bool { return m.link != old })
	m.mu.Lock()
	past := m.link
	m.mu.Unlock()
	<-past.over
	m.mu.Lock()
	m.term = 6
	n := len(m.registers)
	m.mu.Unlock()
	m.registered(n + 1)
	m.mu.Lock()
	defer m.mu.Unlock()
	if slices.Contains(m.terms, 3) {
		t.Errorf("it registered with a master of the past: terms %v", m.terms)
	}
}
