package main

import (
	"syscall"

	"golang.org/x/sys/unix"
)

// childAttributes give a child a group of its own and end it with its parent.
func childAttributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}

// onStop calls f whenever a child is stopped, by Ctrl-Z for example, until it has been waited for.
func onStop(pid int, f func()) {
	for {
		var info unix.Siginfo
		switch err := unix.Waitid(unix.P_PID, pid, &info, unix.WSTOPPED, nil); err {
		case nil:
			f()
		case unix.EINTR:
		default:
			return
		}
	}
}
