package main

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strings"

	"golang.org/x/sys/unix"
)

// defaultDir lies beside the program's sources, as /tmp may be another, faster
// file system.
const defaultDir = "results/tmp"

// A machine is what a reader must know to judge a figure.
type machine struct {
	CPU     string            `json:"cpu"`
	Cores   int               `json:"cores"`
	Kernel  string            `json:"kernel"`
	Go      string            `json:"go"`
	Engines map[string]string `json:"engines"` // module versions
}

func (m machine) String() string {
	return fmt.Sprintf("%s, %d cores, Linux %s, %s", m.CPU, m.Cores, m.Kernel, m.Go)
}

func describeMachine() machine {
	m := machine{CPU: processorName(), Cores: runtime.NumCPU(), Go: runtime.Version(), Engines: map[string]string{}}
	var name unix.Utsname
	if unix.Uname(&name) == nil {
		m.Kernel = unix.ByteSliceToString(name.Release[:])
	}
	compared := []string{"go.etcd.io/raft/v3", "go.etcd.io/etcd/server/v3", "github.com/hashicorp/raft", "github.com/hashicorp/raft-wal", "github.com/lni/dragonboat/v4"}
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, d := range info.Deps {
			for _, path := range compared {
				if d.Path == path {
					m.Engines[path] = d.Version
				}
			}
		}
	}
	return m
}

func processorName() string {
	b, _ := os.ReadFile("/proc/cpuinfo")
	for line := range strings.Lines(string(b)) {
		if key, value, found := strings.Cut(line, ":"); found && strings.TrimSpace(key) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return runtime.GOARCH
}

// makeWorkDir makes a directory for one execution inside dir, which it makes too.
func makeWorkDir(dir string) (own string, remove func(), err error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", nil, err
	}
	if dir, err = filepath.Abs(dir); err != nil {
		return "", nil, err
	}
	if own, err = os.MkdirTemp(dir, "bench-"); err != nil {
		return "", nil, err
	}
	return own, func() {
		if err := os.RemoveAll(own); err != nil {
			report("remove data", err)
		}
	}, nil
}

// wantedFiles are enough for a connection or two of each of many sessions.
const wantedFiles = 60_000

// raiseFileLimit lets this process and its children have as many open files as
// they need, or as the system allows.
func raiseFileLimit() error {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return fmt.Errorf("limit of open files: %w", err)
	}
	if limit.Cur >= wantedFiles {
		return nil
	}
	limit.Cur = max(limit.Max, wantedFiles)
	limit.Max = limit.Cur
	if unix.Setrlimit(unix.RLIMIT_NOFILE, &limit) == nil {
		return nil
	}
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return fmt.Errorf("limit of open files: %w", err)
	}
	limit.Cur = limit.Max
	return unix.Setrlimit(unix.RLIMIT_NOFILE, &limit)
}
