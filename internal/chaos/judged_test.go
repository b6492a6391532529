package chaos

import (
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// What may befall an agent, its shims and its disk: tasks are neither lost nor run twice, and
// what a person reads says what to do. Each part has an agent of its own.
func TestWhatBefallsAgents(t *testing.T) {
	needs(t, true, "mkfs.ext4", "mount", "unshare", "cp")
	f := newFarm(t, 0, closely...)
	for n, c := range []struct {
		name string
		test func(f *farm, a *hand, job string)
	}{
		{"upgrade", upgradedAgent},
		{"shim", killedShim},
		{"torn", tornCheckpoint},
		{"damaged", damagedCheckpoint},
		{"reboot", rebootedAgent},
		{"copy", agentOnTwoMachines},
		{"disk", agentOnAFullDisk},
		{"clock", stoppedAgent},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := f.in(t)
			a := f.agent("a-"+c.name, n+1)
			c.test(f, a, "j-"+c.name)
			if c.name != "disk" { // which has stopped its job
				f.must("stop", "j-"+c.name)
			}
			if err := f.c.Unplanned(); err != nil {
				t.Error(err)
			}
		})
	}
}

func (a *hand) here() string { return fmt.Sprintf("constraints: ['hostname is %s']", a.name) }

func upgradedAgent(f *farm, a *hand, job string) {
	id := a.launch().is("registered")
	f.work(job, a.here())
	a.process.Signal(syscall.SIGTERM)
	a.ends(0, "its tasks run on, and the next start in this work directory takes them up")
	f.goesOn(job)
	// Another program: one byte more.
	text, err := os.ReadFile(a.program)
	if err != nil {
		f.Fatal(err)
	}
	a.program = filepath.Join(f.c.config.Dir, "upgraded")
	if err := os.WriteFile(a.program, append(text, 0), 0o755); err != nil {
		f.Fatal(err)
	}
	if again := a.launch().is("registered"); again != id {
		f.Errorf("it is %s now, and was %s", again, id)
	}
	f.says([]string{"ps", job}, "running")
	f.says([]string{"exec", job, "--", "echo", "beside it"}, "beside it")
	f.says([]string{"logs", job}, "start "+job)
	f.goesOn(job)
	f.once(job, 1)
	// The new program ends what the old one has started.
	f.must("stop", job)
	if last := f.ledger(job); last[len(last)-1].What != choreTerm {
		f.Errorf("it ended with %+v", last[len(last)-1])
	}
	f.work(job, a.here())
}

func killedShim(f *farm, a *hand, job string) {
	a.launch().is("registered")
	first := f.work(job, a.here())
	if err := syscall.Kill(parentOf(first.Process), syscall.SIGKILL); err != nil {
		f.Fatal(err)
	}
	f.started(job, 2)
	f.says([]string{"ps", job, "--all"}, "running", "failed")
	f.Log(f.run("ps", job, "--all"))
}

func tornCheckpoint(f *farm, a *hand, job string) {
	a.launch().is("registered")
	f.work(job, a.here())
	a.process.Kill()
	checkpoint := filepath.Join(a.work, "checkpoint")
	text, err := os.ReadFile(checkpoint)
	if err != nil {
		f.Fatal(err)
	}
	// The next frame was written in part: any one begins like the first.
	if err := os.WriteFile(checkpoint, append(text, text[:10]...), 0o600); err != nil {
		f.Fatal(err)
	}
	a.launch().is("registered")
	f.says([]string{"ps", job}, "running")
	f.goesOn(job)
	f.once(job, 1)
}

// A checkpoint that is damaged or gone: the agent is another one, and nothing of the old one lives.
func damagedCheckpoint(f *farm, a *hand, job string) {
	id := a.launch().is("registered")
	f.work(job, a.here())
	a.process.Kill()
	checkpoint := filepath.Join(a.work, "checkpoint")
	text, err := os.ReadFile(checkpoint)
	if err != nil {
		f.Fatal(err)
	}
	text[len(text)/2] ^= 1
	if err := os.WriteFile(checkpoint, text, 0o600); err != nil {
		f.Fatal(err)
	}
	move := fmt.Sprintf("mv %[1]s %[1]s.damaged", checkpoint)
	a.launch().ends(1, "E-DAMAGE", checkpoint, move, "registers as a new agent")
	if err := command("sh", "-c", move); err != nil {
		f.Fatal(err)
	}
	if next := a.launch().is("registered"); next == id {
		f.Errorf("it has still the id %s", id)
	}
	f.says([]string{"ps", job}, "unreachable", "node agents gone "+id)
	f.once(job, 1)
	f.must("agents", "gone", id)
	f.started(job, 2)
}

func rebootedAgent(f *farm, a *hand, job string) {
	id := a.launch().is("registered")
	first := f.work(job, a.here())
	shim := parentOf(first.Process)
	a.process.Kill()
	for _, pid := range []int{shim, first.Process} { // as with a reboot nothing of before lives
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
			f.Fatal(err)
		}
	}
	a.boots("11111111-2222-3333-4444-555555555555")
	if again := a.launch().is("registered"); again != id {
		f.Errorf("it is %s now, and was %s", again, id)
	}
	f.started(job, 2)
	f.says([]string{"ps", job, "--all"}, "failed", "boot")
}

