package mesos

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

var launchMutantsFlag = flag.String("launch.mutants", "", "planted bugs to hunt in worlds of kills: all, or a part of a name")

// launchMutant is a planted bug: old, which is once in file, is replaced by new.
type launchMutant struct{ name, file, old, new string }

// launchMutants are the bugs that these worlds find. Those of what comes very late
// (Launch.Sequence, Register.Attempt and Sequence) they do not: TestAContainerIsStartedOnce, TestOnlyTheAnswerToTheLastRegisterCounts
// and TestRegisterThatComesLateIsDropped do.
var launchMutants = []launchMutant{
	{"no bar", "recover.go", "	case !f.Barred:\n		return Bar\n", "	case false:\n		return Bar\n"},
	{"a container that is known is started again", "agentlaunch.go", "	case a.knows(m.Container):\n", "	case a.tasks[m.Container] != nil:\n"},
	{"a task is not saved before it starts", "agentlaunch.go", "	a.out.Start = append(a.out.Start,", "	a.out.Save = a.out.Save[:len(a.out.Save)-1]\n	a.out.Start = append(a.out.Start,"},
	{"an update is not saved", "updates.go", "	a.save(Record{Kind: RecordUpdate, Status: s})\n", "	_ = a.apply(Record{Kind: RecordUpdate, Status: s})\n"},
	{"an acknowledgement is not saved", "updates.go", "		a.save(Record{Kind: RecordAcknowledged, Container: t.Container, Update: m.ID})\n",
		"		_ = a.apply(Record{Kind: RecordAcknowledged, Container: t.Container, Update: m.ID})\n"},
	{"what is acknowledged is sent", "updates.go", "			return ok && u.Status.ID == m.ID\n", "			return ok && u.Status.ID == m.ID && false\n"},
	{"any update is acknowledged", "updates.go", " || t.pending[0].ID != m.ID {", " {"},
	{"the term is not looked at", "agent.go", "	if t == 0 || t < a.term {\n", "	if t == 0 {\n"},
	{"a master says GONE before the agent has come", "reconcile.go", "			if !m.surelyAbsent(r.Agent) {\n				return\n			}\n			s.State = Gone\n",
		"			s.State = Gone\n"},
	{"an orphan counts as ended", "recover.go", "	case f.TaskAlive:\n		return Orphaned\n", "	case f.TaskAlive:\n		return Vanished\n"},
	{"what has started counts as never started", "recover.go", "	case f.Started:\n		return Vanished\n", "	case f.Started:\n		return NeverStarted\n"},
	{"a lock that is held is not looked at again", "recover.go", "	case f.LockHeld:\n		return LookAgain\n", ""},
	{"the exit is believed after the boot", "recover.go", "	case f.Exit != nil:\n		return Ended\n	case f.Rebooted && f.Started:\n",
		"	case f.Exit != nil && !f.Rebooted:\n		return Ended\n	case f.Rebooted && f.Started:\n"},
}

// source is the file with the bug in it.
func (m launchMutant) source() (string, error) {
	data, err := os.ReadFile(m.file)
	if err != nil {
		return "", err
	}
	if n := strings.Count(string(data), m.old); n != 1 {
		return "", fmt.Errorf("the place of %q is %d times in %s", m.name, n, m.file)
	}
	return strings.Replace(string(data), m.old, m.new, 1), nil
}

func TestLaunchMutantsAreWhole(t *testing.T) {
	for _, m := range launchMutants {
		if _, err := m.source(); err != nil {
			t.Error(err)
		}
	}
}

// TestLaunchMutants builds this package with each planted bug, by an overlay, and wants the worlds of kills
// to find it within three minutes.
func TestLaunchMutants(t *testing.T) {
	if *launchMutantsFlag == "" {
		t.Skip("hunts only with -launch.mutants")
	}
	for _, m := range launchMutants {
		if *launchMutantsFlag != "all" && !strings.Contains(m.name, *launchMutantsFlag) {
			continue
		}
		t.Run(strings.ReplaceAll(m.name, " ", "-"), func(t *testing.T) {
			out := m.hunt(t)
			if !strings.Contains(out, "CAUGHT") {
				t.Errorf("not found within three minutes: %s", out)
				return
			}
			t.Log(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(out), "PASS")))
		})
	}
}

// hunt runs TestLaunchHunt in a binary with the bug.
func (m launchMutant) hunt(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	text, err := m.source()
	if err != nil {
		t.Fatal(err)
	}
	file, overlay, binary := filepath.Join(dir, "mutant.go"), filepath.Join(dir, "overlay.json"), filepath.Join(dir, "mesos.test")
	where, err := filepath.Abs(m.file)
	if err == nil {
		err = os.WriteFile(file, []byte(text), 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	names, _ := json.Marshal(map[string]map[string]string{"Replace": {where: file}})
	if err := os.WriteFile(overlay, names, 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.CommandContext(t.Context(), "go", "test", "-c", "-overlay", overlay, "-o", binary, ".").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	out, _ := exec.CommandContext(ctx, binary, "-test.run=^TestLaunchHunt$", "-launch.hunt=3m").CombinedOutput()
	return string(out)
}
