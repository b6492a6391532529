package group

import (
	"errors"
	"fmt"

	"github.com/synod-go/synod/consensus"
	"github.com/synod-go/synod/replica"
	"github.com/synod-go/synod/storage"
)

// Salvaged is all that a replica knows which will hear of no other one again.
type Salvaged struct {
	// Replica has applied everything that is there, committed or not.
	Replica *replica.Replica
	// Known is up to where the log is known to be committed, Last its end.
	Known, Last consensus.Index
	// Configuration is the last one.
	Configuration consensus.Configuration
}

// Salvage rebuilds a group's state without an actor, from its snapshot and all of its log.
// Of c it needs ID, Protocol, Group, Name, Store, Machine and Replica. It returns an error
// that wraps ErrOtherEngine if the log is another protocol's, and ErrEmpty if there is
// nothing of the group. It changes nothing.
func Salvage(c Config) (Salvaged, error) {
	c.Progress = func(string, int64, int64) {}
	r := c.Protocol.Recover(c)
	records := 0
	if err := c.Store.Replay(c.Group, func(record storage.Record) error {
		records++
		return r.Add(record)
	}); err != nil {
		return Salvaged{}, fmt.Errorf("group: replay %s: %w", c.Name, err)
	}
	machine, err := replica.New(c.Replica, c.Machine())
	if err != nil {
		return Salvaged{}, err
	}
	snapshot, err := restoreNewest(c, machine)
	if err != nil {
		return Salvaged{}, err
	}
	if records == 0 && snapshot.Index == 0 {
		return Salvaged{}, fmt.Errorf("%w of %s", ErrEmpty, c.Name)
	}
	released := consensus.Index(c.Store.Released(c.Group))
	entries, known, err := r.Tail(snapshot, released)
	if err != nil {
		return Salvaged{}, err
	}
	engine, _, err := r.Engine(snapshot, released)
	if err != nil {
		return Salvaged{}, err
	}
	s := Salvaged{Replica: machine, Known: known, Last: snapshot.Index, Configuration: engine.Configuration()}
	if len(entries) > 0 {
		s.Last = entries[len(entries)-1].Index
	}
	return s, machine.Apply(entriesForReplica(entries), nil)
}

// ErrEmpty: the store holds nothing of the group.
var ErrEmpty = errors.New("group: the directory holds nothing")

// entriesForReplica leaves those empty that are not for the state machine.
func entriesForReplica(entries []consensus.Entry) []replica.Entry {
	out := make([]replica.Entry, len(entries))
	for i, e := range entries {
		out[i].Index = uint64(e.Index)
		if e.Kind == consensus.EntryCommand {
			out[i].Data = e.Data
		}
	}
	return out
}

// Begin makes state the beginning of a group in c.Store, where nothing of the group may
// be, at index: of one voter, first. Sessions and request ids stay, and what the state
// machine had only in the old cluster ends (replica.Renew). Of c it needs Protocol, Group
// and Store. It waits for the disk.
func Begin(c Config, state *replica.Replica, index consensus.Index, first consensus.Member) error {
	if err := state.Renew(uint64(index)); err != nil {
		return err
	}
	meta, records := c.Protocol.Begin(c.Group, index, first)
	w, err := c.Store.CreateSnapshot(storage.SnapshotMeta{Group: c.Group, Index: uint64(index), Term: uint64(meta.Term),
		Header: consensus.EncodeConfiguration(meta.Configuration)})
	if err != nil {
		return err
	}
	picture, err := state.Snapshot()
	if err == nil {
		_, err = picture.WriteTo(w)
	}
	if err != nil {
		w.Abort()
		return err
	}
	if _, err := w.Commit(); err != nil {
		return err
	}
	durable := make(chan error, 1)
	c.Store.Append(records, func(err error) { durable <- err })
	return <-durable
}
