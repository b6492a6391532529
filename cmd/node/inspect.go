package main

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/synod-go/synod/actors/raftnode"
	"github.com/synod-go/synod/api"
	"github.com/synod-go/synod/consensus"
	"github.com/synod-go/synod/multipaxos"
	"github.com/synod-go/synod/raft"
	"github.com/synod-go/synod/storage"
)

// walReport is what "inspect wal" tells: what storage sees, and what the
// groups have written.
type walReport struct {
	*storage.Report
	// These two stand in for the report's own.
	Identity *identityReport `json:"identity,omitempty"`
	LockedBy string          `json:"locked_by,omitempty"`
	Raft     []raftReport    `json:"raft"`
	Paxos    []paxosReport   `json:"paxos,omitempty"`
}

// identityReport is whose directory it is, as "members" names it too.
type identityReport struct {
	Node    string `json:"node"`
	ID      string `json:"id"`
	Cluster string `json:"cluster"`
	Format  uint32 `json:"format"`
}

// snapshotReport is a snapshot with its group's name. Of a Paxos group it has the
// ballot of the last LEAD and the epoch.
type snapshotReport struct {
	Name   string `json:"name"`
	Ballot string `json:"ballot,omitempty"`
	Epoch  uint32 `json:"epoch,omitempty"`
	storage.SnapshotReport
}

func reportSnapshot(s storage.SnapshotReport) snapshotReport {
	report := snapshotReport{Name: groupName(s.Group), SnapshotReport: s}
	if c, err := consensus.DecodeConfiguration(s.Header); err == nil && c.Epoch > 0 {
		report.Ballot, report.Epoch = multipaxos.FormatBallot(multipaxos.Ballot(s.Term)), c.Epoch
	}
	return report
}

// raftReport is one Raft group's part of a log.
type raftReport struct {
	Group   storage.Group `json:"group"`
	Name    string        `json:"name"`
	Term    uint64        `json:"term"` // hard state
	Vote    string        `json:"vote,omitempty"`
	Base    uint64        `json:"base"` // index of the snapshot that the log follows
	First   entryAt       `json:"first"`
	Last    entryAt       `json:"last"`
	Entries uint64        `json:"entries"` // written, overwritten ones too
	Bytes   uint64        `json:"bytes"`
	Unknown int           `json:"unknown,omitempty"` // records that are none of Raft's
}

// entryAt is the place of an entry.
type entryAt struct {
	Index uint64 `json:"index"`
	Term  uint64 `json:"term"`
}

func (e entryAt) String() string {
	if e.Index == 0 {
		return "none"
	}
	return fmt.Sprintf("%d/t%d", e.Index, e.Term)
}

func (a *app) inspectCommand() *cobra.Command {
	c := &cobra.Command{Use: "inspect", Short: "look into a node's files, also without the node", Example: a.example("inspect wal data/n1", "inspect snapshot data/n1", "inspect acceptor --data data/a1")}
	c.AddCommand(
		&cobra.Command{
			Use: "wal DIR", Short: "what the log holds, and whether its end is torn or damaged", Args: cobra.ExactArgs(1),
			Long: "Read a node's log from end to end and change nothing. An unfinished batch at the end (torn) is normal\n" +
				"after a crash: nobody was told that it is done, and a start cuts it. Damage is something else: exit code 8.",
			Example: a.example("inspect wal data/n1", "inspect wal data/n1 --output json"),
			RunE:    func(_ *cobra.Command, args []string) error { return a.inspectWAL(args[0]) },
		},
		&cobra.Command{
			Use: "snapshot DIR", Short: "which snapshots there are, and whether they are whole", Args: cobra.ExactArgs(1),
			Example: a.example("inspect snapshot data/n1"),
			RunE:    func(_ *cobra.Command, args []string) error { return a.inspectSnapshots(args[0]) },
		}, a.inspectAcceptor(), a.inspectReplay())
	return c
}

