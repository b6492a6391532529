//go:build !linux

package main

import (
	"syscall"
	"time"
)

// limitSilence does nothing here: a connection to a leader that was cut off ends after some minutes.
func limitSilence(_, _ string, _ syscall.RawConn) error { return nil }

func shortenSilence(syscall.RawConn, time.Duration) {}

func silentFor(syscall.RawConn, time.Duration) bool { return false }
