package main

import (
	"encoding/binary"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/synod-go/synod/api"
	"github.com/synod-go/synod/consensus"
	"github.com/synod-go/synod/multipaxos"
	"github.com/synod-go/synod/storage"
)

// groupLog is what the acceptor of a replicated log has on disk. Ballots are written
// as epoch.round.proposer.
type groupLog struct {
	Name     string `json:"name"`
	Promised string `json:"promised"` // no ballot below it is voted for any more
	Proposed string `json:"proposed"` // the last one prepared here
	Chosen   uint64 `json:"chosen"`   // all slots up to it are known to be chosen
	Base     uint64 `json:"base"`     // the slot of the snapshot that the log follows
	// Epoch and Members are the newest configuration that the log and its base tell of.
	Epoch   uint32        `json:"epoch"`
	Members []memberOfLog `json:"members"`
	Slots   []slotReport  `json:"slots"`
	More    int           `json:"more"` // slots that are not in Slots
	Unknown int           `json:"unknown,omitempty"`

	newest consensus.Configuration
	votes  map[uint64]slotReport
}

type memberOfLog struct {
	ID    string `json:"id"`
	Voter bool   `json:"voter"`
}

// slotReport is the last vote of a slot, or its chosen entry.
type slotReport struct {
	Slot uint64 `json:"slot"`
	// Ballot of the vote; empty if the entry was learned from a peer, as chosen.
	Ballot string `json:"ballot,omitempty"`
	// Origin is the ballot of the leader who first proposed the entry.
	Origin string `json:"origin"`
	Kind   string `json:"kind"`
	Bytes  int    `json:"bytes"`
	Chosen bool   `json:"chosen"`
}

var entryKinds = map[consensus.EntryKind]string{consensus.EntryCommand: "command", consensus.EntryNoOp: "no-op",
	consensus.EntryConfiguration: "SEAL", consensus.EntryLead: "LEAD"}

func newGroupLog(g storage.Group) *groupLog {
	none := multipaxos.FormatBallot(0)
	return &groupLog{Name: groupName(g), Promised: none, Proposed: none, Members: []memberOfLog{}, votes: map[uint64]slotReport{}}
}

// add takes a record, in the order of the log: a later one replaces what an earlier
// one says of a slot.
func (g *groupLog) add(r storage.Record) {
	if !g.read(r) {
		g.Unknown++
	}
}

func (g *groupLog) read(r storage.Record) bool {
	switch r.Type {
	case multipaxos.RecordHardState:
		hard, err := multipaxos.DecodeHardState(r.Data)
		g.Promised, g.Proposed = multipaxos.FormatBallot(hard.Promised), multipaxos.FormatBallot(hard.Proposed)
		return err == nil
	case multipaxos.RecordVotes:
		run, err := multipaxos.DecodeVotes(r.Data)
		g.entries(run.Entries, multipaxos.FormatBallot(run.Ballot))
		return err == nil
	case multipaxos.RecordLearned:
		entries, err := consensus.DecodeEntries(r.Data)
		g.entries(entries, "")
		return err == nil
	case multipaxos.RecordChosen:
		if len(r.Data) == 8 {
			g.Chosen = max(g.Chosen, binary.LittleEndian.Uint64(r.Data))
		}
		return len(r.Data) == 8
	case multipaxos.RecordBase:
		base, err := multipaxos.DecodeBase(r.Data)
		g.Base, g.Chosen = uint64(base.Index), max(g.Chosen, uint64(base.Index))
		g.configuration(base.Configuration)
		maps.DeleteFunc(g.votes, func(slot uint64, _ slotReport) bool { return slot <= g.Base })
		return err == nil
	case multipaxos.RecordBootstrap:
		configuration, err := consensus.DecodeConfiguration(r.Data)
		g.configuration(configuration)
		return err == nil
	}
	return false
}

func (g *groupLog) entries(entries []consensus.Entry, ballot string) {
	for _, e := range entries {
		g.votes[uint64(e.Index)] = slotReport{Slot: uint64(e.Index), Ballot: ballot, Origin: multipaxos.FormatBallot(e.Term),
			Kind: entryKinds[e.Kind], Bytes: len(e.Data), Chosen: ballot == ""}
		if e.Kind != consensus.EntryConfiguration {
			continue
		}
		if configuration, err := consensus.DecodeConfiguration(e.Data); err == nil {
			g.configuration(configuration)
		}
	}
}

// configuration keeps the one of the highest epoch. Of an epoch that is voted for and
// not chosen yet, the slot of its SEAL tells.
func (g *groupLog) configuration(c consensus.Configuration) {
	if c.Epoch >= g.newest.Epoch && len(c.Members) > 0 {
		g.newest = c
	}
}

// finish chooses what is shown: the last slots, or those from and to which s says.
func (g *groupLog) finish(s span) error {
	from, to, err := s.slots()
	if err != nil {
		return err
	}
	g.Epoch = g.newest.Epoch
	for _, m := range g.newest.Members {
		g.Members = append(g.Members, memberOfLog{fmt.Sprintf("%016x", uint64(m.ID)), m.Voter})
	}
	g.Slots = []slotReport{}
	for _, slot := range slices.Sorted(maps.Keys(g.votes)) {
		if slot < from || slot > to {
			continue
		}
		v := g.votes[slot]
		v.Chosen = v.Chosen || slot <= g.Chosen
		g.Slots = append(g.Slots, v)
	}
	if extra := len(g.Slots) - max(0, s.most); extra > 0 && s.from == "" {
		g.Slots = g.Slots[extra:]
	} else if extra > 0 {
		g.Slots = g.Slots[:len(g.Slots)-extra]
	}
	g.More = len(g.votes) - len(g.Slots)
	return nil
}

// slots is a span of slots.
func (s span) slots() (from, to uint64, err error) {
	to = 1<<64 - 1
	for _, bound := range []struct {
		text string
		set  *uint64
	}{{s.from, &from}, {s.to, &to}} {
		if bound.text == "" {
			continue
		}
		if *bound.set, err = strconv.ParseUint(bound.text, 10, 64); err != nil {
			return 0, 0, &api.Error{Code: api.CodeUsage, Message: fmt.Sprintf("there is no slot %q", bound.text), Why: "slots are numbers"}
		}
	}
	return from, to, nil
}

func (g *groupLog) show(w io.Writer) {
	var members []string
	for _, m := range g.Members {
		if !m.Voter {
			m.ID += " (learner)"
		}
		members = append(members, m.ID)
	}
	fmt.Fprintf(w, "group %s  promised %s  proposed %s  chosen up to %d  snapshot %d\n", g.Name, g.Promised, g.Proposed, g.Chosen, g.Base)
	fmt.Fprintf(w, "epoch %d  acceptors %s\n", g.Epoch, strings.Join(members, ", "))
	rows := [][]string{{"SLOT", "VOTE", "ORIGIN", "KIND", "SIZE", "CHOSEN"}}
	for _, v := range g.Slots {
		chosen, ballot := "-", v.Ballot
		if v.Chosen {
			chosen = "yes"
		}
		if ballot == "" {
			ballot = "learned"
		}
		rows = append(rows, []string{fmt.Sprint(v.Slot), ballot, v.Origin, v.Kind, sized(int64(v.Bytes)), chosen})
	}
	columns(w, rows)
	if g.More > 0 {
		fmt.Fprintf(w, "%s slots more: --from, --to and --most say which\n", counted(uint64(g.More)))
	}
}
