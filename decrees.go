package synod

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/synod-go/synod/actors/acceptor"
	"github.com/synod-go/synod/actors/decree"
	"github.com/synod-go/synod/actors/learner"
	"github.com/synod-go/synod/actors/proposer"
	"github.com/synod-go/synod/cluster"
	"github.com/synod-go/synod/paxos"
	"github.com/synod-go/synod/storage"
)

// Decrees is one process that takes part in passing decrees: each name has one
// value, chosen once and for ever by single-decree Paxos among several processes.
// It is safe for concurrent use.
type Decrees struct {
	cfg   DecreesConfig
	store *storage.Store
	id    paxos.ID // the storage incarnation
	epoch uint64   // of the process
	net   decreeNet

	recorder *decree.Recorder
	proposer *proposer.Handle // nil unless played, as the next two
	acceptor *acceptor.Handle
	learner  *learner.Handle

	mu       sync.Mutex
	err      error
	failStop chan error    // holds the first reason
	ending   chan struct{} // closed when the process begins to end
	done     chan struct{} // closed when it has ended
	endOnce  sync.Once
}

// Errors of Decide and Learn.
var (
	// ErrNotChosen: the value is surely not chosen and never will be by this call.
	// It wraps the reason.
	ErrNotChosen = errors.New("synod: surely not chosen")
	// ErrRole: this process does not play the role that the call needs.
	ErrRole = errors.New("synod: not the role of this process")
	// ErrNotLearned: ctx ended before a value was known to be chosen. It wraps the
	// reason.
	ErrNotLearned = errors.New("synod: no chosen value is known")
)

// OpenDecrees starts this process's roles and returns when they have recovered what
// they must not forget. The others may be started in any order. ctx bounds the
// start alone. End it with Close.
func OpenDecrees(ctx context.Context, c DecreesConfig) (*Decrees, error) {
	c, err := c.withDefaults()
	if err != nil {
		return nil, err
	}
	d := &Decrees{cfg: c, epoch: uint64(time.Now().UnixNano()), failStop: make(chan error, 1),
		ending: make(chan struct{}), done: make(chan struct{})}
	d.recorder = decree.NewRecorder(c.Recorded, d.net.name, c.Event)
	for _, step := range []func() error{d.openStore, d.openLink, d.startRoles, func() error { return d.awaitRoles(ctx) }, d.startNet} {
		if err = ctx.Err(); err == nil {
			err = step()
		}
		if err != nil {
			d.end(err)
			return nil, err
		}
	}
	go d.watchFailStop()
	return d, nil
}

// openStore opens the data directory and learns who this process is.
func (d *Decrees) openStore() error {
	dir, options := d.cfg.Data, storage.Options{Node: d.cfg.Name, Logger: d.cfg.Logger, Cluster: d.clusterID()}
	switch {
	case d.cfg.Local != nil:
		dir, options.FS = "data", d.cfg.Local.disk(d.cfg.Name)
	case dir == "":
		dir, options.FS = "data", storage.NewMemory(d.epoch)
	}
	if options.FS != nil {
		options.SegmentBytes = memorySegmentBytes
	}
	store, err := storage.Open(dir, options)
	if err != nil {
		return lostError(err)
	}
	d.store, d.id = store, paxos.ID(store.Identity().Incarnation)
	return store.SetCluster(d.clusterID())
}

// clusterID is what the link goes by. A directory of a Node has another one.
func (d *Decrees) clusterID() string { return "decrees." + d.cfg.ClusterName }

// startRoles starts one actor for each role that this process plays.
func (d *Decrees) startRoles() (err error) {
	strategy := actorStrategy(d.cfg.Logger, d.fail)
	for _, role := range d.cfg.Roles {
		name, host := "decrees/"+string(role), d.host(role)
		switch role {
		case RoleAcceptor:
			d.acceptor, err = acceptor.Spawn(d.net.system, acceptor.Config{Host: host, Scheme: d.cfg.Scheme}, name, strategy)
		case RoleProposer:
			d.proposer, err = proposer.Spawn(d.net.system, proposer.Config{Host: host,
				Retransmit: d.cfg.Retransmit, Backoff: d.cfg.Backoff}, name, strategy)
		case RoleLearner:
			d.learner, err = learner.Spawn(d.net.system, learner.Config{Host: host, Scheme: d.cfg.Scheme,
				Timeout: d.cfg.LearnTimeout}, name, strategy)
		}
		if err != nil {
			return fmt.Errorf("synod: start the %s: %w", role, err)
		}
	}
	return nil
}

// awaitRoles waits until each role has rebuilt itself from the log.
func (d *Decrees) awaitRoles(ctx context.Context) error {
	for _, role := range d.handles() {
		select {
		case <-role.Recovered():
		case err := <-d.failStop:
			return err
		case <-ctx.Done():
			return fmt.Errorf("synod: start: waiting for the roles: %w", ctx.Err())
		}
	}
	return nil
}

func (d *Decrees) host(role Role) decree.Host {
	return decree.Host{ID: d.id, Name: d.cfg.Name, Acceptors: d.cfg.Acceptors, Store: d.store,
		Group: storage.Group(DecreesGroup(role)), Send: d.sendOrLose, FailStop: d.fail, Recorder: d.recorder,
		Clock:         func() paxos.Time { return paxos.Time(clock()) },
		MaxValueBytes: d.cfg.MaxValueBytes, Limits: decree.Limits{Rows: d.cfg.MaxDecrees, Bytes: d.cfg.MaxBytes},
		Logger: d.cfg.Logger}
}

// DecreesGroup is the number under which a role's records stand in the log of its
// process, for tools: see actors/decree for what they are.
func DecreesGroup(role Role) uint32 { return uint32(groupID("decrees/" + string(role))) }

