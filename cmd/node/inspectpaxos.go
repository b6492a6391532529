package main

import (
	"encoding/binary"
	"fmt"
	"io"

	"github.com/synod-go/synod/consensus"
	"github.com/synod-go/synod/multipaxos"
	"github.com/synod-go/synod/storage"
)

// paxosReport is one Paxos group's part of a log. Ballots are written as
// epoch.round.proposer.
type paxosReport struct {
	Group    storage.Group `json:"group"`
	Name     string        `json:"name"`
	Promised string        `json:"promised"` // no ballot below it is voted for any more
	Proposed string        `json:"proposed"` // the last ballot prepared here
	Chosen   uint64        `json:"chosen"`   // everything up to here is known to be chosen
	Base     uint64        `json:"base"`     // slot of the snapshot that the log follows
	First    uint64        `json:"first"`    // slot, 0 if there is none
	Last     uint64        `json:"last"`
	Voted    string        `json:"voted"`   // the highest ballot of any vote
	Entries  uint64        `json:"entries"` // written, overwritten ones too
	Bytes    uint64        `json:"bytes"`
	Unknown  int           `json:"unknown,omitempty"` // records that cannot be read

	voted multipaxos.Ballot
}

// isPaxos reports whether a record is a Paxos group's.
func isPaxos(r storage.Record) bool {
	return r.Type >= multipaxos.RecordHardState && r.Type <= multipaxos.RecordBootstrap
}

func newPaxosReport(g storage.Group) *paxosReport {
	none := multipaxos.FormatBallot(0)
	return &paxosReport{Group: g, Name: groupName(g), Promised: none, Proposed: none, Voted: none}
}

func (g *paxosReport) add(r storage.Record) {
	switch r.Type {
	case multipaxos.RecordHardState:
		if hard, err := multipaxos.DecodeHardState(r.Data); err == nil {
			g.Promised, g.Proposed = multipaxos.FormatBallot(hard.Promised), multipaxos.FormatBallot(hard.Proposed)
			return
		}
	case multipaxos.RecordVotes:
		if run, err := multipaxos.DecodeVotes(r.Data); err == nil {
			g.voted = max(g.voted, run.Ballot)
			g.Voted = multipaxos.FormatBallot(g.voted)
			g.addEntries(run.Entries, len(r.Data))
			return
		}
	case multipaxos.RecordLearned:
		if entries, err := consensus.DecodeEntries(r.Data); err == nil {
			g.addEntries(entries, len(r.Data))
			return
		}
	case multipaxos.RecordChosen:
		if len(r.Data) == 8 {
			g.Chosen = max(g.Chosen, binary.LittleEndian.Uint64(r.Data))
			return
		}
	case multipaxos.RecordBase:
		if base, err := multipaxos.DecodeBase(r.Data); err == nil {
			g.Base = uint64(base.Index)
			g.Chosen = max(g.Chosen, g.Base)
			return
		}
	case multipaxos.RecordBootstrap:
		return
	}
	g.Unknown++
}

func (g *paxosReport) addEntries(entries []consensus.Entry, bytes int) {
	for _, e := range entries {
		if g.First == 0 || uint64(e.Index) < g.First {
			g.First = uint64(e.Index)
		}
		g.Last = max(g.Last, uint64(e.Index))
	}
	g.Entries += uint64(len(entries))
	g.Bytes += uint64(bytes)
}

func showPaxos(w io.Writer, groups []paxosReport) {
	rows := [][]string{{"GROUP", "PROMISED", "VOTED", "CHOSEN", "SNAPSHOT", "FIRST", "LAST", "ENTRIES"}}
	for _, g := range groups {
		rows = append(rows, []string{g.Name, g.Promised, g.Voted, fmt.Sprint(g.Chosen), fmt.Sprint(g.Base),
			fmt.Sprint(g.First), fmt.Sprint(g.Last), counted(g.Entries)})
	}
	columns(w, rows)
}
