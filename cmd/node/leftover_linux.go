package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// processStart is when a process began, in the kernel's ticks since the boot: with its number that names it.
func processStart(pid int) (start uint64, alive bool) {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, false
	}
	// The name in brackets may hold anything: state is the first field behind it, the start the 20th.
	fields := strings.Fields(string(data[bytes.LastIndexByte(data, ')')+1:]))
	if len(fields) < 20 || fields[0] == "Z" {
		return 0, false
	}
	start, err = strconv.ParseUint(fields[19], 10, 64)
	return start, err == nil
}

// endProcess kills a process unless it has ended, and waits for its end.
func endProcess(ctx context.Context, pid int, start uint64) error {
	return untilNone(ctx, func() []int {
		if now, alive := processStart(pid); alive && now == start {
			return []int{pid}
		}
		return nil
	})
}

// endLeftovers kills the processes that have all of some variables in their environment, as it was when they began, and
// waits for their end. It sees those of its own user, and of others if it is root.
func endLeftovers(ctx context.Context, env []string) error {
	return untilNone(ctx, func() (found []int) {
		entries, _ := os.ReadDir("/proc") // without it nothing can be seen
		for _, e := range entries {
			pid, err := strconv.Atoi(e.Name())
			if err != nil || pid == os.Getpid() {
				continue
			}
			data, _ := os.ReadFile("/proc/" + e.Name() + "/environ") // it may have ended, or be another's
			has := strings.Split(string(data), "\x00")
			if !slices.ContainsFunc(env, func(v string) bool { return !slices.Contains(has, v) }) {
				found = append(found, pid)
			}
		}
		return found
	})
}

// untilNone kills what it finds until it finds nothing.
func untilNone(ctx context.Context, find func() []int) error {
	for {
		found := find()
		if len(found) == 0 {
			return nil
		}
		for _, pid := range found {
			if err := syscall.Kill(pid, syscall.SIGKILL); err != nil && !errors.Is(err, syscall.ESRCH) {
				return fmt.Errorf("process %d, which an earlier leader has left, cannot be ended: %w", pid, err)
			}
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(leftoverPause):
		}
	}
}
