package main

import (
	"context"
	"errors"
)

// errNoSynod is what the Synod engines answer until the adapter is written.
var errNoSynod = errors.New("synod: no adapter in this build")

type synodMissing struct{}

func newSynodEngine() engine     { return synodMissing{} }
func newSynodHTTPEngine() engine { return synodMissing{} }
func newSynodHTTPClient() engine { return synodMissing{} }

func (synodMissing) start(engineConfig) error                      { return errNoSynod }
func (synodMissing) leads() bool                                   { return false }
func (synodMissing) write(context.Context, uint64, []byte) error   { return errNoSynod }
func (synodMissing) read(context.Context, uint64, readLevel) error { return errNoSynod }
func (synodMissing) stop()                                         {}
