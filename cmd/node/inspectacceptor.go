package main

import (
	"cmp"
	"fmt"
	"hash/fnv"
	"io"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/synod-go/synod"
	"github.com/synod-go/synod/actors/acceptor"
	"github.com/synod-go/synod/actors/decree"
	"github.com/synod-go/synod/actors/learner"
	"github.com/synod-go/synod/api"
	"github.com/synod-go/synod/paxos"
	"github.com/synod-go/synod/paxos/founding"
	"github.com/synod-go/synod/storage"
)

// acceptorReport is what "inspect acceptor" tells of a disk.
type acceptorReport struct {
	Identity *identityReport `json:"identity"`
	// Founded: the acceptor has seen a proposer that knew the set to be pinned by all.
	Founded   bool           `json:"founded"`
	Acceptors []memberReport `json:"acceptors"`
	Decrees   []decreeReport `json:"decrees"`
	// More is how many decrees are not in Decrees.
	More int `json:"more"`
	// Groups are the replicated logs whose engine is Paxos.
	Groups []*groupLog `json:"groups"`
}

type memberReport struct {
	Name string `json:"name"`
	ID   string `json:"id"`
}

// decreeReport is what a disk holds of one decree.
type decreeReport struct {
	Decree   string `json:"decree"`
	Promised string `json:"promised,omitempty"`
	Accepted string `json:"accepted,omitempty"` // the ballot of the last vote
	Value    string `json:"value,omitempty"`    // that was voted for
	// Chosen is what the learner on the same disk knows.
	Chosen string `json:"chosen,omitempty"`
}

// span says which part of a long list is shown.
type span struct {
	from, to string
	most     int
}

func (a *app) inspectAcceptor() *cobra.Command {
	var dir string
	var s span
	c := &cobra.Command{
		Use: "acceptor", Short: "what an acceptor has promised and voted for, and what a learner beside it knows", Args: cobra.NoArgs,
		Long: "Read the directory of a process and change nothing. Of single decrees: who the acceptors are, and for each\n" +
			"the highest ballot that was promised, the last vote with its ballot, and the chosen value if the process is a\n" +
			"learner too. A ballot is its round and the process that made it. Of a group whose engine is Paxos: the promised\n" +
			"and the proposed ballot, the acceptors of the epoch, and the last vote of each slot with its ballot and the\n" +
			"ballot of the leader who first proposed it. Damage is refused.",
		Example: a.example("inspect acceptor --data data/a1", "inspect acceptor --data data/a1 --from colour --to colour --output json",
			"inspect acceptor --data data/n1 --from 100 --to 120"),
		RunE: func(_ *cobra.Command, _ []string) error { return a.showAcceptor(dir, s) },
	}
	c.Flags().StringVar(&dir, "data", "data/a1", "data directory of the process")
	c.Flags().StringVar(&s.from, "from", "", "first decree to show, in the order of names, or first slot; default the last slots")
	c.Flags().StringVar(&s.to, "to", "", "last decree, or slot, to show")
	c.Flags().IntVar(&s.most, "most", 100, "how many decrees or slots to show at most")
	return c
}

func (a *app) showAcceptor(dir string, s span) error {
	report, err := inspect(dir)
	if err != nil {
		return err
	}
	if report.Tail.State == storage.TailDamaged || len(report.Problems) > 0 {
		why := strings.Join(append(report.Problems, report.Tail.Reason), "; ")
		return &api.Error{Code: api.CodeDamage, Message: fmt.Sprintf("%q is damaged: what it says cannot be relied on", dir),
			Why: strings.Trim(why, "; "), Do: []string{"node inspect wal " + dir}}
	}
	disk, err := readDecrees(dir)
	if err != nil {
		return err
	}
	groups, err := readGroupLogs(dir, s)
	if err != nil {
		return err
	}
	if !disk.any && len(groups) == 0 {
		return &api.Error{Code: api.CodeNotFound, Message: fmt.Sprintf("%q holds nothing of an acceptor", dir),
			Why: "neither a process of decrees nor a group whose engine is Paxos has written it", Do: []string{"node inspect wal " + dir}}
	}
	found := disk.report(s)
	found.Groups = groups
	if i := report.Identity; i != nil {
		found.Identity = &identityReport{Node: i.Node, ID: fmt.Sprintf("%016x", i.Incarnation), Cluster: i.Cluster, Format: i.Format}
	}
	return a.answer(found, func(w io.Writer) {
		showIdentity(w, report)
		if disk.any {
			disk.show(w, found)
		}
		for _, g := range groups {
			g.show(w)
		}
	})
}

// decreeDisk is what the roles of a process have on disk.
type decreeDisk struct {
	any            bool
	set            founding.State
	votes, learned *decree.Table
	names          map[paxos.ID]string // of the acceptors
}

// groupNumber is the number under which the log keeps a group.
func groupNumber(name string) storage.Group {
	h := fnv.New32a()
	h.Write([]byte(name))
	return storage.Group(h.Sum32())
}

