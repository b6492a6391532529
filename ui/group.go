package ui

import (
	"cmp"
	"slices"

	"github.com/synod-go/synod/api"
)

// groupPart is one replicated log over all nodes.
type groupPart struct {
	Name   string    `json:"name"`
	Engine string    `json:"engine"`
	Leader string    `json:"leader,omitempty"`
	Term   uint64    `json:"term"`
	Ballot string    `json:"ballot,omitempty"`
	Quorum bool      `json:"quorum"` // a node that answers leads, and hears a majority
	Voters []string  `json:"voters"`
	Commit uint64    `json:"commit"` // the highest that any node knows of
	Last   uint64    `json:"last"`   // the highest index of all logs
	Rows   []rowPart `json:"rows"`
	Wrong  []string  `json:"wrong,omitempty"`
	// Contests are the newest steps of who leads: bids, refusals, and what became of them.
	Contests []contestPart `json:"contests,omitempty"`
}

// rowPart is one replica.
type rowPart struct {
	Node     string `json:"node"`
	Answers  bool   `json:"answers"`
	Role     string `json:"role"`
	Voter    bool   `json:"voter"`
	Quorum   bool   `json:"quorum"` // it knows a leader
	Leader   string `json:"leader,omitempty"`
	Term     uint64 `json:"term"`
	Ballot   string `json:"ballot,omitempty"`
	Promised string `json:"promised,omitempty"`
	Commit   uint64 `json:"commit"`
	Applied  uint64 `json:"applied"`
	First    uint64 `json:"first"`
	Last     uint64 `json:"last"`
	Snapshot uint64 `json:"snapshot,omitempty"`
	Behind   uint64 `json:"behind"`
	Witness  bool   `json:"witness,omitempty"`
	Wrong    string `json:"wrong,omitempty"`
	// Runs are the last entries of a Raft log: from, to, term.
	Runs [][3]uint64 `json:"runs,omitempty"`
	// Votes are the last instances of a Paxos group.
	Votes []votePart `json:"votes,omitempty"`
}

// votePart is what one replica knows of one instance.
type votePart struct {
	Index  uint64 `json:"i"`
	Vote   string `json:"v,omitempty"` // the ballot in which it has accepted
	Ballot string `json:"b"`           // that first proposed the value
	Kind   string `json:"k,omitempty"`
	Chosen bool   `json:"c,omitempty"`
}

// shownInstances is how many instances of Paxos are shown.
const shownInstances = 8

// groupPart joins what the nodes have told of a group.
func (w *world) groupPart(name string) groupPart {
	p := groupPart{Name: name, Rows: []rowPart{}, Contests: w.story.contests[name]}
	for _, n := range w.nodes {
		if g := n.group(name); g != nil {
			w.addGroup(&p, n, g)
		}
	}
	for i := range p.Rows {
		r := &p.Rows[i]
		if r.Answers && r.Term > p.Term { // its leader does not know yet that it leads no more
			p.Quorum = false
		}
		r.Voter = slices.Contains(p.Voters, r.Node)
		if r.Last < p.Last {
			r.Behind = p.Last - r.Last
		}
		r.Votes = slices.DeleteFunc(r.Votes, func(v votePart) bool { return v.Index+shownInstances <= p.Last })
	}
	if p.Leader == "" { // the newest that anybody has heard of
		for i := range p.Rows {
			if r := &p.Rows[i]; r.Term > p.Term {
				p.Term, p.Ballot = r.Term, r.Ballot
			}
		}
	}
	for _, voter := range p.Voters { // those that have never answered have a row too
		if !slices.ContainsFunc(p.Rows, func(r rowPart) bool { return r.Node == voter }) {
			p.Rows = append(p.Rows, rowPart{Node: voter, Voter: true, Role: "-"})
		}
	}
	slices.SortFunc(p.Rows, func(a, b rowPart) int { return compareNames(a.Node, b.Node) })
	return p
}

func (n *node) group(name string) *api.GroupLook {
	if n.look == nil {
		return nil
	}
	i := slices.IndexFunc(n.look.Groups, func(g api.GroupLook) bool { return g.Name == name })
	if i < 0 {
		return nil
	}
	return &n.look.Groups[i]
}

func (w *world) addGroup(p *groupPart, n *node, g *api.GroupLook) {
	row := rowPart{Node: n.name, Answers: n.answers() && g.Error == "", Role: g.Role, Quorum: g.Leader != "", Leader: g.Leader, Term: g.Term, Ballot: g.Ballot,
		Promised: g.Promised, Commit: g.Commit, Applied: g.Applied, First: g.First, Last: g.Last, Snapshot: g.Snapshot, Witness: g.Witness, Wrong: g.Quarantined}
	switch {
	case g.Quarantined != "":
		p.Wrong = append(p.Wrong, n.name+" is quarantined in "+g.Name+": "+g.Quarantined)
	case g.Error != "":
		row.Wrong = g.Error
	case g.Stalled:
		row.Wrong = "its disk does not answer"
		p.Wrong = append(p.Wrong, n.name+"'s disk does not answer")
	}
	if p.Engine = g.Engine; p.Engine == "paxos" {
		row.Votes = votesOf(g.Entries)
	} else {
		row.Runs = runsOf(g.Entries)
	}
	p.Rows = append(p.Rows, row)
	p.Last, p.Commit = max(p.Last, g.Last), max(p.Commit, g.Commit)
	if g.Term >= p.Term && len(g.Voters) > 0 && (row.Answers || p.Voters == nil) {
		p.Voters = g.Voters
	}
	if g.Role != "leader" || !row.Answers || g.Term < p.Term {
		return
	}
	p.Leader, p.Term, p.Ballot = n.name, g.Term, g.Ballot
	p.Quorum = 2*len(g.Up) > len(g.Voters)
	p.Voters = g.Voters
}

// runsOf are rows of entries with one term.
func runsOf(entries []api.LogEntryLook) (runs [][3]uint64) {
	for _, e := range entries {
		if n := len(runs); n > 0 && runs[n-1][1]+1 == e.Index && runs[n-1][2] == e.Term {
			runs[n-1][1] = e.Index
			continue
		}
		runs = append(runs, [3]uint64{e.Index, e.Index, e.Term})
	}
	return runs
}

func votesOf(entries []api.LogEntryLook) []votePart {
	votes := make([]votePart, 0, shownInstances)
	for _, e := range entries[max(0, len(entries)-2*shownInstances):] {
		votes = append(votes, votePart{Index: e.Index, Vote: e.Vote, Ballot: e.Ballot, Kind: e.Kind, Chosen: e.Chosen})
	}
	return votes
}

// compareNames orders n2 before n10.
func compareNames(a, b string) int {
	if len(a) != len(b) {
		return cmp.Compare(len(a), len(b))
	}
	return cmp.Compare(a, b)
}
