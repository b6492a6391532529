//go:build !linux

package main

import (
	"context"
	"errors"
)

// processStart is not known here.
func processStart(int) (start uint64, alive bool) { return 0, false }

var errNoLeftovers = errors.New("what a leader has left running can be found on Linux alone")

// endProcess and endLeftovers find nothing here, and so cannot say that there is nothing.
func endProcess(context.Context, int, uint64) error { return errNoLeftovers }
func endLeftovers(context.Context, []string) error  { return errNoLeftovers }
