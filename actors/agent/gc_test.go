//go:build linux

package agent

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/synod-go/synod/mesos"
)

func TestSandboxesOfEndedTasksAreRemovedWhenTheyAreOldOrTheDiskIsFull(t *testing.T) {
	m, work := newMaster(t), newWork(t)
	c := config(t, m, work)
	c.free = func() float64 { return 0.5 }
	h := start(t, m, c)
	m.registered(1)
	alive := m.launch(task("alive", "exec sleep 1000"))
	m.told("alive", mesos.Running)
	var ended []mesos.ContainerID
	for _, id := range []mesos.TaskID{"a", "b", "c"} {
		x := m.launch(task(id, "echo > file"))
		m.told(id, mesos.Finished)
		eventually(t, "it is forgotten", func() bool { return !h.living().has(x) })
		ended = append(ended, x)
	}
	has := func(c mesos.ContainerID) bool {
		_, err := os.Stat(pathsOf(work, c).dir)
		return err == nil
	}
	now := time.Now()
	for i, x := range ended { // a is the oldest
		at := now.Add(time.Duration(i-10) * time.Hour)
		if err := os.Chtimes(pathsOf(work, x).exit(), at, at); err != nil {
			t.Fatal(err)
		}
	}
	if h.collect(now); !has(ended[0]) || !has(ended[1]) || !has(ended[2]) {
		t.Error("something was removed that is not old")
	}
	h.cfg.free = func() float64 { // there is room when the first is gone
		if has(ended[0]) {
			return 0.05
		}
		return 0.5
	}
	if h.collect(now); has(ended[0]) || !has(ended[1]) || !has(ended[2]) {
		t.Error("with a full disk, want that the oldest is removed alone")
	}
	h.cfg.free = func() float64 { return 0.5 }
	if h.collect(now.Add(7*24*time.Hour - 8*time.Hour - 30*time.Minute)); has(ended[1]) || !has(ended[2]) {
		t.Error("want that what is as old as may be is removed alone")
	}
	h.collect(now.Add(1000 * 24 * time.Hour))
	if has(ended[1]) || has(ended[2]) || !has(alive) {
		t.Error("want that all are removed but the one that lives")
	}
	if _, err := os.Stat(filepath.Join(work, checkpointFile)); err != nil {
		t.Error(err)
	}
}

// What the core has not forgotten is kept, however old: its end is still to be told.
func TestTheSandboxOfAnEndThatNobodyKnowsIsKept(t *testing.T) {
	m, work := newMaster(t), newWork(t)
	h := start(t, m, config(t, m, work))
	m.registered(1)
	m.mu.Lock()
	m.mute = true
	m.mu.Unlock()
	c := m.launch(task("t", "exit 0"))
	eventually(t, "it has ended", func() bool {
		tasks := h.Status(t.Context()).Tasks
		return len(tasks) == 1 && tasks[0].State == mesos.Finished
	})
	h.collect(time.Now().Add(1000 * 24 * time.Hour))
	if _, err := os.Stat(pathsOf(work, c).dir); err != nil {
		t.Error(err)
	}
}
