package process

import (
	"strconv"
	"syscall"
)

// Stat is what /proc says of a process.
type Stat struct {
	Process
	Parent, Session int
	Dead            bool // a zombie
}

// ReadStat looks a process up.
func ReadStat(pid int) (Stat, bool) {
	text, err := readFile("/proc/"+strconv.Itoa(pid)+"/stat", 4096)
	if err != nil {
		return Stat{}, false
	}
	return parseStat(pid, string(text))
}

// parseStat reads the fields behind the name, which may hold anything.
func parseStat(pid int, text string) (Stat, bool) {
	end := len(text) - 1
	for end >= 0 && text[end] != ')' {
		end--
	}
	if end < 0 || end+2 > len(text) {
		return Stat{}, false
	}
	const state, parent, session, start = 0, 1, 3, 19
	s := Stat{Process: Process{PID: pid}}
	rest, value := text[end+2:], ""
	for i := 0; i <= start; i++ {
		value, rest, _ = cut(rest, ' ')
		switch i {
		case state:
			s.Dead = value == "Z" || value == "X"
		case parent:
			s.Parent, _ = strconv.Atoi(value)
		case session:
			s.Session, _ = strconv.Atoi(value)
		case start:
			s.Start, _ = strconv.ParseUint(value, 10, 64)
		}
	}
	return s, s.Start != 0
}

// Alive reports whether the process is there, itself and not a zombie.
func (p Process) Alive() bool {
	s, ok := ReadStat(p.PID)
	return ok && !s.Dead && s.Start == p.Start
}

// Processes returns all processes of the machine that are not dead, by pid.
func Processes() []Stat {
	fd, err := open("/proc", syscall.O_RDONLY|syscall.O_DIRECTORY, 0)
	if err != nil {
		return nil
	}
	defer syscall.Close(fd)
	var all []Stat
	var names []string
	buffer := make([]byte, 8192)
	for {
		n, err := syscall.ReadDirent(fd, buffer)
		if err != nil || n <= 0 {
			return all
		}
		_, _, names = syscall.ParseDirent(buffer[:n], -1, names[:0])
		for _, name := range names {
			if pid, err := strconv.Atoi(name); err == nil {
				if s, ok := ReadStat(pid); ok && !s.Dead {
					all = append(all, s)
				}
			}
		}
	}
}

// Descendants returns those of all that have root for an ancestor.
func Descendants(all []Stat, root int) []Process {
	under := map[int]bool{root: true}
	var found []Process
	for again := true; again; {
		again = false
		for _, s := range all {
			if under[s.Parent] && !under[s.PID] {
				under[s.PID], again = true, true
				found = append(found, s.Process)
			}
		}
	}
	return found
}

// KillAll stops what find finds until it finds nothing new, so that nothing forks in
// between, and then kills it. This process is left out: the thread of a shim that has started
// the task may still be in the task's cgroups, on its way to its end, when the task has ended.
func KillAll(find func([]Stat) []Process) {
	const rounds = 8
	self := syscall.Getpid()
	stopped := map[Process]bool{}
	var order []Process
	for again, i := true, 0; again && i < rounds; i++ {
		again = false
		for _, p := range find(Processes()) {
			if p.PID != self && !stopped[p] && SignalProcess(p, syscall.SIGSTOP) == nil {
				stopped[p], again = true, true
				order = append(order, p)
			}
		}
	}
	for _, p := range order {
		_ = SignalProcess(p, syscall.SIGKILL) // it may have ended
	}
}

// BootID is the kernel's, which a new boot changes.
func BootID() string {
	text, _ := readFile("/proc/sys/kernel/random/boot_id", 4096)
	id, _, _ := cutLine(string(text))
	return id
}
