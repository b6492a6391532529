package api

import (
	"encoding/json"
	"time"
	"unicode/utf8"
)

// Level says how fresh a read must be.
type Level string

// The levels, from the freshest.
const (
	// Linearizable reads see every write acknowledged before they began. Default.
	Linearizable Level = "linearizable"
	// Lease reads do so too as long as clocks drift less than configured, without
	// a round to the other nodes. Only the leader answers them.
	Lease Level = "lease"
	// Sequential reads see what this node has applied, at least up to a given index.
	Sequential Level = "sequential"
	// Stale reads see whatever this node has applied.
	Stale Level = "stale"
)

// Entry is one key with its value. A key has no leading slash; "" is the top. On the wire the value is a string when it
// is valid UTF-8 ("value") and base64 otherwise ("value_base64").
type Entry struct {
	Path  string
	Value []byte
	// Version counts the writes: 1 when created, 0 for a key that exists only
	// because others stand below it.
	Version  uint64
	Created  uint64 // log index of the write that created it
	Modified uint64 // log index of the last write
	Children int    // how many keys stand directly below
	Owner    uint64 // the session that an ephemeral key belongs to; 0: none
	Mode     Mode   // "": Persistent
}

type entryJSON struct {
	Path string `json:"path"`
	valueJSON
	entryTail
}

// entryTail is what stands behind an entry's value.
type entryTail struct {
	Version  uint64 `json:"version"`
	Created  uint64 `json:"created"`
	Modified uint64 `json:"modified"`
	Children int    `json:"children,omitempty"`
	Owner    uint64 `json:"owner,omitempty"`
	Mode     Mode   `json:"mode,omitempty"`
}

// valueJSON is a value as a string or, when it is not UTF-8, in base64.
type valueJSON struct {
	Text   *string `json:"value,omitempty"`
	Base64 []byte  `json:"value_base64,omitempty"`
}

func newValueJSON(value []byte) valueJSON {
	if utf8.Valid(value) {
		text := string(value)
		return valueJSON{Text: &text}
	}
	return valueJSON{Base64: value}
}

func (v valueJSON) bytes() []byte {
	if v.Text != nil {
		return []byte(*v.Text)
	}
	return v.Base64
}

// MarshalJSON writes the entry with its value as text or base64.
func (e Entry) MarshalJSON() ([]byte, error) {
	return json.Marshal(entryJSON{e.Path, newValueJSON(e.Value), entryTail{e.Version, e.Created, e.Modified, e.Children, e.Owner, e.Mode}})
}

// UnmarshalJSON reads what MarshalJSON writes.
func (e *Entry) UnmarshalJSON(data []byte) error {
	var j entryJSON
	if err := json.Unmarshal(data, &j); err != nil {
		return err
	}
	*e = j.entry()
	return nil
}

func (j entryJSON) entry() Entry {
	return Entry{j.Path, j.bytes(), j.Version, j.Created, j.Modified, j.Children, j.Owner, j.Mode}
}

// Written is the answer to a write.
type Written struct {
	Path    string `json:"path"`              // with the number, if a sequential key was created
	Index   uint64 `json:"index"`             // log index of the write
	Version uint64 `json:"version,omitempty"` // the key's new version; 0 after a delete
	Created uint64 `json:"created,omitempty"` // log index of the write that created the key
	Session uint64 `json:"session,omitempty"` // the session that owns the key, if it is ephemeral
	Deleted int    `json:"deleted,omitempty"` // how many keys a delete removed
}

// Listing is one page of the keys below a path, in order.
type Listing struct {
	Path    string  `json:"path"`
	Entries []Entry `json:"entries"`
	// After is where the next page starts ("after" of the next request); empty
	// on the last page.
	After string `json:"after,omitempty"`
	// Index is the log index that the page reflects. Pages of one listing may
	// reflect different indices.
	Index uint64 `json:"index"`
}

// listingTail is what stands behind a page's entries.
type listingTail struct {
	After string `json:"after,omitempty"`
	Index uint64 `json:"index"`
}

// Change is one event of a watch.
type Change struct {
	Kind    string // "created", "changed" or "deleted"
	Path    string
	Value   []byte // nil when deleted
	Version uint64
	Index   uint64 // log index; a recursive delete makes several changes at one index
	// Denied: there is a value, which the watcher may not read.
	Denied bool
	// More: others of the same index follow. Client.Watch says so; Session.Watch does not know.
	More bool

	// inside is the length of the longest path above, with its slash in front, that the caller may
	// not look into, as far up as somebody watches; 0: there is none. Only on the server.
	inside int
}

type changeJSON struct {
	Kind string `json:"kind"`
	Path string `json:"path"`
	valueJSON
	changeTail
}

// changeTail is what stands behind a change's value.
type changeTail struct {
	Version uint64 `json:"version,omitempty"`
	Index   uint64 `json:"index"`
	Denied  bool   `json:"denied,omitempty"`
}

func (c Change) hasValue() bool { return c.Kind != "deleted" && !c.Denied }

// MarshalJSON writes the change with its value as text or base64.
func (c Change) MarshalJSON() ([]byte, error) {
	j := changeJSON{Kind: c.Kind, Path: c.Path, changeTail: changeTail{c.Version, c.Index, c.Denied}}
	if c.hasValue() {
		j.valueJSON = newValueJSON(c.Value)
	}
	return json.Marshal(j)
}

// UnmarshalJSON reads what MarshalJSON writes.
func (c *Change) UnmarshalJSON(data []byte) error {
	var j changeJSON
	if err := json.Unmarshal(data, &j); err != nil {
		return err
	}
	*c = Change{Kind: j.Kind, Path: j.Path, Value: j.bytes(), Version: j.Version, Index: j.Index, Denied: j.Denied}
	return nil
}

