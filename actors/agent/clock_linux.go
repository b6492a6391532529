package agent

import "golang.org/x/sys/unix"

// clockID counts on while the machine is suspended.
const clockID = unix.CLOCK_BOOTTIME
