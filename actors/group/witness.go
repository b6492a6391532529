package group

import (
	"errors"
	"fmt"

	"github.com/synod-go/synod/consensus"
)

// ErrNoMachine: this replica is a witness. It runs no state machine that could be
// read or have a snapshot taken.
var ErrNoMachine = errors.New("group: no state machine here")

// RolesError tells that a replica was started as a witness and the group counts on
// its state machine, or the other way round. It is the end of the node: a witness
// has dropped what a learner must hold, and a learner that runs no state machine
// would have others drop it.
type RolesError struct {
	Group string
	Known consensus.Roles // by the group's configuration
	Given consensus.Roles // by Config
}

func (e *RolesError) Error() string {
	return fmt.Sprintf("group: %s knows this replica as %s, it was started as %s", e.Group, e.Known, e.Given)
}

// CheckRoles returns a *RolesError if configuration c does not fit the roles that
// the replica was started with. Who votes is for the configuration alone to say.
func (c Config) CheckRoles(configuration consensus.Configuration) error {
	m, ok := configuration.Find(c.ID)
	if !ok || m.Learns() != c.Witness() {
		return nil
	}
	e := &RolesError{Group: c.Name, Known: m.Roles, Given: c.Roles}
	if e.Known == 0 {
		e.Known = consensus.AllRoles
	}
	if e.Given == 0 {
		e.Given = consensus.AllRoles
	}
	return e
}

// base is up to where the log may be released once a save is durable.
type base struct {
	save  uint64
	index consensus.Index
}

// letGo takes note that a witness needs its log no more up to a base, and has the
// applier go on from there.
func (a *Actor) letGo(out *Output) {
	if out.Base == 0 {
		return
	}
	a.bases = append(a.bases, base{out.Save, out.Base})
	a.toApplier(passBase{out.Base})
}

// releaseBases releases what durable bases have taken the place of. The record of
// the base itself, whose index is not below the base's, stays.
func (a *Actor) releaseBases() {
	n := 0
	for n < len(a.bases) && a.bases[n].save <= a.saved {
		a.cfg.Store.Release(a.cfg.Group, uint64(a.bases[n].index)-1)
		n++
	}
	a.bases = append(a.bases[:0], a.bases[n:]...)
}
