package ui

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/synod-go/synod/api"
)

// parts are what the page is drawn from, by name. What changes all the time without telling
// anything, as a clock does, is not in them.
func (w *world) parts() map[string]any {
	parts := map[string]any{}
	var groups []groupPart
	for _, name := range w.groupNames() {
		g := w.groupPart(name)
		groups = append(groups, g)
		parts["group/"+name] = g
	}
	for _, name := range w.names() {
		parts["node/"+name] = w.nodePart(name)
		if n := w.nodes[name]; n != nil && n.look != nil {
			parts["actors/"+name] = actorsPart(n.look)
		}
	}
	parts["work"] = w.workPart()
	parts["sessions"] = w.sessionsPart()
	parts["invariants"] = w.checks.part()
	drawn := w.mapPart(groups)
	parts["map"] = drawn
	hero := w.heroPart(groups)
	if len(drawn.Walls) > 0 {
		hero.warn(drawn.Label)
	}
	parts["hero"] = hero
	return parts
}

func (w *world) groupNames() []string {
	var names []string
	for _, n := range w.nodes {
		if n.look == nil {
			continue
		}
		for _, g := range n.look.Groups {
			if !slices.Contains(names, g.Name) {
				names = append(names, g.Name)
			}
		}
	}
	slices.Sort(names)
	return names
}

// nodePart is one member.
type nodePart struct {
	Name    string            `json:"name"`
	ID      string            `json:"id"`
	API     string            `json:"api,omitempty"`
	State   string            `json:"state"` // "up", "silent", "dead", or "unknown" before the first answer
	Since   int64             `json:"since,omitempty"`
	Why     string            `json:"why,omitempty"`
	Serving bool              `json:"serving,omitempty"`
	Voter   bool              `json:"voter"`
	Roles   []string          `json:"roles,omitempty"`
	Version string            `json:"version,omitempty"`
	Gossip  map[string]string `json:"gossip"` // what each node that answers holds of it
}

func (w *world) nodePart(name string) nodePart {
	p := nodePart{Name: name, Serving: name == w.self, Gossip: map[string]string{}, State: "unknown"}
	dead := 0
	for _, by := range w.nodes {
		if !by.answers() {
			continue
		}
		for _, m := range by.look.Members {
			if m.Name != name {
				continue
			}
			p.Gossip[by.name] = m.State
			if m.State == "dead" {
				dead++
			}
			if p.API == "" || m.State == "alive" {
				p.ID, p.API, p.Roles, p.Voter = m.ID, cmp.Or(m.API, p.API), m.Roles, m.Voter
			}
		}
	}
	n := w.nodes[name]
	switch {
	case n.answers():
		p.State, p.Version, p.ID = "up", n.look.Version, n.look.ID
	case dead > 0 && dead*2 >= len(p.Gossip):
		p.State = "dead"
	case n != nil && !n.silent.IsZero():
		p.State = "silent"
	}
	if n != nil && !n.silent.IsZero() {
		p.Since, p.Why = n.silent.UnixMilli(), n.why
	}
	return p
}

// actorPart is one actor of a supervision tree.
type actorPart struct {
	Name     string `json:"name"`
	Parent   string `json:"parent,omitempty"`
	Waiting  int    `json:"waiting"`
	Restarts int    `json:"restarts"`
	Refused  uint64 `json:"refused,omitempty"`
	Panic    string `json:"panic,omitempty"`
	PanicAt  int64  `json:"panic_at,omitempty"`
}

// maxActors is how many actors of a node are shown.
const maxActors = 100

func actorsPart(l *api.Look) []actorPart {
	list := []actorPart{}
	for _, a := range l.Actors[:min(len(l.Actors), maxActors)] {
		p := actorPart{Name: a.Name, Parent: a.Parent, Waiting: a.Waiting, Restarts: a.Restarts, Refused: a.Refused, Panic: a.Panic}
		if !a.PanicAt.IsZero() {
			p.PanicAt = a.PanicAt.UnixMilli()
		}
		list = append(list, p)
	}
	return list
}

// workPart is what the master that leads knows, as its node has told last.
type workPart struct {
	Master string `json:"master,omitempty"` // its node
	Lost   bool   `json:"lost,omitempty"`   // that node does not answer
	*api.MasterLook
}

