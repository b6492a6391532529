package agent

import (
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// clock counts on while the machine is suspended and is the same for all processes of a boot.
func clock() time.Duration {
	var t unix.Timespec
	if err := unix.ClockGettime(clockID, &t); err != nil {
		return time.Since(processStart)
	}
	return time.Duration(t.Nano())
}

var processStart = time.Now()

// unixTime is the wall clock's.
func unixTime() time.Duration { return time.Duration(time.Now().UnixNano()) }

// bootID names the boot, "" where there is no such thing.
func bootID() string {
	text, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(text))
}

// freeShare is which part of the file system of dir is free for anybody, 1 if nobody knows.
func freeShare(dir string) float64 {
	var s unix.Statfs_t
	if err := unix.Statfs(dir, &s); err != nil || s.Blocks == 0 {
		return 1
	}
	return float64(s.Bavail) / float64(s.Blocks)
}
