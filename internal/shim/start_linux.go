package shim

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"

	"github.com/synod-go/synod/internal/shim/process"
)

// hooks are for tests.
var hooks struct {
	env         []string         // of the shim, beside its own
	specWritten func(dir string) // called between the spec and the shim
}

// Start makes the run directory and a shim in it, and returns when the task is executed.
// An error that is *RefusedError or ErrUsed says that nothing runs for this call. Any other, and that of
// ctx, leaves it open: Observe tells.
func Start(ctx context.Context, spec Spec) error {
	s, err := spec.process()
	if err != nil {
		return err
	}
	dir, err := filepath.Abs(spec.Dir)
	if err != nil {
		return fmt.Errorf("shim: run directory %s: %w", spec.Dir, err)
	}
	if s.WorkDir == "" {
		s.WorkDir = dir
	}
	if err := prepare(dir, s); err != nil {
		return err
	}
	if hooks.specWritten != nil {
		hooks.specWritten(dir)
	}
	report, err := spawn(dir, spec.Lifeline)
	if err != nil {
		return fmt.Errorf("shim: start in %s: %w", dir, err)
	}
	defer report.Close()
	stop := context.AfterFunc(ctx, func() { report.Close() })
	defer stop()
	text, err := io.ReadAll(io.LimitReader(report, process.MaxMessage))
	if ctx.Err() != nil {
		return ctx.Err()
	}
	r, failure := process.Decode(text)
	if err = errors.Join(err, failure); err != nil {
		return fmt.Errorf("shim: it died while it started in %s: %w", dir, err)
	}
	if problem := r.Get("problem"); problem != "" {
		return &RefusedError{Problem: problem}
	}
	return nil
}

// prepare makes the run directory, of which a power cut leaves no less than a shim has
// left there, and writes the spec.
func prepare(dir string, s process.Spec) error {
	if err := os.Mkdir(dir, 0o700); errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("shim: %s: %w", dir, ErrUsed)
	} else if err != nil {
		return &RefusedError{Problem: err.Error()}
	}
	r := s.Record()
	err := writeWhole(filepath.Join(dir, process.SpecFile), r.Encode())
	if err == nil {
		err = syncDir(filepath.Dir(dir))
	}
	if err != nil {
		return &RefusedError{Problem: err.Error()}
	}
	return nil
}

// process returns what the shim needs.
func (s Spec) process() (process.Spec, error) {
	p := process.Spec{Argv: s.Argv, Env: s.Env, WorkDir: s.WorkDir, MemoryBytes: s.Limits.MemoryBytes, MilliCPUs: s.Limits.MilliCPUs,
		Pids: s.Limits.Pids, LogBytes: s.LogBytes, LingerNanos: int64(s.Linger), CgroupParent: s.CgroupParent}
	if s.Shell != "" {
		if len(s.Argv) > 0 {
			return p, &RefusedError{Problem: "both Argv and Shell are set"}
		}
		p.Argv = []string{"/bin/sh", "-c", s.Shell}
	}
	if len(p.Argv) == 0 || p.Argv[0] == "" {
		return p, &RefusedError{Problem: "no command"}
	}
	switch p.CgroupParent {
	case "":
		p.CgroupParent = "synod"
	case "-":
		p.CgroupParent = ""
	}
	if p.CgroupParent != "" && !filepath.IsLocal(p.CgroupParent) {
		return p, &RefusedError{Problem: "cgroup " + p.CgroupParent + " is no relative path"}
	}
	if p.LingerNanos == 0 {
		p.LingerNanos = int64(defaultLinger)
	}
	var nonce [10]byte
	if _, err := rand.Read(nonce[:]); err != nil {
		return p, err
	}
	p.Nonce = hex.EncodeToString(nonce[:])
	return p, setUser(&p, s.User)
}

func setUser(p *process.Spec, name string) error {
	if name == "" {
		return nil
	}
	u, err := user.Lookup(name)
	if err != nil {
		if u, err = user.LookupId(name); err != nil {
			return &RefusedError{Problem: "user " + name + ": " + err.Error()}
		}
	}
	ids, err := u.GroupIds()
	if err != nil {
		return &RefusedError{Problem: "groups of user " + name + ": " + err.Error()}
	}
	p.SetUser = true
	p.UID, _ = strconv.ParseInt(u.Uid, 10, 64)
	p.GID, _ = strconv.ParseInt(u.Gid, 10, 64)
	for _, id := range ids {
		g, _ := strconv.ParseInt(id, 10, 64)
		p.Groups = append(p.Groups, g)
	}
	return nil
}

// spawn runs this program again as a shim. Its report comes by a pipe, which it closes
// when it has started: nothing else connects the two.
func spawn(dir string, lifeline *os.File) (report *os.File, err error) {
	null, err := os.Open(os.DevNull)
	if err != nil {
		return nil, err
	}
	defer null.Close()
	stderr, err := os.OpenFile(filepath.Join(dir, process.ErrorFile), os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return nil, err
	}
	defer stderr.Close()
	report, write, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer write.Close()
	pidFD := -1
	attr := &syscall.ProcAttr{
		Dir: dir,
		// One processor and an early collection: a shim is small and has little to do.
		Env: append([]string{process.Marker + "=" + strconv.Itoa(process.Version), "GOMAXPROCS=1", "GOGC=10"}, hooks.env...),
		// The last is process.ReportFD, unless there is a lifeline.
		Files: []uintptr{null.Fd(), stderr.Fd(), stderr.Fd(), write.Fd()},
		Sys:   &syscall.SysProcAttr{Setsid: true, PidFD: &pidFD},
	}
	if lifeline != nil {
		attr.Env = append(attr.Env, process.LifelineVariable+"=1")
		attr.Files = append(attr.Files, lifeline.Fd()) // as process.LifelineFD
	}
	pid, err := syscall.ForkExec("/proc/self/exe", []string{"synod-shim", filepath.Base(dir)}, attr)
	if err != nil {
		report.Close()
		return nil, err
	}
	go wait(pid, pidFD)
	return report, nil
}

// wait takes the shim's end, should it come before this program's. With a pidfd it costs no thread.
func wait(pid, pidFD int) {
	if pidFD >= 0 && syscall.SetNonblock(pidFD, true) == nil {
		f := os.NewFile(uintptr(pidFD), "pidfd")
		defer f.Close()
		if c, err := f.SyscallConn(); err == nil {
			err = c.Read(func(uintptr) bool {
				got, err := syscall.Wait4(pid, nil, syscall.WNOHANG, nil)
				return got == pid || err != nil && err != syscall.EINTR
			})
			if err == nil {
				return
			}
		}
	}
	for {
		if _, err := syscall.Wait4(pid, nil, 0, nil); err != syscall.EINTR {
			return
		}
	}
}

// writeWhole makes a file that is there whole or not at all.
func writeWhole(name string, text []byte) error {
	temporary := name + ".tmp"
	err := os.WriteFile(temporary, text, 0o600)
	if err == nil {
		err = os.Rename(temporary, name)
	}
	return err
}

func syncDir(name string) error {
	d, err := os.Open(name)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}