// The work directory was copied to another machine.
func agentOnTwoMachines(f *farm, a *hand, job string) {
	id := a.launch().is("registered")
	f.work(job, a.here())
	b := f.agent("a-other", 20)
	if err := command("cp", "-a", a.work, b.work); err != nil {
		f.Fatal(err)
	}
	b.boots("99999999-2222-3333-4444-555555555555")
	home := filepath.Join(b.work, "home")
	b.launch().ends(1, "E-LOCKED", b.work+" is a copy of "+a.work, "rm "+home)
	// Somebody does that although the other agent runs: the master refuses it too.
	if err := os.Remove(home); err != nil {
		f.Fatal(err)
	}
	other := b.launch().is("registered")
	f.noted(b.process, "starts as a new one", id, "in use on another machine")
	if other == id {
		f.Errorf("two machines are agent %s", id)
	}
	f.goesOn(job)
	f.once(job, 1)
	if again := a.is("registered"); again != id {
		f.Errorf("it is %s now, and was %s", again, id)
	}
	f.says([]string{"ps", job}, "running", a.name)
	out, _ := os.ReadFile(b.log)
	f.Logf("%s", out)
	b.process.Kill()
}

func agentOnAFullDisk(f *farm, a *hand, job string) {
	disk, err := NewDisk(f.c.config.Host, "ext4", f.c.config.Dir, "agentdisk", 64<<20)
	if err != nil {
		f.Fatal(err)
	}
	a.work = filepath.Join(disk.Mount, "work")
	id := a.launch().is("registered")
	f.work(job, a.here())
	if err := disk.Fill(0); err != nil {
		f.Fatal(err)
	}
	// Launches until one does not fit into what is left of the checkpoint's last block.
	launched := 0
	for ; a.process.Alive() && launched < 200; launched++ {
		f.must("run", "--name", fmt.Sprintf("%s-%d", job, launched), "--detach", "--", f.chore)
	}
	a.ends(1, "E-DISKFULL", "free space on the disk of "+a.work, "takes up its tasks")
	f.goesOn(job)
	if err := disk.Unfill(); err != nil {
		f.Fatal(err)
	}
	if again := a.launch().is("registered"); again != id {
		f.Errorf("it is %s now, and was %s", again, id)
	}
	f.says([]string{"ps", job}, "running")
	f.goesOn(job)
	f.once(job, 1)
	f.Logf("%d launches filled the disk", launched)
	a.process.Kill()
	f.sweep(disk.Mount)
	if err := disk.Do(func() error { return unix.Unmount(disk.Mount, unix.MNT_DETACH) }); err != nil {
		f.Error(err)
	}
}

// stoppedAgent stands still for longer than the master waits.
func stoppedAgent(f *farm, a *hand, job string) {
	id := a.launch().is("registered")
	f.work(job, a.here())
	a.process.Signal(syscall.SIGSTOP)
	began := time.Now()
	a.is("unreachable")
	f.Logf("unreachable after %v", time.Since(began))
	f.says([]string{"ps", job}, "unreachable", "node agents gone "+id)
	f.goesOn(job)
	a.process.Signal(syscall.SIGCONT)
	if again := a.is("registered"); again != id {
		f.Errorf("it is %s now, and was %s", again, id)
	}
	f.says([]string{"ps", job}, "running")
	f.goesOn(job)
	f.once(job, 1)
}

// An agent is cut off for longer than its task may run on without a master: the task is dead
// before its replacement starts, and stays so when the agent is back.
func TestATaskIsDeadBeforeItsReplacementRuns(t *testing.T) {
	needs(t, true, "ip", "nft")
	f := newFarm(t, 2, closely...)
	a, b := f.agent("a1", 0), f.agent("a2", 1)
	a.launch().is("registered")
	jobs := map[string]ChoreLine{
		"meek": f.work("meek", "on_unreachable: replace after 10s", "kill_grace: 1s"),
		"deaf": f.work("deaf", "on_unreachable: replace after 10s", "kill_grace: 1s", "env: {CHORE_DEAF: '1'}"), // it is killed
		"keep": f.work("keep"),
	}
	b.launch().is("registered")
	if err := f.c.Network.Apply([]Rule{{a.guest, 0, 100}, {0, a.guest, 100}}); err != nil {
		t.Fatal(err)
	}
	began := Now()
	id := a.is("unreachable")
	f.says([]string{"ps", "keep"}, "unreachable", "node agents gone "+id)
	f.says([]string{"ps", "meek"}, "unreachable", "replace")
	for _, job := range []string{"meek", "deaf"} {
		next := f.started(job, 2)
		last := jobs[job]
		for _, l := range f.ledger(job) {
			if l.Task == last.Task {
				last = l
			}
		}
		t.Logf("%s: cut, its last sign of life after %v, its replacement after %v", job, last.At-began, next.At-began)
		if parentOf(last.Process) != 0 {
			t.Errorf("%s: the process of the first task is still there", job)
		}
	}
	if err := f.c.Network.Apply(nil); err != nil {
		t.Fatal(err)
	}
	if again := a.is("registered"); again != id {
		t.Errorf("it is %s now, and was %s", again, id)
	}
	for _, job := range []string{"meek", "deaf"} {
		f.says([]string{"ps", job}, "running", "a2")
		f.goesOn(job)
		f.once(job, 2)
	}
	f.says([]string{"ps", "keep"}, "running", "a1")
	f.goesOn("keep")
	f.once("keep", 1)
}
