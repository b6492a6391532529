//go:build !linux

package main

import (
	"os"
	"syscall"
)

// childAttributes give a child a group of its own. Here it outlives a parent
// that is killed.
func childAttributes() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }

// onStop does nothing here: who stops a command with Ctrl-Z must end it from another terminal.
func onStop(int, func()) {}

// agentAttributes are those of an agent.
func agentAttributes() *syscall.SysProcAttr { return childAttributes() }

// takeLifeline returns nil: there are no agents here.
func takeLifeline() *os.File { return nil }