// Decide proposes value for the named decree and returns the value that is chosen,
// which may be another's: whoever comes later gets what was chosen first. Errors:
// ErrRole, ErrTooLarge and ErrNotChosen (surely not chosen; it wraps ErrOverloaded if
// too many calls are under way), ErrUnknownOutcome (it may be chosen, now or later;
// Decide or Learn of the same decree find out). Name and value must not be empty.
func (d *Decrees) Decide(ctx context.Context, name string, value []byte) (chosen []byte, err error) {
	switch {
	case d.proposer == nil:
		return nil, fmt.Errorf("%w: %s proposes nothing", ErrRole, d.cfg.Name)
	case len(value) > d.cfg.MaxValueBytes:
		return nil, ErrTooLarge
	case !decree.ValidName(name) || len(value) == 0:
		return nil, fmt.Errorf("%w: a decree needs a name of 1 to %d bytes of UTF-8 and a value", ErrNotChosen, decree.MaxName)
	}
	result, err := d.proposer.Decide(ctx, name, bytes.Clone(value))
	switch {
	case result.Value != nil:
		return bytes.Clone(result.Value), nil
	case d.closed():
		err = d.stoppedError()
	case errors.Is(err, proposer.ErrOverloaded):
		err = ErrOverloaded
	case err == nil:
		err = proposer.ErrRefused // the last round there is was promised
	}
	if result.Fate == paxos.SurelyNot {
		return nil, fmt.Errorf("%w: %w", ErrNotChosen, err)
	}
	return nil, fmt.Errorf("%w: %w", ErrUnknownOutcome, err)
}

// Learn returns the value of the named decree once it is chosen and this process
// has learned it. A decree that is half passed is completed, if some process
// proposes. Errors: ErrRole, ErrOverloaded, ErrNotLearned.
func (d *Decrees) Learn(ctx context.Context, name string) ([]byte, error) {
	switch {
	case d.learner == nil:
		return nil, fmt.Errorf("%w: %s learns nothing", ErrRole, d.cfg.Name)
	case !decree.ValidName(name):
		return nil, fmt.Errorf("%w: a decree needs a name of 1 to %d bytes of UTF-8", ErrNotLearned, decree.MaxName)
	}
	value, err := d.learner.Learn(ctx, name)
	switch {
	case err == nil:
		return bytes.Clone(value), nil
	case d.closed():
		err = d.stoppedError()
	case errors.Is(err, learner.ErrOverloaded):
		return nil, ErrOverloaded
	}
	if missing := d.learner.Missing(); missing != "" {
		err = fmt.Errorf("%w: %s", err, missing)
	}
	return nil, fmt.Errorf("%w: %w", ErrNotLearned, err)
}

// ID of the process: its storage incarnation.
func (d *Decrees) ID() uint64 { return uint64(d.id) }

// Name of the process.
func (d *Decrees) Name() string { return d.cfg.Name }

// Recording returns the last events of this process's roles, oldest first.
func (d *Decrees) Recording() []DecreeEvent { return d.recorder.Events() }

// Done is closed when the process has ended: by Close, or because its log failed.
func (d *Decrees) Done() <-chan struct{} { return d.done }

// Err is why the process ended by itself; nil while it runs and after Close.
func (d *Decrees) Err() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.err
}

func (d *Decrees) closed() bool {
	select {
	case <-d.ending:
		return true
	default:
		return false
	}
}

func (d *Decrees) stoppedError() error {
	if err := d.Err(); err != nil {
		return fmt.Errorf("%w: %w", ErrStopped, err)
	}
	return ErrStopped
}

// Close ends the roles and flushes the log. A value that is under way may be
// chosen nevertheless.
func (d *Decrees) Close() { d.end(nil) }

// fail ends the process because it must not go on. It does not block.
func (d *Decrees) fail(err error) {
	select {
	case d.failStop <- err:
		d.cfg.Logger.Error("process ends", "process", d.cfg.Name, "error", err)
	default: // it ends already
	}
}

// watchFailStop ends a process that has started.
func (d *Decrees) watchFailStop() {
	select {
	case err := <-d.failStop:
		d.end(err)
	case <-d.ending:
	}
}

// refusedAsCopy ends a process that runs on a copy of a data directory.
func (d *Decrees) refusedAsCopy(by cluster.NodeID, reason string) {
	err := fmt.Errorf("%w: %s says %s", ErrLost, by, reason)
	if d.cfg.TLS != nil { // without it anybody could say so
		go func() { _ = d.store.Condemn(strings.TrimSpace(err.Error())) }()
	}
	d.fail(err)
}

// end stops everything that was started, in the opposite order; the actors go before
// the log.
func (d *Decrees) end(err error) {
	d.endOnce.Do(func() {
		d.mu.Lock()
		d.err = err
		d.mu.Unlock()
		close(d.ending)
		d.net.close(err == nil)
		for _, role := range d.handles() {
			for errors.Is(d.net.system.Root.StopFuture(role.PID()).Wait(), actor.ErrTimeout) {
			}
		}
		if d.store != nil {
			if err := d.store.Close(); err != nil {
				d.cfg.Logger.Warn("while ending", "process", d.cfg.Name, "error", err)
			}
		}
		close(d.done)
	})
	<-d.done
}

// handles returns the actors that run.
func (d *Decrees) handles() (roles []*decree.Handle) {
	if d.proposer != nil {
		roles = append(roles, d.proposer.Handle)
	}
	if d.learner != nil {
		roles = append(roles, d.learner.Handle)
	}
	if d.acceptor != nil {
		roles = append(roles, d.acceptor.Handle)
	}
	return roles
}
