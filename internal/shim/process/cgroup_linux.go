package process

import (
	"strconv"
	"syscall"
)

// A hierarchy is one mounted tree of cgroups.
type hierarchy struct {
	mount, own  string // where, and the path of this process in it
	unified     bool
	controllers string // of version 1, with commas around: ",cpu,cpuacct,"
}

// hierarchies returns what is mounted, from the texts of /proc/self/mounts and
// /proc/self/cgroup.
func hierarchies(mounts, own string) []hierarchy {
	var found []hierarchy
	for line, rest, ok := cutLine(mounts); ok; line, rest, ok = cutLine(rest) {
		_, line, _ = cut(line, ' ')
		mount, line, _ := cut(line, ' ')
		kind, line, _ := cut(line, ' ')
		options, _, _ := cut(line, ' ')
		switch kind {
		case "cgroup2":
			found = append(found, hierarchy{mount: mount, unified: true, own: ownPath(own, "")})
		case "cgroup":
			h := hierarchy{mount: mount, controllers: "," + options + ","}
			for _, c := range []string{"memory", "cpu", "pids"} {
				if h.has(c) {
					h.own = ownPath(own, c)
					found = append(found, h)
					break
				}
			}
		}
	}
	return found
}

func (h hierarchy) has(controller string) bool { return containsName(h.controllers, controller) }

func containsName(list, name string) bool {
	for len(list) > 0 {
		var one string
		one, list, _ = cut(list, ',')
		if one == name {
			return true
		}
	}
	return false
}

// ownPath returns the path in the hierarchy of a controller, or in the unified one.
func ownPath(text, controller string) string {
	for line, rest, ok := cutLine(text); ok; line, rest, ok = cutLine(rest) {
		_, line, _ = cut(line, ':')
		controllers, path, _ := cut(line, ':')
		if controllers == controller || controller != "" && containsName(controllers, controller) {
			if path == "/" {
				return ""
			}
			return path
		}
	}
	return ""
}

// A group is the cgroups of one task: none of them if dirs is empty.
type group struct {
	dirs     []string // the one of the unified hierarchy first
	unified  bool     // dirs[0] is of the unified hierarchy
	pids     string   // the limit of version 1
	oom      string   // where the kernel counts what it killed for want of memory
	enforced []string
}

func (g *group) isolation() string {
	switch {
	case g.unified:
		return "cgroup2"
	case len(g.dirs) > 0:
		return "cgroup1"
	}
	return "session"
}

// makeGroup makes what can be made. A limit that cannot be held is missing in enforced:
// whoever needs it sees that in the state.
func makeGroup(s Spec) *group {
	g := &group{}
	if s.CgroupParent == "" {
		return g
	}
	mounts, _ := readFile("/proc/self/mounts", 1<<20)
	own, _ := readFile("/proc/self/cgroup", 1<<16)
	all := hierarchies(string(mounts), string(own))
	for _, h := range all {
		if h.unified {
			g.makeUnified(h, s)
			break
		}
	}
	for _, h := range all {
		if !h.unified {
			g.makeControlled(h, s)
		}
	}
	return g
}

// makeUnified prefers a place at the root, out of the cgroup of a service, whose end would
// take it along; without the right to that it takes one below its own.
func (g *group) makeUnified(h hierarchy, s Spec) {
	for _, base := range []string{h.mount, h.mount + h.own} {
		parent := base + "/" + s.CgroupParent
		dir := parent + "/" + s.Nonce
		for _, above := range []string{base, parent} {
			if above == parent && makeDirs(parent) != nil {
				break
			}
			for _, c := range []string{"+memory", "+cpu", "+pids"} {
				_ = writeText(above+"/cgroup.subtree_control", c) // what is not there is not enforced
			}
		}
		if syscall.Mkdir(dir, 0o755) != nil {
			continue
		}
		g.dirs, g.unified = append(g.dirs, dir), true
		if s.MemoryBytes > 0 && g.limit("memory", dir+"/memory.max", strconv.FormatInt(s.MemoryBytes, 10)) {
			_ = writeText(dir+"/memory.swap.max", "0")
			_ = writeText(dir+"/memory.oom.group", "1")
			g.oom = dir + "/memory.events"
		}
		if s.MilliCPUs > 0 {
			g.limit("cpu", dir+"/cpu.max", strconv.FormatInt(max(s.MilliCPUs*100, 1000), 10)+" 100000")
		}
		if s.Pids > 0 {
			g.limit("pids", dir+"/pids.max", strconv.FormatInt(s.Pids, 10))
		}
		return
	}
}

