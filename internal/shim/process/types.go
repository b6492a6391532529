package process

import "strconv"

// Names of what is in a run directory.
const (
	SpecFile    = "spec"        // what to run; written by the starter
	SealedFile  = "spec.sealed" // the spec after an agent gave up, or an empty file: nothing will be started
	LockFile    = "lock"        // held by the shim while it lives
	StartedFile = "started"     // durable before the exec
	StateFile   = "state"       // who is who, of use while the machine is not booted again
	ExitFile    = "exit"        // durable: how the task ended
	Socket      = "socket"
	StdoutFile  = "stdout"
	StderrFile  = "stderr"
	OldSuffix   = ".1"       // of a log that was rotated
	ErrorFile   = "shim.err" // what the shim itself has to say when it breaks
)

// What a shim gets from its starter beside the spec.
const (
	// Marker in the environment makes a process a shim.
	Marker = "SYNOD_SHIM"
	// FailVariable names the step before which a shim kills itself: for tests.
	FailVariable = "SYNOD_SHIM_FAIL"
	// ReportFD is where it reports, with a record of kind report, and then closes.
	ReportFD = 3
	// LifelineVariable in the environment says that LifelineFD is one end of a pipe: the task ends when all other ends are closed.
	LifelineVariable = "SYNOD_SHIM_LIFELINE"
	LifelineFD       = 4
	// RunVariable in the environment of a task holds the Nonce of its spec: processes
	// that have left the task's session are found by it when the shim is dead.
	RunVariable = "SYNOD_RUN"
)

// A Spec is what to run.
type Spec struct {
	Nonce   string   // names this run, and no other
	Argv    []string // the program is looked for in the PATH of Env unless it has a slash
	Env     []string // all of it
	WorkDir string
	// UID, GID and Groups are who it runs as, if SetUser.
	SetUser  bool
	UID, GID int64
	Groups   []int64

	MemoryBytes int64 // 0: no limit; likewise below
	MilliCPUs   int64
	Pids        int64
	// CgroupParent is the cgroup below which the task gets its own; "" for none.
	CgroupParent string
	// LogBytes bounds each log file: one before it is kept. 0: the task writes into the
	// file itself, without a bound.
	LogBytes int64
	// LingerNanos is how long the shim waits for the acknowledgement.
	LingerNanos int64
}

// Record returns the record of kind spec.
func (s Spec) Record() Record {
	r := Record{Kind: "spec"}
	r.Add("nonce", s.Nonce)
	r.AddAll("arg", s.Argv)
	r.AddAll("env", s.Env)
	r.Add("workdir", s.WorkDir)
	r.AddBool("user", s.SetUser)
	r.AddInt("uid", s.UID)
	r.AddInt("gid", s.GID)
	for _, g := range s.Groups {
		r.Add("group", strconv.FormatInt(g, 10))
	}
	r.AddInt("memory", s.MemoryBytes)
	r.AddInt("cpus", s.MilliCPUs)
	r.AddInt("pids", s.Pids)
	r.Add("cgroup", s.CgroupParent)
	r.AddInt("logs", s.LogBytes)
	r.AddInt("linger", s.LingerNanos)
	return r
}

// ReadSpec is the inverse of Record.
func ReadSpec(r Record) (Spec, error) {
	s := Spec{Nonce: r.Get("nonce"), Argv: r.All("arg"), Env: r.All("env"), WorkDir: r.Get("workdir"),
		SetUser: r.Int("user") != 0, UID: r.Int("uid"), GID: r.Int("gid"), MemoryBytes: r.Int("memory"), MilliCPUs: r.Int("cpus"),
		Pids: r.Int("pids"), CgroupParent: r.Get("cgroup"), LogBytes: r.Int("logs"), LingerNanos: r.Int("linger")}
	for _, text := range r.All("group") {
		g, err := strconv.ParseInt(text, 10, 64)
		if err != nil {
			return Spec{}, Problem("spec: group " + strconv.Quote(text))
		}
		s.Groups = append(s.Groups, g)
	}
	if err := r.Err("spec"); err != nil {
		return Spec{}, err
	}
	if len(s.Argv) == 0 || s.Argv[0] == "" || s.Nonce == "" {
		return Spec{}, Problem("spec: no command")
	}
	return s, nil
}

