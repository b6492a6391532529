//go:build !linux

package agent

import "golang.org/x/sys/unix"

// clockID counts on while the machine is suspended: on macOS the monotonic clock does.
const clockID = unix.CLOCK_MONOTONIC
