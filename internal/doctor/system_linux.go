package doctor

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// fewFiles are less than a node's connections may be (see docs/api.md, limits), and leastFiles what it needs to run at all.
const fewFiles, leastFiles = 32768, 1024

func openFiles(context.Context, Machine) Finding {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return Finding{State: Warn, Value: reason(err), Do: "ulimit -Hn"}
	}
	f := Finding{State: OK, Value: fmt.Sprintf("up to %d", limit.Max)}
	switch {
	case limit.Max < leastFiles:
		f.State = Fail
	case limit.Max < fewFiles:
		f.State = Warn
	default:
		return f
	}
	f.Do = "ulimit -Hn 65536, or LimitNOFILE=65536 in the service's unit"
	return f
}

// clock asks the kernel whether something keeps its clock right. How far it is from others' is looked at elsewhere.
func clock(context.Context, Machine) Finding {
	var t unix.Timex
	state, err := unix.Adjtimex(&t)
	switch {
	case err != nil:
		return Finding{State: Warn, Value: "the kernel does not tell: " + reason(err), Do: "timedatectl"}
	case state == unix.TIME_ERROR || t.Status&unix.STA_UNSYNC != 0:
		return Finding{State: Warn, Value: "nothing keeps it right", Do: "start chrony, ntpd or systemd-timesyncd:  timedatectl set-ntp true"}
	}
	return Finding{State: OK, Value: fmt.Sprintf("kept right, to within %d ms", t.Maxerror/1000)}
}

func pidfd(context.Context, Machine) Finding {
	fd, err := unix.PidfdOpen(os.Getpid(), 0)
	if err != nil {
		return Finding{State: Warn, Value: "the kernel has none: " + reason(err), Do: "Linux 5.4 has it; without it an agent keeps a thread for each task"}
	}
	unix.Close(fd)
	return Finding{State: OK, Value: "the kernel has it"}
}

func inMemory(dir string) bool {
	var s unix.Statfs_t
	return unix.Statfs(dir, &s) == nil && (s.Type == unix.TMPFS_MAGIC || s.Type == unix.RAMFS_MAGIC)
}

// wanted are the controllers that limit tasks.
var wanted = []string{"memory", "cpu", "pids"}

// cgroups tells the version, and which of wanted this process may use.
func cgroups(context.Context, Machine) Finding {
	mounts, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		return Finding{State: Warn, Value: reason(err), Do: "mount -t proc proc /proc"}
	}
	own, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		return Finding{State: Warn, Value: "the kernel has none", Do: "tasks run without limits"}
	}
	version, usable := controllers(string(mounts), string(own))
	missing := slices.DeleteFunc(slices.Clone(wanted), func(c string) bool { return slices.Contains(usable, c) })
	switch {
	case version == 0:
		return Finding{State: Warn, Value: "none are mounted", Do: "mount -t cgroup2 none /sys/fs/cgroup"}
	case len(missing) == 0:
		return Finding{State: OK, Value: fmt.Sprintf("version %d, %s", version, strings.Join(usable, ", "))}
	}
	return Finding{State: Warn, Value: fmt.Sprintf("version %d, not writable: %s", version, strings.Join(missing, ", ")),
		Do: "run the agent as root, or with  Delegate=yes  in its unit"}
}

// controllers returns the version of the cgroups that are mounted, 0 for none, and those of wanted below
// which this process may make groups.
func controllers(mounts, own string) (version int, usable []string) {
	paths := map[string]string{} // by controller; "" is the unified hierarchy
	for line := range strings.Lines(own) {
		if fields := strings.SplitN(strings.TrimSpace(line), ":", 3); len(fields) == 3 {
			for c := range strings.SplitSeq(fields[1], ",") {
				paths[c] = fields[2]
			}
		}
	}
	for line := range strings.Lines(mounts) {
		fields := strings.Fields(line)
		if len(fields) < 4 {
			continue
		}
		switch fields[2] {
		case "cgroup2":
			if list := unified(fields[1], paths[""]); len(list) > 0 || version == 0 {
				version, usable = 2, append(usable, list...)
			}
		case "cgroup":
			for c := range strings.SplitSeq(fields[3], ",") {
				if slices.Contains(wanted, c) {
					version = 1
					if mayWrite(filepath.Join(fields[1], paths[c])) {
						usable = append(usable, c)
					}
				}
			}
		}
	}
	slices.Sort(usable)
	return version, slices.Compact(usable)
}

// unified are the controllers of version 2 at the root or, failing that, at the own place.
func unified(mount, own string) (usable []string) {
	for _, dir := range []string{mount, filepath.Join(mount, own)} {
		text, err := os.ReadFile(filepath.Join(dir, "cgroup.controllers"))
		if err != nil || !mayWrite(dir) {
			continue
		}
		for _, c := range strings.Fields(string(text)) {
			if slices.Contains(wanted, c) {
				usable = append(usable, c)
			}
		}
		return usable
	}
	return nil
}

func mayWrite(dir string) bool { return unix.Access(dir, unix.W_OK) == nil }
