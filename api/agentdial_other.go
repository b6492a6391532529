//go:build !linux

package api

import (
	"syscall"
	"time"
)

// giveUpOn does nothing where the kernel has no word for it.
func giveUpOn(time.Duration) func(network, address string, c syscall.RawConn) error { return nil }