// Status is a group as one node sees it; the leader sees the most.
type Status struct {
	Cluster string `json:"cluster"`
	Node    string `json:"node"` // who answers
	Version string `json:"version,omitempty"`
	Group   string `json:"group"`
	Role    string `json:"role"`             // of the node that answers
	Engine  string `json:"engine,omitempty"` // "raft" or "paxos"
	// Term is Raft's, or the ballot of Paxos packed into one number.
	Term uint64 `json:"term"`
	// Ballot is the ballot of Paxos for people, epoch.round.proposer; Epoch is that
	// of the configuration.
	Ballot string `json:"ballot,omitempty"`
	Epoch  uint32 `json:"epoch,omitempty"`
	Leader string `json:"leader,omitempty"` // "" when none is known
	// Healthy says that a leader is known, every voter is up and nothing is quarantined.
	Healthy bool     `json:"healthy"`
	Reasons []string `json:"reasons,omitempty"` // why it is not healthy
	Voters  int      `json:"voters"`
	Up      int      `json:"up"`     // voters that the leader hears
	Quorum  int      `json:"quorum"` // how many must be up
	// Tolerates is how many more voters may be lost before writes stop.
	Tolerates     int    `json:"tolerates"`
	ConfigVersion uint64 `json:"config_version"`
	Commit        uint64 `json:"commit"`
	Applied       uint64 `json:"applied"`
	FirstIndex    uint64 `json:"first_index"`
	LastIndex     uint64 `json:"last_index"`
	SnapshotIndex uint64 `json:"snapshot_index"`
	LogBytes      int64  `json:"log_bytes"`
	Digest        Digest `json:"digest"`
	Lease         bool   `json:"lease"`
	// Witness: the node that answers votes and runs no state machine. Its Digest says nothing.
	Witness bool           `json:"witness,omitempty"`
	Members []MemberStatus `json:"members"`
}

// Digest is the rolling checksum of everything applied up to Index. Two nodes
// with the same Index must have the same Sum.
type Digest struct {
	Index uint64 `json:"index"`
	Sum   string `json:"sum"` // hexadecimal
}

// MemberStatus is one member of the group, or a node that gossip knows.
type MemberStatus struct {
	Name  string `json:"name"`
	ID    string `json:"id"`    // hexadecimal storage incarnation
	Role  string `json:"role"`  // "leader", "follower", "non-voter" or "-"
	State string `json:"state"` // "up", "down" or "?" when the answering node cannot tell
	Voter bool   `json:"voter"`
	// PaxosRoles are those that it plays in a Paxos group now: "proposer", "acceptor", "learner".
	PaxosRoles []string `json:"paxos_roles,omitempty"`
	Match      uint64   `json:"match,omitempty"`  // last log index known to be there
	Behind     *int64   `json:"behind,omitempty"` // entries behind the leader; absent when unknown
	Gossip     string   `json:"gossip"`           // "alive", "dead" or "-"
	// LastSeen is when gossip last held it for alive, as the answering node knows:
	// now if it does; absent if never since that node started.
	LastSeen time.Time `json:"last_seen,omitzero"`
	API      string    `json:"api,omitempty"`
	Link     string    `json:"link,omitempty"`
	// Roles are those that the node announces by gossip: "control" holds the keys.
	Roles   []string `json:"roles,omitempty"`
	Version string   `json:"version,omitempty"`
}

// MemberList is the answer of /v1/members.
type MemberList struct {
	ConfigVersion uint64         `json:"config_version"`
	Members       []MemberStatus `json:"members"`
}

// MemberChange asks for a change of the group's configuration.
type MemberChange struct {
	// Action is "add", "remove", "promote" or "demote".
	Action string `json:"action"`
	Name   string `json:"name"`
	// Version is the configuration version that the caller has seen; nil changes
	// whatever is there.
	Version *uint64 `json:"version,omitempty"`
	// Group is the one whose member it is. "" is that of the tree, and before it that of the
	// registry.
	Group string `json:"group,omitempty"`
}

// Done is the answer to a change of the group.
type Done struct {
	Index   uint64 `json:"index,omitempty"`   // log index, if the change has one
	Version uint64 `json:"version,omitempty"` // the configuration's new version, if it changed
	Leader  string `json:"leader,omitempty"`  // who leads now, after a transfer
}

// Event is something that happened on a node.
type Event struct {
	// Sequence grows with each event of a node, over its restarts too as long as its clock
	// does not go back.
	Sequence uint64            `json:"sequence"`
	Time     time.Time         `json:"time"`
	Node     string            `json:"node"`
	Kind     string            `json:"kind"`
	Group    string            `json:"group,omitempty"`
	Term     uint64            `json:"term,omitempty"`
	Ballot   string            `json:"ballot,omitempty"` // of Paxos: see Status
	Leader   string            `json:"leader,omitempty"`
	Reason   string            `json:"reason,omitempty"`
	Attrs    map[string]string `json:"attrs,omitempty"`
}

// Check is one line of /readyz?verbose.
type Check struct {
	Name string `json:"name"`
	OK   bool   `json:"ok"`
	// Warn: it is well for now, and somebody should look at it before it is not.
	Warn   bool      `json:"warn,omitempty"`
	Reason string    `json:"reason,omitempty"`
	Since  time.Time `json:"since"` // of the present state
}

// Metric is one sample. Samples of one Name stand next to each other, and so do
// those of one histogram.
type Metric struct {
	Name   string // with the unit: "synod_commit_index", "synod_flush_seconds_total"
	Help   string
	Kind   string // "counter", "gauge" or "histogram": Name then ends in _bucket, _sum or _count
	Labels []Label
	Value  float64
}

// Label is one label of a metric.
type Label struct{ Name, Value string }
