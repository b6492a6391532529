package process

import (
	"runtime"
	"strconv"
	"syscall"
	"unsafe"
)

// launch executes the task. From here on it may have begun, whatever the error: the exit
// that is written then says so.
func (s *shim) launch() error {
	pid, err := s.fork()
	if err != nil {
		err = wrap("execute "+strconv.Quote(s.spec.Argv[0]), err)
		RemoveCgroups(s.group.dirs)
		exit := Exit{Failure: err.Error(), UnixNanos: clock(clockRealtime)}
		if writing := writeRecord(ExitFile, exit.Record(), true); writing != nil {
			return Problem(err.Error() + "; " + writing.Error())
		}
		return err
	}
	fail("state")
	s.group.forked(s.spec)
	for _, l := range s.logs {
		l.started()
	}
	task, _ := ReadStat(pid) // it is ours and not waited for, so it is there
	s.state.Task = task.Process
	s.saveState()
	fail("report")
	return nil
}

// saveState does without a flush: after a power cut the state is of no use.
func (s *shim) saveState() {
	s.unsaved = writeRecord(StateFile, s.state.Record("state"), false) != nil
}

// fork runs on a thread of its own, which enters the cgroups of version 1, so that the task
// is in them from its first instruction; the thread ends with the goroutine.
func (s *shim) fork() (int, error) {
	type result struct {
		pid int
		err error
	}
	done := make(chan result)
	go func() {
		runtime.LockOSThread()
		tid, _, _ := syscall.RawSyscall(syscall.SYS_GETTID, 0, 0, 0)
		for _, dir := range s.group.dirs {
			_ = writeText(dir+"/tasks", strconv.Itoa(int(tid))) // there is none in the unified hierarchy
		}
		pid, err := s.forkExec()
		done <- result{pid, err}
	}()
	r := <-done
	return r.pid, r.err
}

func (s *shim) forkExec() (int, error) {
	spec := s.spec
	null, err := open("/dev/null", syscall.O_RDONLY, 0)
	if err != nil {
		return 0, err
	}
	defer syscall.Close(null)
	attr := &syscall.ProcAttr{
		Dir:   spec.WorkDir,
		Env:   append(spec.Env[:len(spec.Env):len(spec.Env)], RunVariable+"="+spec.Nonce),
		Files: []uintptr{uintptr(null), uintptr(s.logs[0].task), uintptr(s.logs[1].task)},
		Sys:   &syscall.SysProcAttr{Setsid: true},
	}
	if spec.SetUser {
		s.lendLogs()
		attr.Sys.Credential = &syscall.Credential{Uid: uint32(spec.UID), Gid: uint32(spec.GID)}
		for _, g := range spec.Groups {
			attr.Sys.Credential.Groups = append(attr.Sys.Credential.Groups, uint32(g))
		}
	}
	program, err := lookPath(spec)
	if err != nil {
		return 0, err
	}
	for _, signal := range ignored {
		setSignal(signal, false)
		defer setSignal(signal, true)
	}
	if !s.group.unified {
		return syscall.ForkExec(program, spec.Argv, attr)
	}
	return s.forkInto(s.group.dirs[0], program, attr)
}

// forkInto forks into a unified cgroup, or, before Linux 5.7, enters it afterwards.
func (s *shim) forkInto(dir, program string, attr *syscall.ProcAttr) (int, error) {
	const path = 0x200000 // O_PATH
	fd, err := open(dir, path|syscall.O_DIRECTORY, 0)
	if err != nil {
		return 0, err
	}
	defer syscall.Close(fd)
	attr.Sys.UseCgroupFD, attr.Sys.CgroupFD = true, fd
	pid, err := syscall.ForkExec(program, s.spec.Argv, attr)
	if err != syscall.ENOSYS && err != syscall.EINVAL && err != syscall.EBUSY {
		return pid, err
	}
	attr.Sys.UseCgroupFD = false
	pid, err = syscall.ForkExec(program, s.spec.Argv, attr)
	if err == nil {
		_ = writeText(dir+"/cgroup.procs", strconv.Itoa(pid))
	}
	return pid, err
}

// lendLogs lets the task's user open its own standard output again, as by /dev/stdout.
func (s *shim) lendLogs() {
	for _, l := range s.logs {
		_ = syscall.Fchown(l.task, int(s.spec.UID), int(s.spec.GID)) // without the right to, it can still write
	}
}

// lookPath finds the program as a shell would, by the PATH of the task.
func lookPath(s Spec) (string, error) {
	name := s.Argv[0]
	if _, _, slash := cut(name, '/'); slash {
		return name, nil
	}
	path := "/usr/local/bin:/usr/bin:/bin"
	for _, e := range s.Env {
		if k, v, _ := cut(e, '='); k == "PATH" {
			path = v
		}
	}
	const execute = 1
	for more := true; more; {
		var dir string
		dir, path, more = cut(path, ':')
		file := dir + "/" + name
		if dir == "" {
			continue // the working directory, as of old: no
		}
		var st syscall.Stat_t
		if syscall.Stat(file, &st) == nil && st.Mode&syscall.S_IFMT == syscall.S_IFREG && syscall.Access(file, execute) == nil {
			return file, nil
		}
	}
	return "", syscall.ENOENT
}

// An event is of a child that has ended; of pid 0: there is none left, of the task or of
// what it left behind.
type event struct {
	pid    int
	status syscall.WaitStatus
	usage  syscall.Rusage
}

const eventBytes = int(unsafe.Sizeof(event{}))

// pipe makes the one on which reap tells.
func (s *shim) pipe() (write int, err error) {
	var ends [2]int
	err = syscall.Pipe2(ends[:], syscall.O_CLOEXEC)
	s.reaped = ends[0]
	return ends[1], wrap("pipe", err)
}

// reap waits for children, until there is none left; its pipe wakes the poll.
func reap(write int) {
	for {
		var e event
		pid, err := syscall.Wait4(-1, &e.status, 0, &e.usage)
		if err == syscall.EINTR {
			continue
		}
		if err == nil {
			e.pid = pid
		}
		_ = writeAll(write, unsafe.Slice((*byte)(unsafe.Pointer(&e)), eventBytes))
		if e.pid == 0 {
			return
		}
	}
}

// nextEvent reads one, whole: a pipe takes less than a page at once.
func (s *shim) nextEvent() (e event) {
	p := unsafe.Slice((*byte)(unsafe.Pointer(&e)), eventBytes)
	for {
		n, err := syscall.Read(s.reaped, p)
		if err == syscall.EINTR {
			continue
		}
		if err != nil || n != eventBytes {
			panic("shim: the pipe of events broke")
		}
		return e
	}
}
