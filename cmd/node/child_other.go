//go:build !linux

package main

import "syscall"

// childAttributes give a child a group of its own. Here it outlives a parent
// that is killed.
func childAttributes() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }
