package api

import "time"

// Look is all that a live page shows of one node, as that node sees it. Nobody else is asked.
type Look struct {
	Node    string `json:"node"`
	ID      string `json:"id"` // hexadecimal storage incarnation
	Cluster string `json:"cluster"`
	Version string `json:"version,omitempty"`
	// Process tells processes of one node apart: EventCount begins anew with each.
	Process int64     `json:"process"`
	Time    time.Time `json:"time"`

	Groups   []GroupLook   `json:"groups"`
	Members  []Sighting    `json:"members"`
	Actors   []ActorLook   `json:"actors"`
	Sessions *SessionsLook `json:"sessions,omitempty"`
	// Master is what the leading master knows, absent where none leads.
	Master *MasterLook `json:"master,omitempty"`

	// Events are those after LookOptions.Event, as far as the node remembers them, and
	// EventCount how many there have been.
	Events     []Event `json:"events,omitempty"`
	EventCount uint64  `json:"event_count"`
}

// Sighting is a member as one node's gossip and groups know it.
type Sighting struct {
	Name     string    `json:"name"`
	ID       string    `json:"id"`
	API      string    `json:"api,omitempty"`
	State    string    `json:"state"` // "alive" or "dead"
	LastSeen time.Time `json:"last_seen,omitzero"`
	Voter    bool      `json:"voter,omitempty"` // of some group
	Roles    []string  `json:"roles,omitempty"`
}

// GroupLook is a node's replica of a group.
type GroupLook struct {
	Name    string `json:"name"`
	Engine  string `json:"engine"`
	Role    string `json:"role"`
	Term    uint64 `json:"term"`
	Ballot  string `json:"ballot,omitempty"`
	Leader  string `json:"leader,omitempty"`
	Commit  uint64 `json:"commit"`
	Applied uint64 `json:"applied"`
	First   uint64 `json:"first"`
	Last    uint64 `json:"last"`
	// Snapshot is the index of the node's newest one, 0 if there is none.
	Snapshot    uint64   `json:"snapshot,omitempty"`
	Voters      []string `json:"voters"`
	Digest      Digest   `json:"digest"`
	Witness     bool     `json:"witness,omitempty"`
	Stalled     bool     `json:"stalled,omitempty"`
	Quarantined string   `json:"quarantined,omitempty"`
	// Up are the voters that the leader hears; on other nodes it is absent.
	Up []string `json:"up,omitempty"`
	// Promised is the ballot below which this acceptor promises and accepts nothing more.
	Promised string         `json:"promised,omitempty"`
	Entries  []LogEntryLook `json:"entries,omitempty"` // the last ones of its log
	Error    string         `json:"error,omitempty"`   // why it has no answer; then all but Name is empty
}

// LogEntryLook is one entry of a log, or one instance of Paxos.
type LogEntryLook struct {
	Index  uint64 `json:"i"`
	Term   uint64 `json:"t"`
	Ballot string `json:"b,omitempty"` // Term for people, in a Paxos group
	Vote   string `json:"v,omitempty"` // the ballot in which this acceptor has accepted it
	Kind   string `json:"k,omitempty"` // "" is a command
	Chosen bool   `json:"c,omitempty"` // known here to be committed
	Sum    uint32 `json:"s"`           // equal entries have equal ones
}

// ActorLook is one actor of a node.
type ActorLook struct {
	Name     string    `json:"name"`
	Parent   string    `json:"parent,omitempty"`
	Waiting  int       `json:"waiting"`
	Handled  uint64    `json:"handled"`
	Refused  uint64    `json:"refused,omitempty"`
	Restarts int       `json:"restarts"`
	Panic    string    `json:"panic,omitempty"`
	PanicAt  time.Time `json:"panic_at,omitzero"`
}

// SessionsLook are the sessions of the tree, as far as the node has applied the log, and what
// hangs on its own connections.
type SessionsLook struct {
	Open        int             `json:"open"`
	List        []SessionStatus `json:"list,omitempty"` // the first 50
	Connections int             `json:"connections"`    // of sessions, to this node
	Watches     int             `json:"watches"`        // of streams, and streams of events, on this node
}

// MasterLook is the state of the leading master.
type MasterLook struct {
	Term       uint64      `json:"term"`
	Agents     []Agent     `json:"agents"`
	Offered    []string    `json:"offered"` // resources that are offered now, for each agent
	Frameworks []Framework `json:"frameworks"`
	Offers     []int       `json:"offers"` // how many each framework has
	Tasks      []Task      `json:"tasks"`  // at most 300, those that run first
	Running    int         `json:"running"`
	Ended      int         `json:"ended"`
	// Happenings are those after LookOptions.Happening of this term, at most 500.
	Happenings []Happening `json:"happenings,omitempty"`
}

// LookOptions say what the asker has seen already.
type LookOptions struct {
	Event     uint64 // events up to this one, of the process Process
	Process   int64
	Happening uint64 // happenings up to this one, of the master's term Term
	Term      uint64
	Entries   int // how many entries of each log are wanted: at most 64
}
