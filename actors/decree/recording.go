package decree

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/synod-go/synod/paxos"
)

// line is an Event as a line of a recording. IDs are 16 hexadecimal digits; a ballot
// is its round, a dot and its node's ID; what is empty is left out.
type line struct {
	Time     time.Time  `json:"time"`
	Node     id         `json:"node,omitzero"`
	Name     string     `json:"name,omitempty"`
	Role     Role       `json:"role"`
	Kind     string     `json:"kind"`
	Received bool       `json:"received,omitempty"`
	Taken    bool       `json:"taken,omitempty"`
	At       paxos.Time `json:"at,omitempty"` // nanoseconds
	Decree   string     `json:"decree,omitempty"`
	Ballot   ballot     `json:"ballot,omitzero"`
	Other    ballot     `json:"other,omitzero"`
	From     id         `json:"from,omitzero"`
	FromName string     `json:"from_name,omitempty"`
	To       id         `json:"to,omitzero"`
	ToName   string     `json:"to_name,omitempty"`
	value
	Note  string     `json:"note,omitempty"`
	Start *startLine `json:"start,omitempty"`
}

type startLine struct {
	Promised      ballot `json:"promised,omitzero"`
	Accepted      ballot `json:"accepted,omitzero"`
	value                // of the vote
	Round         uint64 `json:"round,omitempty"`
	Acceptors     []id   `json:"acceptors,omitempty"`
	Learners      []id   `json:"learners,omitempty"`
	Distinguished []id   `json:"distinguished,omitempty"`
	Proposers     []id   `json:"proposers,omitempty"`
	Scheme        uint8  `json:"scheme,omitempty"`
	Wait          int64  `json:"wait,omitempty"`
	WaitMost      int64  `json:"wait_most,omitempty"`
	MaxValueBytes int    `json:"max_value_bytes,omitempty"`
}

// value is text, or base64 of what is none.
type value struct {
	Text  string `json:"value,omitempty"`
	Bytes []byte `json:"value_base64,omitempty"`
}

func valueOf(v []byte) value {
	if utf8.Valid(v) {
		return value{Text: string(v)}
	}
	return value{Bytes: v}
}

func (v value) bytes() []byte {
	if v.Text != "" {
		return []byte(v.Text)
	}
	return v.Bytes
}

type id paxos.ID

func (i id) MarshalText() ([]byte, error) { return fmt.Appendf(nil, "%016x", uint64(i)), nil }

func (i *id) UnmarshalText(text []byte) error {
	n, err := strconv.ParseUint(string(text), 16, 64)
	*i = id(n)
	return err
}

func ids[To, From ~uint64](list []From) []To {
	var out []To
	for _, i := range list {
		out = append(out, To(i))
	}
	return out
}

type ballot paxos.Ballot

func (b ballot) IsZero() bool { return paxos.Ballot(b).IsZero() }

func (b ballot) MarshalText() ([]byte, error) {
	return fmt.Appendf(nil, "%d.%016x", b.Round, uint64(b.Node)), nil
}

func (b *ballot) UnmarshalText(text []byte) error {
	round, node, _ := strings.Cut(string(text), ".")
	r, err1 := strconv.ParseUint(round, 10, 64)
	n, err2 := strconv.ParseUint(node, 16, 64)
	*b = ballot{r, paxos.ID(n)}
	return errors.Join(err1, err2)
}

// MarshalJSON writes the event as a line of a recording; docs/cli.md tells the fields.
func (e Event) MarshalJSON() ([]byte, error) {
	l := line{Time: e.Time, Node: id(e.Node), Name: e.Name, Role: e.Role, Kind: e.Kind, Received: e.Received,
		Taken: e.Taken, At: e.At, Decree: e.Decree, Ballot: ballot(e.Ballot), Other: ballot(e.Other),
		From: id(e.From), FromName: e.FromName, To: id(e.To), ToName: e.ToName, value: valueOf(e.Value), Note: e.Note}
	if s := e.Start; s != nil {
		l.Start = &startLine{Promised: ballot(s.Promised), Accepted: ballot(s.Vote.Ballot), value: valueOf(s.Vote.Value),
			Round: s.Round, Acceptors: ids[id](s.Acceptors), Learners: ids[id](s.Learners),
			Distinguished: ids[id](s.Distinguished), Proposers: ids[id](s.Proposers), Scheme: uint8(s.Scheme),
			Wait: int64(s.Wait), WaitMost: int64(s.WaitMost), MaxValueBytes: s.MaxValueBytes}
	}
	return json.Marshal(l)
}

// UnmarshalJSON reads what MarshalJSON has written.
func (e *Event) UnmarshalJSON(data []byte) error {
	var l line
	if err := json.Unmarshal(data, &l); err != nil {
		return err
	}
	*e = Event{Time: l.Time, Node: paxos.ID(l.Node), Name: l.Name, Role: l.Role, Kind: l.Kind, Received: l.Received,
		Taken: l.Taken, At: l.At, Decree: l.Decree, Ballot: paxos.Ballot(l.Ballot), Other: paxos.Ballot(l.Other),
		From: paxos.ID(l.From), FromName: l.FromName, To: paxos.ID(l.To), ToName: l.ToName, Value: l.bytes(), Note: l.Note}
	if s := l.Start; s != nil {
		e.Start = &Start{Promised: paxos.Ballot(s.Promised), Vote: paxos.Vote{Ballot: paxos.Ballot(s.Accepted), Value: s.bytes()},
			Round: s.Round, Acceptors: ids[paxos.ID](s.Acceptors), Learners: ids[paxos.ID](s.Learners),
			Distinguished: ids[paxos.ID](s.Distinguished), Proposers: ids[paxos.ID](s.Proposers), Scheme: paxos.Scheme(s.Scheme),
			Wait: paxos.Time(s.Wait), WaitMost: paxos.Time(s.WaitMost), MaxValueBytes: s.MaxValueBytes}
	}
	return nil
}

// WriteRecording writes events, one a line.
func WriteRecording(w io.Writer, events []Event) error {
	encoder := json.NewEncoder(w)
	encoder.SetEscapeHTML(false)
	for _, e := range events {
		if err := encoder.Encode(e); err != nil {
			return fmt.Errorf("decree: write recording: %w", err)
		}
	}
	return nil
}

// maxLine bounds a line of a recording: it has two values at most.
const maxLine = 64 << 20

// ReadRecording reads events, one a line. The error names the line that is none.
func ReadRecording(r io.Reader) ([]Event, error) {
	scanner := bufio.NewScanner(r)
	scanner.Buffer(nil, maxLine)
	var events []Event
	for n := 1; scanner.Scan(); n++ {
		if len(scanner.Bytes()) == 0 {
			continue
		}
		var e Event
		if err := json.Unmarshal(scanner.Bytes(), &e); err != nil {
			return nil, fmt.Errorf("decree: recording: line %d: %w", n, err)
		}
		events = append(events, e)
	}
	if err := scanner.Err(); err != nil {
		return nil, fmt.Errorf("decree: recording: %w", err)
	}
	return events, nil
}
