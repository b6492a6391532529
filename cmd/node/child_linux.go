package main

import (
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// childAttributes give a child a group of its own and end it with its parent.
func childAttributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}

// agentAttributes are those of an agent, which is to end its tasks too when its parent dies.
func agentAttributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
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

// lifelineFD is where an agent finds its lifeline, if lifelineVariable is in its environment.
const lifelineFD = 3

// takeLifeline returns the lifeline that the fleet has given to this agent, nil if there is none. Neither it nor the word
// of it is for what this process starts.
func takeLifeline() *os.File {
	if os.Getenv(lifelineVariable) == "" {
		return nil
	}
	_ = os.Unsetenv(lifelineVariable)
	syscall.CloseOnExec(lifelineFD)
	return os.NewFile(lifelineFD, "lifeline")
}
