package main

import (
	"io"
	"os"
	"os/signal"
	"syscall"

	"golang.org/x/sys/unix"
)

// takesTerminal returns the terminal that a command must be given because it may read from it, nil if
// there is none: its process group is another one than ours, and only one can read.
func takesTerminal(in io.Reader) *os.File {
	f, ok := in.(*os.File)
	if !ok || !isTerminal(f) {
		return nil
	}
	group, err := unix.IoctlGetInt(int(f.Fd()), unix.TIOCGPGRP)
	if err != nil || group != syscall.Getpgrp() {
		return nil // we are in the background ourselves
	}
	return f
}

// takeBack makes our process group that of the terminal again.
func takeBack(terminal *os.File) {
	if terminal == nil {
		return
	}
	signal.Ignore(syscall.SIGTTOU) // who is not in the foreground is stopped otherwise
	defer signal.Reset(syscall.SIGTTOU)
	_ = unix.IoctlSetPointerInt(int(terminal.Fd()), unix.TIOCSPGRP, syscall.Getpgrp()) // a terminal that is gone needs none
}

// suspend stops this process like its child, so that the shell is told, and goes on with it when the
// shell says so.
func suspend(terminal *os.File, child int) {
	takeBack(terminal)
	_ = syscall.Kill(0, syscall.SIGSTOP) // our group, as Ctrl-Z does it
	if group, err := unix.IoctlGetInt(int(terminal.Fd()), unix.TIOCGPGRP); err == nil && group == syscall.Getpgrp() {
		_ = unix.IoctlSetPointerInt(int(terminal.Fd()), unix.TIOCSPGRP, child) // fg, and not bg
	}
	_ = syscall.Kill(-child, syscall.SIGCONT)
}
