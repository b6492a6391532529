package main

import (
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// limitSilence has the kernel end a connection whose other side has acknowledged nothing for silenceTime, of what was
// sent to it.
func limitSilence(_, _ string, c syscall.RawConn) error {
	_ = c.Control(func(fd uintptr) { // without it the connection ends later
		_ = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int(silenceTime.Milliseconds()))
	})
	return nil
}

// shortenSilence is limitSilence with another time, for what is sent from now on.
func shortenSilence(c syscall.RawConn, limit time.Duration) {
	_ = c.Control(func(fd uintptr) {
		_ = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int(limit.Milliseconds()))
	})
}

// silentFor reports whether the other side has been sent something, again and again, and has acknowledged nothing for
// that long.
func silentFor(c syscall.RawConn, limit time.Duration) (silent bool) {
	_ = c.Control(func(fd uintptr) {
		info, err := unix.GetsockoptTCPInfo(int(fd), unix.IPPROTO_TCP, unix.TCP_INFO)
		silent = err == nil && info.Unacked > 0 && info.Retransmits > 0 && int64(info.Last_ack_recv) >= limit.Milliseconds()
	})
	return silent
}
