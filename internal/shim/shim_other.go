//go:build !linux

package shim

import (
	"context"
	"syscall"
	"time"
)

// Start is for Linux.
func Start(context.Context, Spec) error { return ErrUnsupported }

// Observe is for Linux.
func Observe(string) (Facts, error) { return Facts{}, ErrUnsupported }

// KillOrphans is for Linux.
func KillOrphans(context.Context, string) error { return ErrUnsupported }

// A Handle is for Linux.
type Handle struct{}

// Open is for Linux.
func Open(string) *Handle { return &Handle{} }

// State is for Linux.
func (*Handle) State(context.Context) (State, error) { return State{}, ErrUnsupported }

// Wait is for Linux.
func (*Handle) Wait(context.Context) (Exit, error) { return Exit{}, ErrUnsupported }

// Signal is for Linux.
func (*Handle) Signal(context.Context, syscall.Signal) error { return ErrUnsupported }

// Kill is for Linux.
func (*Handle) Kill(context.Context, time.Duration) error { return ErrUnsupported }

// Acknowledge is for Linux.
func (*Handle) Acknowledge(context.Context) error { return ErrUnsupported }