func (a *app) inspectWAL(dir string) error {
	report, err := inspect(dir)
	if err != nil {
		return err
	}
	raftGroups, paxosGroups, err := logReports(dir)
	if err != nil {
		return err
	}
	whole := walReport{Report: report, Raft: raftGroups, Paxos: paxosGroups, LockedBy: strings.TrimPrefix(report.LockedBy, "by ")}
	if i := report.Identity; i != nil {
		whole.Identity = &identityReport{Node: i.Node, ID: fmt.Sprintf("%016x", i.Incarnation), Cluster: i.Cluster, Format: i.Format}
	}
	if err := a.answer(whole, func(w io.Writer) { showWAL(w, report, raftGroups, paxosGroups) }); err != nil {
		return err
	}
	if len(report.Problems) > 0 || report.Tail.State == storage.TailDamaged {
		return silent(api.ExitUnhealthy)
	}
	return nil
}

func inspect(dir string) (*storage.Report, error) {
	if info, err := os.Stat(dir); err != nil || !info.IsDir() {
		return nil, &api.Error{Code: api.CodeNotFound, Message: fmt.Sprintf("there is no directory %q", dir)}
	}
	abs, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	report, err := storage.Inspect(storage.OS(), abs)
	if errors.Is(err, os.ErrNotExist) {
		return nil, &api.Error{Code: api.CodeNotFound, Message: fmt.Sprintf("%q is not the data directory of a node", dir), Why: "it holds no log"}
	}
	if err != nil {
		return nil, &api.Error{Code: api.CodeData, Message: fmt.Sprintf("%q cannot be read", dir), Why: plain(err)}
	}
	return report, nil
}

// logReports decodes the records of all groups, by the engine that wrote them.
func logReports(dir string) (raft []raftReport, paxos []paxosReport, err error) {
	abs, err := filepath.Abs(dir)
	if err != nil {
		return nil, nil, err
	}
	ofRaft, ofPaxos := map[storage.Group]*raftReport{}, map[storage.Group]*paxosReport{}
	err = storage.Walk(storage.OS(), abs, func(r storage.Record) error {
		if isPaxos(r) {
			if ofPaxos[r.Group] == nil {
				ofPaxos[r.Group] = newPaxosReport(r.Group)
			}
			ofPaxos[r.Group].add(r)
			return nil
		}
		if ofRaft[r.Group] == nil {
			ofRaft[r.Group] = &raftReport{Group: r.Group, Name: groupName(r.Group)}
		}
		ofRaft[r.Group].add(r)
		return nil
	})
	if err != nil {
		return nil, nil, &api.Error{Code: api.CodeData, Message: "the log cannot be read", Why: plain(err)}
	}
	raft = sortedByName(ofRaft, func(r raftReport) string { return r.Name })
	return raft, sortedByName(ofPaxos, func(p paxosReport) string { return p.Name }), nil
}

// sortedByName is the list of reports in the order of their groups' names.
func sortedByName[R any](reports map[storage.Group]*R, name func(R) string) []R {
	list := []R{}
	for _, r := range reports {
		list = append(list, *r)
	}
	slices.SortFunc(list, func(a, b R) int { return strings.Compare(name(a), name(b)) })
	return list
}

// groupName knows the groups of this program by the number that stands in the log.
func groupName(g storage.Group) string {
	for _, name := range []string{coordinationGroup, registryGroup, "decrees/proposer", "decrees/acceptor", "decrees/learner"} {
		if g == groupNumber(name) {
			return name
		}
	}
	return fmt.Sprintf("%08x", uint32(g))
}

func (g *raftReport) add(r storage.Record) {
	switch r.Type {
	case raftnode.RecordHardState:
		if hard, err := raftnode.DecodeHardState(r.Data); err == nil {
			g.Term = uint64(hard.Term)
			g.Vote = fmt.Sprintf("%016x", uint64(hard.Vote))
			return
		}
	case raftnode.RecordBase:
		if base, err := raftnode.DecodeBase(r.Data); err == nil {
			g.Base = uint64(base.Index)
			if g.Last.Index <= g.Base {
				g.First, g.Last = entryAt{}, entryAt{}
			}
			return
		}
	case raftnode.RecordEntries:
		if entries, err := raft.DecodeEntries(r.Data); err == nil && len(entries) > 0 {
			g.addEntries(entries, len(r.Data))
			return
		}
	case raftnode.RecordBootstrap:
		return
	}
	g.Unknown++
}

