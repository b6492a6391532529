package chaos

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// exitLockLost is the exit code of a command line whose lock was lost meanwhile.
const exitLockLost = 75

// lockCommands are command lines that want one lock, each with a command that writes
// its token down and stays.
type lockCommands struct {
	*testing.T
	c    *Cluster
	file string
}

// start starts one and waits until it stands in the queue as number place, from 1.
func (l *lockCommands) start(name string, place int) *Process {
	l.Helper()
	script := fmt.Sprintf(`echo "%s $SYNOD_TOKEN" >> %s; exec sleep 1000`, name, l.file)
	argv := append([]string(nil), l.c.config.Program...)
	argv = append(argv, "lock", "--addr", strings.Join(l.c.all(), ","), "--session-timeout", sessionTimeout.String(), "--value", name, "job", "--", "sh", "-c", script)
	p, err := StartProcess(l.c.config.Host, nil, name, filepath.Join(l.c.config.Dir, name+".log"), argv)
	if err != nil {
		l.Fatal(err)
	}
	l.Cleanup(p.Kill)
	err = poll(20*time.Second, func() error {
		list, err := l.c.HTTP.List(l.Context(), l.c.Nodes[0].API, "job", LevelLinearizable)
		if err == nil && len(list.Entries) != place {
			err = fmt.Errorf("%d stand in the queue", len(list.Entries))
		}
		return err
	})
	if err != nil {
		l.Fatalf("%s does not queue up: %v, see %s", name, err, p.Log)
	}
	return p
}

// holds waits until the command of the number-th holder has begun and returns its
// token.
func (l *lockCommands) holds(number int, name string, limit time.Duration) (token uint64) {
	l.Helper()
	began := time.Now()
	err := poll(limit, func() error {
		text, err := os.ReadFile(l.file)
		if err != nil {
			return err
		}
		list := strings.Split(string(text), "\n")
		list = list[:len(list)-1] // behind the last end of line stands nothing, or half a line
		if len(list) < number {
			return fmt.Errorf("%d have begun", len(list))
		}
		if _, err := fmt.Sscanf(list[number-1], name+" %d", &token); err != nil || len(list) > number {
			return fatal{fmt.Errorf("%q, want %s as number %d", list, name, number)}
		}
		return nil
	})
	if err != nil {
		l.Fatalf("%s does not hold: %v", name, err)
	}
	l.Logf("%s holds after %v", name, time.Since(began).Round(time.Millisecond))
	return token
}

// What users do: a command line that is killed makes room at once, one that stands still
// when its session has timed out, and then ends.
func TestLockCommandsUnderFaults(t *testing.T) {
	c := smallCluster(t, 3, nil)
	l := &lockCommands{t, c, filepath.Join(c.config.Dir, "tokens")}
	first := l.start("first", 1)
	a := l.holds(1, "first", 10*time.Second)
	second := l.start("second", 2)
	third := l.start("third", 3)

	first.Kill()
	b := l.holds(2, "second", afterDeath+3*time.Second) // some for starting a shell on a busy machine
	leader, err := c.WaitLeader(t.Context(), recoverLimit)
	if err != nil {
		t.Fatal(err)
	}
	c.Kill(leader)
	if err := c.Start(leader); err != nil {
		t.Fatal(err)
	}
	if err := c.WaitHealthy(t.Context(), recoverLimit); err != nil {
		t.Fatal(err)
	}
	if !second.Alive() || !third.Alive() {
		t.Fatalf("the leader was killed, and with it ended the holder (lives: %t) or who waits (%t)", second.Alive(), third.Alive())
	}

	second.Signal(syscall.SIGSTOP)
	d := l.holds(3, "third", afterSilence+3*time.Second)
	second.Signal(syscall.SIGCONT)
	if code, err := second.Ended(20 * time.Second); err != nil || code != exitLockLost {
		t.Errorf("who stood still ended with code %d, %v; want %d", code, err, exitLockLost)
	}
	if a >= b || b >= d {
		t.Errorf("tokens are %d, %d, %d: each must be higher than the one before", a, b, d)
	}
	third.Signal(syscall.SIGTERM)
	if code, err := third.Ended(20 * time.Second); err != nil || code != 128+int(syscall.SIGTERM) {
		t.Errorf("whose command was ended by SIGTERM ended with code %d, %v", code, err)
	}
	if list, err := c.HTTP.List(t.Context(), c.Nodes[0].API, "job", LevelLinearizable); err == nil && len(list.Entries) > 0 {
		t.Errorf("keys are left: %v", list.Entries)
	}
}
