package process

import (
	"strconv"
	"syscall"
)

func init() {
	if value, ok := syscall.Getenv(Marker); ok {
		syscall.Exit(run(value))
	}
}

// A shim is the whole state of one.
type shim struct {
	spec  Spec
	state State
	group *group
	logs  [2]*log

	locked   int // the lock's file
	listener int
	reaped   int // a pipe on which the goroutine that waits for children tells of them
	lifeline int // a pipe that closes when nobody wants the task any more; -1: there is none
	conns    []*conn
	buffer   []byte // for logs
	input    [1024]byte

	unsaved      bool  // the state is not on disk yet
	killing      bool  // a Kill was asked for
	killWait     int64 // before it is tried again
	killAt       int64 // when to kill all there is; 0: not to
	ended        bool  // the task itself
	gone         bool  // all its processes too: exit is whole
	exit         Exit
	written      bool  // exit is on disk
	retryAt      int64 // when to try again to write
	leaveAt      int64
	acknowledged bool // the exit was acknowledged
	abandoned    bool // the lifeline has closed: nobody will acknowledge it
}

// run is the shim's main; its working directory is the run directory.
func run(version string) int {
	syscall.CloseOnExec(ReportFD)
	s := &shim{locked: -1, lifeline: -1, buffer: make([]byte, 16<<10)}
	if _, ok := syscall.Getenv(LifelineVariable); ok {
		syscall.CloseOnExec(LifelineFD)
		s.lifeline = LifelineFD
	}
	err := s.start(version)
	if err != nil {
		syscall.Close(s.locked) // who hears of the failure finds nobody here
	}
	report(err)
	if err != nil {
		return 1
	}
	fail("serve")
	s.serve()
	return 0
}

// report tells the starter, if it still lives.
func report(err error) {
	r := Record{Kind: "report"}
	if err != nil {
		r.Add("problem", err.Error())
	}
	_ = writeAll(ReportFD, r.Encode())
	syscall.Close(ReportFD)
}

// start does all up to the report. Each step that leaves a trace has a name, at which the
// tests kill the shim.
func (s *shim) start(version string) error {
	if version != strconv.Itoa(Version) {
		return Problem("a shim of version " + strconv.Quote(version) + " was asked for, this is version " + strconv.Itoa(Version))
	}
	fail("lock")
	if err := s.lock(); err != nil {
		return err
	}
	protect()
	fail("listen")
	if err := s.listen(); err != nil {
		return err
	}
	for i, name := range []string{StdoutFile, StderrFile} {
		var err error
		if s.logs[i], err = openLog(name, s.spec.LogBytes); err != nil {
			return err
		}
	}
	reaper, err := s.pipe()
	if err != nil {
		return err
	}
	fail("cgroup")
	s.group = makeGroup(s.spec)
	self, _ := ReadStat(syscall.Getpid())
	s.state = State{Nonce: s.spec.Nonce, Boot: BootID(), Shim: self.Process,
		Cgroups: s.group.dirs, Isolation: s.group.isolation(), Enforced: s.group.enforced}
	fail("started")
	if err := writeRecord(StartedFile, s.state.Record("started"), true); err != nil {
		RemoveCgroups(s.group.dirs)
		return err
	}
	fail("exec")
	if err := s.launch(); err != nil {
		return err
	}
	go reap(reaper)
	return nil
}

// lock makes sure that this is the only shim that ever comes so far in this directory.
// The lock is on the open file, which no child keeps: it is closed by the exec. Should
// the shim die between fork and exec, the lock is held for that moment by the child.
func (s *shim) lock() error {
	fd, err := open(LockFile, syscall.O_RDWR|syscall.O_CREAT, 0o600)
	if err != nil {
		return wrap("open lock", err)
	}
	if err := syscall.Flock(fd, syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		syscall.Close(fd)
		return Problem("lock is held: another shim runs here, or an agent looks at what is left of one")
	}
	s.locked = fd
	if exists(StartedFile) {
		return Problem("a task was started here before")
	}
	text, err := readFile(SpecFile, maxRecord)
	if exists(SealedFile) {
		err = syscall.ENOENT
	}
	if err == syscall.ENOENT {
		return Problem("no spec: the run was given up before it began")
	}
	if err != nil {
		return wrap("read spec", err)
	}
	r, err := Decode(text)
	if err != nil {
		return err
	}
	s.spec, err = ReadSpec(r)
	return err
}

// protect makes the shim outlive its terminal and adopt what the task leaves behind.
func protect() {
	syscall.Umask(0o022)
	syscall.RawSyscall(syscall.SYS_PRCTL, prSetChildSubreaper, 1, 0)
	setSignal(syscall.SIGTERM, true)
	for _, signal := range inherited {
		if setSignal(signal, true) {
			ignored = append(ignored, signal)
		}
	}
}

// inherited are the signals that Go's runtime leaves ignored if the starter ignores them, as
// under nohup. The task shall not ignore them for that.
var (
	inherited = []syscall.Signal{syscall.SIGHUP, syscall.SIGINT}
	ignored   []syscall.Signal
)

// listen binds by a relative name: the path of a socket has 108 bytes at most.
func (s *shim) listen() error {
	fd, err := syscall.Socket(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC|syscall.SOCK_NONBLOCK, 0)
	if err != nil {
		return wrap("socket", err)
	}
	syscall.Unlink(Socket) // of a shim that died before it had started anything
	if err := syscall.Bind(fd, &syscall.SockaddrUnix{Name: Socket}); err != nil {
		return wrap("bind socket", err)
	}
	if err := syscall.Chmod(Socket, 0o600); err != nil {
		return wrap("chmod socket", err)
	}
	s.listener = fd
	return wrap("listen", syscall.Listen(fd, maxConns))
}

// fail kills the shim before a step if a test says so.
func fail(step string) {
	if name, _ := syscall.Getenv(FailVariable); name == step {
		_ = syscall.Kill(syscall.Getpid(), syscall.SIGKILL)
		select {}
	}
}
