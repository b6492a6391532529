package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"syscall"

	"github.com/synod-go/synod"
	"github.com/synod-go/synod/api"
	"github.com/synod-go/synod/storage"
)

// startError says why a node did not start.
func startError(ctx context.Context, f *startFlags, c synod.Config, err error) error {
	if ctx.Err() != nil {
		return ctx.Err() // it was told to end while it started
	}
	code, do := failStopCode(err), []string(nil)
	if wrong, is := errors.AsType[*synod.EngineError](err); is {
		return f.engineError(wrong)
	}
	if wrong, is := errors.AsType[*synod.RolesError](err); is {
		return &api.Error{Code: api.CodeUsage, Message: fmt.Sprintf("node %s does not start as %s", f.name, wrong.Given),
			Why: plain(wrong), Do: rolesDo(wrong)}
	}
	switch {
	case code == api.CodeLocked:
		do = []string{"stop the other node, or give this one a --data of its own"}
	case code == api.CodeFormat:
		do = []string{"start it with the version that wrote it, or a newer one"}
	case code == api.CodeDamage:
		do = f.joinAnew("damaged")
	case code == api.CodeLost:
		do = f.joinAnew("lost")
	case code == api.CodeQuarantined:
		do = f.joinAnew("quarantined")
	case isSecond(err):
		do = f.joinAnew("second")
	case code == api.CodeCluster:
		do = []string{"give the node its own --data and --name"}
	case code == api.CodeData:
		do = []string{"check its owner, its mode and its file system"}
	case code == api.CodeDiskFull:
		do = []string{"free space on it: a new node needs about 200 MiB, and some to work with"}
	case errors.Is(err, syscall.EADDRINUSE), errors.Is(err, syscall.EADDRNOTAVAIL), errors.Is(err, syscall.EACCES):
		return listenError(c.Listen.Link+" or "+c.Listen.Gossip, "--link-port and --gossip-port", err)
	case strings.Contains(err.Error(), "synod: "): // of synod.Config
		code = api.CodeUsage
		do = []string{"node start --help"}
	}
	return &api.Error{Code: code, Message: fmt.Sprintf("node %s does not start", f.name), Why: configWords(plain(err)), Do: do}
}

// engineError says what to do about a group that has another engine.
func (f *startFlags) engineError(wrong *synod.EngineError) error {
	return &api.Error{Code: api.CodeUsage, Message: fmt.Sprintf("node %s does not start with engine %s", f.name, wrong.Wanted),
		Why: plain(wrong), Do: []string{fmt.Sprintf("start it with --engine %s", wrong.Founded), "or give it another --data, to found or join another cluster"}}
}

// endedDo says what to do about a node that has ended by itself.
func endedDo(f *startFlags, err error) []string {
	switch {
	case failStopCode(err) == api.CodeDamage:
		return f.joinAnew("damaged")
	case failStopCode(err) == api.CodeLost:
		return f.joinAnew("lost")
	case failStopCode(err) == api.CodeQuarantined:
		return f.joinAnew("quarantined")
	case isSecond(err):
		return f.joinAnew("second")
	}
	if wrong, is := errors.AsType[*synod.RolesError](err); is {
		return rolesDo(wrong)
	}
	return []string{"find the cause, then start it again: what was acknowledged is on the other nodes too"}
}

// joinAnew says how a node goes on whose directory is of no use to it. What is in
// it may be of use to somebody: it is moved.
func (f *startFlags) joinAnew(suffix string) []string {
	join := strings.Join(f.join, ",")
	return []string{"look at it:  node inspect wal " + f.dir(),
		fmt.Sprintf("move it away:  mv %s %[1]s.%s", f.dir(), suffix),
		"start the node again without --bootstrap and with --join " + cmp.Or(join, "GOSSIP-ADDRESS-OF-ANOTHER-NODE") +
			": it joins as a new member and is filled from the others"}
}

// isSecond reports whether a node ended because it had founded a second cluster.
func isSecond(err error) bool {
	_, is := errors.AsType[*synod.SecondClusterError](err)
	return is
}

// failStopCode is the code of an error of the data directory.
func failStopCode(err error) api.Code {
	if _, is := errors.AsType[*storage.DamageError](err); is {
		return api.CodeDamage
	}
	if errors.Is(err, synod.ErrQuarantined) { // before ErrLost, which it may be as well
		return api.CodeQuarantined
	}
	if errors.Is(err, synod.ErrLost) {
		return api.CodeLost
	}
	if _, is := errors.AsType[*storage.FormatError](err); is {
		return api.CodeFormat
	}
	if _, is := errors.AsType[*storage.IdentityError](err); is {
		return api.CodeCluster
	}
	if isSecond(err) {
		return api.CodeCluster
	}
	if _, is := errors.AsType[*synod.RolesError](err); is {
		return api.CodeUsage
	}
	_, file := errors.AsType[*fs.PathError](err)
	switch {
	case errors.Is(err, storage.ErrLocked):
		return api.CodeLocked
	case errors.Is(err, storage.ErrFull), errors.Is(err, syscall.ENOSPC):
		return api.CodeDiskFull
	case file, errors.Is(err, storage.ErrReadOnly):
		return api.CodeData
	}
	return api.CodeInternal
}
