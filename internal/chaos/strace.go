package chaos

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"
)

// straceWrites are the calls by which a log reaches its disk.
const straceWrites = "pwrite64,pwritev,pwritev2,write,fdatasync,fsync"

// Injection is a strace that makes calls of a running process fail.
type Injection struct {
	process *Process
}

// Inject attaches strace to target. What is the injection in strace's words, for
// example "error=EIO"; it hits calls on files below dir.
func Inject(host *Host, target *Process, calls, what, dir string) (*Injection, error) {
	files, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", target.Pid()))
	if err != nil {
		return nil, fmt.Errorf("chaos: open files of %s: %w", target.Name, err)
	}
	log := target.Log + ".strace"
	argv := []string{"strace", "-f", "-q", "-o", log + ".calls", "-p", fmt.Sprint(target.Pid()),
		"-e", "trace=" + calls, "-e", "inject=" + calls + ":" + what}
	for _, f := range files {
		path, err := os.Readlink(fmt.Sprintf("/proc/%d/fd/%s", target.Pid(), f.Name()))
		if err == nil && inside(path, dir) {
			argv = append(argv, "-P", path)
		}
	}
	p, err := StartProcess(host, nil, "strace of "+target.Name, log, argv)
	if err != nil {
		return nil, err
	}
	return &Injection{p}, p.attached(target)
}

func inside(path, dir string) bool {
	rest, err := filepath.Rel(dir, path)
	return err == nil && filepath.IsLocal(rest)
}

// attached waits until the process traces target.
func (p *Process) attached(target *Process) error {
	return poll(5*time.Second, func() error {
		status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", target.Pid()))
		if err != nil {
			return nil // it has ended already, which the injection may well have caused
		}
		for line := range lines(string(status)) {
			var tracer int
			if _, err := fmt.Sscanf(line, "TracerPid: %d", &tracer); err == nil && tracer == p.Pid() {
				return nil
			}
		}
		return fmt.Errorf("chaos: strace does not trace %s", target.Name)
	})
}

// End detaches strace; the target goes on unharmed if it still runs.
func (i *Injection) End() {
	i.process.Signal(syscall.SIGTERM)
	if _, err := i.process.Ended(5 * time.Second); err != nil {
		i.process.Kill()
	}
}

// lookup reports which of programs are not installed.
func lookup(programs ...string) error {
	var errs []error
	for _, program := range programs {
		_, err := exec.LookPath(program)
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// failStopLimit is how long a node may live on after its log has failed.
const failStopLimit = 10 * time.Second

// harmDisk makes the disk of one node fail in some way.
func (r *Run) harmDisk(ctx context.Context, f Fault, leader int) error {
	target := r.targets(f, leader)[0]
	if f.Pick%2 == 0 {
		target = leader
	}
	node := r.cluster.Nodes[target]
	switch f.Kind {
	case WriteError:
		return r.failStop(ctx, f, target, "error=EIO")
	case NoSpace:
		return r.failStop(ctx, f, target, "error=ENOSPC")
	case SlowDisk:
		injection, err := Inject(r.config.Cluster.Host, node.Process(), straceWrites, "delay_enter=50ms", node.Dir)
		if err != nil {
			return err
		}
		defer injection.End()
		return hold(ctx, f.Hold)
	case LyingDisk:
		return r.lie(ctx, f, target)
	}
	if err := node.Disk.Fill(0); err != nil {
		return err
	}
	return errors.Join(hold(ctx, f.Hold), node.Disk.Unfill())
}

// failStop makes the writes of a node's log fail. The node must end by itself
// with an exit code that says so; it is started again on the same disk.
func (r *Run) failStop(ctx context.Context, f Fault, target int, what string) error {
	node := r.cluster.Nodes[target]
	node.planned()
	injection, err := Inject(r.config.Cluster.Host, node.Process(), straceWrites, what, node.Dir)
	if err != nil {
		return err
	}
	code, err := node.Process().Ended(failStopLimit)
	injection.End()
	switch {
	case err != nil:
		return fmt.Errorf("%s after its log failed: %w", node.Name, err)
	case code <= 0:
		return fmt.Errorf("chaos: %s ended with code %d after its log failed", node.Name, code)
	}
	node.remember()
	if err := hold(ctx, f.Hold); err != nil {
		return err
	}
	return r.cluster.Start(target)
}

// lie is a disk that reports its flushes and forgets them: at the power cut the
// node's disk is as it was when the fault began. One node that forgets what it
// promised must not cost the cluster anything that a majority has: only this node's
// own word was worth nothing.
func (r *Run) lie(ctx context.Context, f Fault, target int) error {
	node := r.cluster.Nodes[target]
	if err := node.Disk.Remember(); err != nil {
		return err
	}
	err := errors.Join(hold(ctx, f.Hold), r.power(ctx, []int{target}), node.Disk.Forget())
	if err != nil {
		return err
	}
	// Until the others have gone on without it, an entry may stand on this node's
	// broken word and one copy fewer than a majority; back with a vote and without
	// memory the node could help to elect one that lacks the entry. That is beyond
	// what any majority protocol promises, so the node waits until every entry it
	// vouched for has a majority without it.
	if _, err := r.awaitWrites(ctx, r.config.Floor); err != nil {
		return fmt.Errorf("without the node whose disk lied: %w", err)
	}
	if err := r.cluster.Start(target); err != nil {
		return err
	}
	return r.mend(target)
}

// mend brings a node back whose disk has forgotten what it acknowledged. Its peers
// have heard more of it and refuse it: it must end and say so, and is started
// again as it says, as a new member. It runs on if its disk has forgotten nothing.
func (r *Run) mend(target int) error {
	node := r.cluster.Nodes[target]
	node.planned()
	code, err := node.Process().Ended(refuseLimit)
	if err != nil {
		node.expected()
		return nil
	}
	node.remember()
	log, err := os.ReadFile(node.Log)
	if err != nil {
		return err
	}
	if tail := log[max(0, len(log)-4096):]; code != 1 || !bytes.Contains(tail, []byte("E-LOST")) {
		return fmt.Errorf("chaos: %s ended with code %d and without E-LOST after its disk forgot, see %s", node.Name, code, node.Log)
	}
	node.Bootstrap = false
	if err := node.Disk.Do(func() error { return os.RemoveAll(node.Dir) }); err != nil {
		return err
	}
	return errors.Join(r.cluster.Start(target), r.cluster.WaitHealthy(context.Background(), recoverLimit))
}

// refuseLimit is how long the peers of a node may take to refuse it.
const refuseLimit = 5 * time.Second
