package api

import (
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// giveUpOn has the kernel break a connection on which what was sent is not acknowledged for that long.
func giveUpOn(after time.Duration) func(network, address string, c syscall.RawConn) error {
	return func(_, _ string, c syscall.RawConn) error {
		var failed error
		err := c.Control(func(fd uintptr) {
			failed = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int(after.Milliseconds()))
		})
		if err != nil {
			return err
		}
		return failed
	}
}