func (g *raftReport) addEntries(entries []raft.Entry, bytes int) {
	first, last := entries[0], entries[len(entries)-1]
	if g.First.Index == 0 || uint64(first.Index) <= g.First.Index {
		g.First = entryAt{uint64(first.Index), uint64(first.Term)}
	}
	g.Last = entryAt{uint64(last.Index), uint64(last.Term)}
	g.Entries += uint64(len(entries))
	g.Bytes += uint64(bytes)
}

func showWAL(w io.Writer, r *storage.Report, raftGroups []raftReport, paxosGroups []paxosReport) {
	showIdentity(w, r)
	rows := [][]string{{"SEGMENT", "USE", "SIZE", "USED", "BATCHES", "RECORDS"}}
	for _, s := range r.Segments {
		rows = append(rows, []string{filepath.Base(s.File), s.Use, sized(s.Size), sized(s.Bytes), counted(uint64(s.Batches)), counted(uint64(s.Records))})
	}
	columns(w, rows)
	if len(raftGroups) > 0 || len(paxosGroups) == 0 {
		showRaft(w, raftGroups)
	}
	if len(paxosGroups) > 0 {
		showPaxos(w, paxosGroups)
	}
	fmt.Fprintln(w, "tail  "+tailWords(r.Tail))
	for _, problem := range r.Problems {
		fmt.Fprintln(w, "! "+plain(errors.New(problem)))
	}
}

func showRaft(w io.Writer, groups []raftReport) {
	rows := [][]string{{"GROUP", "TERM", "VOTE", "SNAPSHOT", "FIRST", "LAST", "ENTRIES"}}
	for _, g := range groups {
		rows = append(rows, []string{g.Name, fmt.Sprint(g.Term), g.Vote, fmt.Sprint(g.Base), g.First.String(), g.Last.String(), counted(g.Entries)})
	}
	columns(w, rows)
}

func showIdentity(w io.Writer, r *storage.Report) {
	if r.Identity != nil {
		fmt.Fprintf(w, "node %s  id %016x  cluster %s  format %d\n", r.Identity.Node, r.Identity.Incarnation, r.Identity.Cluster, r.Identity.Format)
	}
	if r.Locked {
		fmt.Fprintf(w, "in use %s: the end may be in the middle of a write\n", r.LockedBy)
	}
}

func tailWords(t storage.TailReport) string {
	at := fmt.Sprintf("at byte %s of %s", counted(uint64(t.Offset)), filepath.Base(t.File))
	switch {
	case t.State == storage.TailTorn:
		return fmt.Sprintf("torn %s: %s. It was never acknowledged; a start cuts it.", at, t.Reason)
	case t.State == storage.TailDamaged:
		return fmt.Sprintf("DAMAGED %s: %s. A node does not start on it: move the directory away and let the node join anew.", at, t.Reason)
	}
	return "clean"
}

func (a *app) inspectSnapshots(dir string) error {
	report, err := inspect(dir)
	if err != nil {
		return err
	}
	damaged := slices.ContainsFunc(report.Snapshots, func(s storage.SnapshotReport) bool { return s.State == "damaged" })
	named, term := []snapshotReport{}, "TERM"
	for _, s := range report.Snapshots {
		named = append(named, reportSnapshot(s))
		if named[len(named)-1].Ballot != "" {
			term = "BALLOT"
		}
	}
	err = a.answer(named, func(w io.Writer) {
		showIdentity(w, report)
		rows := [][]string{{"GROUP", "INDEX", term, "SIZE", "STATE", "FILE"}}
		for _, s := range named {
			rows = append(rows, []string{s.Name, fmt.Sprint(s.Index), cmp.Or(s.Ballot, fmt.Sprint(s.Term)), sized(s.Size), strings.TrimSpace(s.State + " " + s.Reason), filepath.Base(s.File)})
		}
		columns(w, rows)
	})
	if err == nil && damaged {
		return silent(api.ExitUnhealthy)
	}
	return err
}