// A Process is one of the machine's, told from a later one of the same pid by its start.
type Process struct {
	PID   int
	Start uint64 // in clock ticks since boot, as in /proc/PID/stat
}

// State is who is who in a run.
type State struct {
	Nonce, Boot string
	Shim        Process
	Task        Process // its pid is the id of its session too; 0 before the exec
	// Cgroups are the directories of the task's cgroups, the one to kill by first.
	Cgroups []string
	// Isolation is cgroup2, cgroup1 or session: what is killed when the task is killed.
	Isolation string
	// Enforced are the limits that the kernel holds: memory, cpu, pids.
	Enforced []string
}

// Record returns the record: of kind state, or started before the exec.
func (s State) Record(kind string) Record {
	r := Record{Kind: kind}
	r.Add("nonce", s.Nonce)
	r.Add("boot", s.Boot)
	r.AddInt("shim", int64(s.Shim.PID))
	r.AddInt("shim-start", int64(s.Shim.Start))
	r.AddInt("task", int64(s.Task.PID))
	r.AddInt("task-start", int64(s.Task.Start))
	r.Add("isolation", s.Isolation)
	r.AddAll("cgroup", s.Cgroups)
	r.AddAll("enforced", s.Enforced)
	return r
}

// ReadState is the inverse of Record.
func ReadState(r Record, kind string) (State, error) {
	s := State{Nonce: r.Get("nonce"), Boot: r.Get("boot"), Isolation: r.Get("isolation"), Cgroups: r.All("cgroup"), Enforced: r.All("enforced"),
		Shim: Process{int(r.Int("shim")), uint64(r.Int("shim-start"))},
		Task: Process{int(r.Int("task")), uint64(r.Int("task-start"))}}
	return s, r.Err(kind)
}

// Exit is how a task ended.
type Exit struct {
	// Code is its exit code if Signal is 0; otherwise that signal ended it.
	Code, Signal int
	// Failure is why it was not executed at all, "" if it was.
	Failure string
	// UnixNanos is when.
	UnixNanos int64
	// Killed: a Kill was asked for before it ended.
	Killed bool
	// OOMKills is how many of its processes the kernel killed for want of memory in
	// its cgroup.
	OOMKills     int64
	MaxRSSBytes  int64
	UserNanos    int64
	SystemNanos  int64
	LogBytesLost int64 // what could not be written to a full or broken disk
}

// OutOfMemory reports whether the limit of its memory ended it. A shell tells the signal of
// a child that ended so by 128 and its number.
func (e Exit) OutOfMemory() bool {
	return e.OOMKills > 0 && !e.Killed && (e.Signal == 9 || e.Code == 128+9)
}

// Record returns the record of kind exit.
func (e Exit) Record() Record {
	r := Record{Kind: "exit"}
	r.AddInt("code", int64(e.Code))
	r.AddInt("signal", int64(e.Signal))
	if e.Failure != "" {
		r.Add("failure", e.Failure)
	}
	r.AddInt("time", e.UnixNanos)
	r.AddBool("killed", e.Killed)
	r.AddInt("oom-kills", e.OOMKills)
	r.AddInt("maxrss", e.MaxRSSBytes)
	r.AddInt("user", e.UserNanos)
	r.AddInt("system", e.SystemNanos)
	r.AddInt("lost", e.LogBytesLost)
	return r
}

// ReadExit is the inverse of Record.
func ReadExit(r Record) (Exit, error) {
	e := Exit{Code: int(r.Int("code")), Signal: int(r.Int("signal")), Failure: r.Get("failure"), UnixNanos: r.Int("time"),
		Killed: r.Int("killed") != 0, OOMKills: r.Int("oom-kills"), MaxRSSBytes: r.Int("maxrss"), UserNanos: r.Int("user"),
		SystemNanos: r.Int("system"), LogBytesLost: r.Int("lost")}
	return e, r.Err("exit")
}