func (g *group) makeControlled(h hierarchy, s Spec) {
	wants := s.MemoryBytes > 0 && h.has("memory") || s.MilliCPUs > 0 && h.has("cpu") || s.Pids > 0 && h.has("pids")
	if !wants && (g.unified || !h.has("pids")) {
		return
	}
	parent := h.mount + h.own + "/" + s.CgroupParent
	dir := parent + "/" + s.Nonce
	if makeDirs(parent) != nil || syscall.Mkdir(dir, 0o755) != nil {
		return
	}
	g.dirs = append(g.dirs, dir)
	if s.MemoryBytes > 0 && h.has("memory") && g.limit("memory", dir+"/memory.limit_in_bytes", strconv.FormatInt(s.MemoryBytes, 10)) {
		_ = writeText(dir+"/memory.memsw.limit_in_bytes", strconv.FormatInt(s.MemoryBytes, 10))
		g.oom = dir + "/memory.oom_control"
	}
	if s.MilliCPUs > 0 && h.has("cpu") {
		_ = writeText(dir+"/cpu.cfs_period_us", "100000")
		g.limit("cpu", dir+"/cpu.cfs_quota_us", strconv.FormatInt(max(s.MilliCPUs*100, 1000), 10))
	}
	if s.Pids > 0 && h.has("pids") {
		// One more for now: the thread that forks is in it too.
		g.pids = dir + "/pids.max"
		g.limit("pids", g.pids, strconv.FormatInt(s.Pids+1, 10))
	}
}

// forked sets the limit that had to be wider for the fork.
func (g *group) forked(s Spec) {
	if g.pids != "" {
		_ = writeText(g.pids, strconv.FormatInt(s.Pids, 10)) // it was possible just now
	}
}

func (g *group) limit(name, file, value string) bool {
	if writeText(file, value) != nil {
		return false
	}
	g.enforced = append(g.enforced, name)
	return true
}

// makeDirs makes a directory and those above it.
func makeDirs(name string) error {
	err := syscall.Mkdir(name, 0o755)
	if err == syscall.ENOENT {
		end := len(name) - 1
		for end > 0 && name[end] != '/' {
			end--
		}
		if end > 0 && makeDirs(name[:end]) == nil {
			err = syscall.Mkdir(name, 0o755)
		}
	}
	if err == syscall.EEXIST {
		return nil
	}
	return err
}

// oomKills returns what the kernel counted: both versions have a line "oom_kill N".
func (g *group) oomKills() int64 {
	if g.oom == "" {
		return 0
	}
	text, _ := readFile(g.oom, 4096)
	for line, rest, ok := cutLine(string(text)); ok; line, rest, ok = cutLine(rest) {
		if name, value, _ := cut(line, ' '); name == "oom_kill" {
			n, _ := strconv.ParseInt(value, 10, 64)
			return n
		}
	}
	return 0
}

// Members returns the processes in cgroups, as far as they can be read.
func Members(dirs []string) []Process {
	var found []Process
	seen := map[int]bool{}
	for _, dir := range dirs {
		text, _ := readFile(dir+"/cgroup.procs", 1<<20)
		for line, rest, ok := cutLine(string(text)); ok; line, rest, ok = cutLine(rest) {
			pid, err := strconv.Atoi(line)
			if err != nil || seen[pid] {
				continue
			}
			seen[pid] = true
			if s, ok := ReadStat(pid); ok && !s.Dead {
				found = append(found, s.Process)
			}
		}
	}
	return found
}

// KillCgroups kills all in them at once where the kernel can.
func KillCgroups(dirs []string) {
	for _, dir := range dirs {
		_ = writeText(dir+"/cgroup.kill", "1") // from Linux 5.14 on, in the unified hierarchy
	}
}

// RemoveCgroups removes those that are empty.
func RemoveCgroups(dirs []string) {
	for _, dir := range dirs {
		_ = syscall.Rmdir(dir)
	}
}