func readDecrees(dir string) (*decreeDisk, error) {
	abs, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	d := &decreeDisk{votes: decree.NewTable(nil, decree.Limits{}), learned: decree.NewTable(nil, decree.Limits{}), names: map[paxos.ID]string{}}
	votes, learned := groupNumber("decrees/"+string(synod.RoleAcceptor)), groupNumber("decrees/"+string(synod.RoleLearner))
	err = storage.Walk(storage.OS(), abs, func(r storage.Record) error {
		switch {
		case r.Group == votes:
			d.any = true
			return d.add(d.votes, r)
		case r.Group == learned:
			return d.add(d.learned, r)
		}
		return nil
	})
	if err != nil {
		return nil, &api.Error{Code: api.CodeData, Message: fmt.Sprintf("%q cannot be read", dir), Why: plain(err)}
	}
	for _, m := range d.set.Set.Members() {
		d.names[m.ID] = m.Name
	}
	return d, nil
}

// readGroupLogs reads the logs of groups whose engine is Paxos.
func readGroupLogs(dir string, s span) ([]*groupLog, error) {
	abs, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	logs := map[storage.Group]*groupLog{}
	err = storage.Walk(storage.OS(), abs, func(r storage.Record) error {
		if logs[r.Group] == nil && isPaxos(r) {
			logs[r.Group] = newGroupLog(r.Group)
		}
		if g := logs[r.Group]; g != nil {
			g.add(r)
		}
		return nil
	})
	if err != nil {
		return nil, &api.Error{Code: api.CodeData, Message: fmt.Sprintf("%q cannot be read", dir), Why: plain(err)}
	}
	groups := []*groupLog{}
	for _, g := range logs {
		if err := g.finish(s); err != nil {
			return nil, err
		}
		groups = append(groups, g)
	}
	slices.SortFunc(groups, func(a, b *groupLog) int { return strings.Compare(a.Name, b.Name) })
	return groups, nil
}

func (d *decreeDisk) add(t *decree.Table, r storage.Record) (err error) {
	switch {
	case r.Type == decree.RecordRow:
		return t.Load(r)
	case r.Type == decree.RecordSet && t == d.votes:
		d.set, err = decree.DecodeState(r.Data)
	}
	return err
}

// report is the part of the disk that is to be shown.
func (d *decreeDisk) report(s span) acceptorReport {
	r := acceptorReport{Founded: d.set.Founded, Acceptors: []memberReport{}, Decrees: []decreeReport{}}
	for _, m := range d.set.Set.Members() {
		r.Acceptors = append(r.Acceptors, memberReport{m.Name, fmt.Sprintf("%016x", uint64(m.ID))})
	}
	names := append(d.votes.Names(), d.learned.Names()...)
	slices.Sort(names)
	for _, name := range slices.Compact(names) {
		switch {
		case name < s.from, s.to != "" && name > s.to, len(r.Decrees) >= s.most:
			r.More++
		default:
			r.Decrees = append(r.Decrees, d.decree(name))
		}
	}
	return r
}

func (d *decreeDisk) decree(name string) decreeReport {
	r := decreeReport{Decree: name}
	if data, ok := d.votes.Get(name); ok {
		if s, err := acceptor.DecodeState(data); err == nil {
			r.Promised, r.Accepted, r.Value = d.ballot(s.Promised), d.ballot(s.Accepted.Ballot), string(s.Accepted.Value)
		}
	}
	if data, ok := d.learned.Get(name); ok {
		if v, err := learner.DecodeVote(data); err == nil {
			r.Chosen = string(v.Value)
		}
	}
	return r
}

// ballot is its round and the name or the ID of who made it, "" if there is none.
func (d *decreeDisk) ballot(b paxos.Ballot) string {
	if b.IsZero() {
		return ""
	}
	return fmt.Sprintf("%d.%s", b.Round, cmp.Or(d.names[b.Node], fmt.Sprintf("%016x", uint64(b.Node))))
}

func (d *decreeDisk) show(w io.Writer, r acceptorReport) {
	var set []string
	for _, m := range r.Acceptors {
		set = append(set, m.Name+" "+m.ID)
	}
	state := "pinned by this acceptor"
	if r.Founded {
		state = "for ever"
	}
	if len(set) == 0 {
		set, state = []string{"none pinned yet"}, "nothing was ever voted for"
	}
	fmt.Fprintf(w, "acceptors %s (%s)\n", strings.Join(set, ", "), state)
	rows := [][]string{{"DECREE", "PROMISED", "VOTE", "VALUE", "CHOSEN"}}
	for _, e := range r.Decrees {
		rows = append(rows, []string{short(e.Decree), cmp.Or(e.Promised, "-"), cmp.Or(e.Accepted, "-"), short(e.Value), short(e.Chosen)})
	}
	columns(w, rows)
	if r.More > 0 {
		fmt.Fprintf(w, "%s more: --from, --to and --most say which\n", counted(uint64(r.More)))
	}
}

// short is a text that fits into a column, "-" if there is none.
func short(text string) string {
	if text == "" {
		return "-"
	}
	if quoted := fmt.Sprintf("%q", text); quoted != `"`+text+`"` {
		text = quoted
	}
	if len(text) > 24 {
		text = text[:21] + "..."
	}
	return text
}