func (w *world) workPart() workPart {
	var p workPart
	for _, n := range w.nodes {
		if n.look == nil || n.look.Master == nil {
			continue
		}
		if p.MasterLook == nil || n.look.Master.Term > p.Term || n.look.Master.Term == p.Term && n.answers() {
			p = workPart{Master: n.name, Lost: !n.answers(), MasterLook: n.look.Master}
		}
	}
	return p
}

// sessionsPart is what hangs on the tree and its nodes.
type sessionsPart struct {
	Open  int                     `json:"open"`
	List  []sessionPart           `json:"list"`
	Nodes map[string]sessionsNode `json:"nodes"`
}

type sessionsNode struct {
	Connections int `json:"connections"`
	Watches     int `json:"watches"`
}

type sessionPart struct {
	ID        uint64 `json:"id"`
	Timeout   string `json:"timeout"`
	Opened    int64  `json:"opened"`
	Ephemeral int    `json:"ephemeral"`
}

func (w *world) sessionsPart() sessionsPart {
	p := sessionsPart{List: []sessionPart{}, Nodes: map[string]sessionsNode{}}
	var newest *api.SessionsLook
	var applied uint64
	for _, n := range w.nodes {
		if !n.answers() || n.look.Sessions == nil {
			continue
		}
		p.Nodes[n.name] = sessionsNode{n.look.Sessions.Connections, n.look.Sessions.Watches}
		if at := appliedBy(n.look); newest == nil || at > applied {
			newest, applied = n.look.Sessions, at
		}
	}
	if newest == nil {
		return p
	}
	p.Open = newest.Open
	for _, s := range newest.List {
		p.List = append(p.List, sessionPart{s.ID, s.Timeout.String(), s.Opened.UnixMilli(), s.Ephemeral})
	}
	return p
}

// appliedBy is how far all of a node's groups have come: of two looks the later one has more.
func appliedBy(l *api.Look) (sum uint64) {
	for _, g := range l.Groups {
		sum += g.Applied
	}
	return sum
}

// heroPart is the first line of the page.
type heroPart struct {
	Cluster string      `json:"cluster"`
	Serving string      `json:"serving"`
	Health  string      `json:"health"` // "healthy", "degraded" or "no quorum"
	Reasons []string    `json:"reasons,omitempty"`
	Groups  []heroGroup `json:"groups"`
	Up      int         `json:"up"`
	Nodes   int         `json:"nodes"`
	Master  string      `json:"master,omitempty"`
	Running int         `json:"running"`
	Agents  int         `json:"agents"`
}

type heroGroup struct {
	Name   string `json:"name"`
	Leader string `json:"leader,omitempty"`
	Term   uint64 `json:"term"`
	Ballot string `json:"ballot,omitempty"`
}

func (w *world) heroPart(groups []groupPart) heroPart {
	p := heroPart{Serving: w.self, Health: "healthy", Groups: []heroGroup{}}
	if self := w.nodes[w.self]; self != nil && self.look != nil {
		p.Cluster = self.look.Cluster
	}
	for _, name := range w.names() {
		p.Nodes++
		if n := w.nodes[name]; n.answers() {
			p.Up++
		} else if n != nil && n.why != "" {
			p.Reasons = append(p.Reasons, name+" does not answer: "+n.why)
		}
	}
	for i := range groups {
		g := &groups[i]
		p.Groups = append(p.Groups, heroGroup{g.Name, g.Leader, g.Term, g.Ballot})
		if !g.Quorum {
			p.Health = "no quorum"
			p.Reasons = append(p.Reasons, "group "+g.Name+" has no leader that a majority of "+fmt.Sprint(len(g.Voters))+" follows")
		}
		p.Reasons = append(p.Reasons, g.Wrong...)
	}
	p.warn()
	if work := w.workPart(); work.MasterLook != nil && !work.Lost {
		p.Master, p.Running = work.Master, work.Running
		for _, a := range work.Agents {
			if a.State == "registered" {
				p.Agents++
			}
		}
	}
	return p
}

// warn adds what is wrong, each once: several groups of a node tell of one disk.
func (p *heroPart) warn(reasons ...string) {
	p.Reasons = slices.Compact(slices.Sorted(slices.Values(append(p.Reasons, reasons...))))
	if len(p.Reasons) > 0 && p.Health == "healthy" {
		p.Health = "degraded"
	}
}

func millis(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMilli()
}
