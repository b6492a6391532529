package flight

import (
	"bytes"
	"fmt"

	"github.com/synod-go/synod/actors/decree"
	"github.com/synod-go/synod/paxos"
)

// Report is what has come of a replay.
type Report struct {
	Events   int `json:"events"`   // in the recording
	Decrees  int `json:"decrees"`  // that they are about
	Cores    int `json:"cores"`    // that were run again
	Inputs   int `json:"inputs"`   // that they were given
	Compared int `json:"compared"` // of their outputs, with the recorded ones
	// Skipped are inputs and outputs of cores whose beginning is not recorded.
	Skipped  int       `json:"skipped"`
	Findings []Finding `json:"findings"`
}

// Finding is an event that is not as it must be.
type Finding struct {
	Event int    `json:"event"` // its place in the recording, from 1; 0 is all of it
	Rule  string `json:"rule"`  // as package paxos names it
	What  string `json:"what"`
	Why   string `json:"why"`
}

func (f Finding) String() string {
	return fmt.Sprintf("event %d: %s: rule %s: %s", f.Event, f.What, f.Rule, f.Why)
}

// maxFindings bounds what a report tells: one altered event has many consequences.
const maxFindings = 100

// Replay runs a recording again and judges it.
func Replay(events []decree.Event) Report {
	r := &replay{report: Report{Events: len(events), Findings: []Finding{}}, cores: make(map[place]*core)}
	j := newJudge(r.find)
	for i, e := range events {
		r.at, r.event = i+1, e
		r.take(e)
		j.take(e)
	}
	r.at, r.event = 0, decree.Event{}
	j.end()
	r.report.Decrees = len(j.decrees)
	return r.report
}

// place is where a core lives.
type place struct {
	node   paxos.ID
	role   decree.Role
	decree string
}

type replay struct {
	report Report
	cores  map[place]*core
	at     int // the event that is looked at
	event  decree.Event
}

// core is a fresh core with what it has said and the recording has not told yet: at
// once, or when its saves were durable.
type core struct {
	step       func(decree.Event) (paxos.Output, error)
	said, sent []decree.Event
}

func (r *replay) find(rule, format string, args ...any) {
	if len(r.report.Findings) == maxFindings {
		return
	}
	what := r.event.String()
	if r.at == 0 {
		what = "all of it"
	}
	r.report.Findings = append(r.report.Findings, Finding{Event: r.at, Rule: rule, What: what, Why: fmt.Sprintf(format, args...)})
}

func (r *replay) take(e decree.Event) {
	at := place{e.Node, e.Role, e.Decree}
	c := r.cores[at]
	switch {
	case e.Kind == "recovered":
		r.forget(e.Node, e.Role)
	case e.Kind == "abandoned": // with all that it would have sent
		delete(r.cores, at)
	case e.Kind == "begins":
		r.begin(at, e)
	case !e.Taken && (e.Received || rules[e.Kind] == ""): // not looked at, or about the set of acceptors
	case c == nil:
		r.report.Skipped++
	case e.Taken:
		r.input(c, e)
	case e.Kind == "learned" || e.Kind == "ended" || e.Kind == "alarm":
		c.said = r.compare(c.said, e)
	default:
		c.sent = r.compare(c.sent, e)
	}
}

// forget drops what an actor had when it ended: what it has not sent, it never will.
func (r *replay) forget(node paxos.ID, role decree.Role) {
	for at := range r.cores {
		if at.node == node && at.role == role {
			delete(r.cores, at)
		}
	}
}

// begin makes a core. What the one before it had to send leaves nevertheless.
func (r *replay) begin(at place, e decree.Event) {
	c := &core{}
	if old := r.cores[at]; old != nil {
		r.silent(old)
		c.sent = old.sent
	}
	var err error
	if c.step, err = begin(e); err != nil {
		r.find("A1", "no core begins so: %v", err)
		delete(r.cores, at)
		return
	}
	r.cores[at] = c
	r.report.Cores++
}

// input gives a core what it was given.
func (r *replay) input(c *core, e decree.Event) {
	r.silent(c)
	out, err := c.step(e)
	if err != nil {
		r.find("P10", "the core does not take it: %v", err)
		return
	}
	r.report.Inputs++
	c.said = append(c.said, saidBy(e, out)...)
	for _, o := range out.Send {
		w := decree.Outgoing{To: o.To, Message: decree.Encode(o.Message)}.Fill(e.Node, e.Decree, 0).Message
		c.sent = append(c.sent, decree.Message(e.Role, w, false))
	}
}

// saidBy is what an actor records at once of an Output.
func saidBy(e decree.Event, out paxos.Output) (said []decree.Event) {
	about := decree.Event{Node: e.Node, Role: e.Role, Decree: e.Decree}
	for _, a := range out.Alarms {
		alarm := about
		alarm.Kind, alarm.Ballot, alarm.From, alarm.Note = "alarm", a.Ballot, a.From, a.Kind.String()
		said = append(said, alarm)
	}
	if out.Chosen != nil && e.Role != decree.Acceptor {
		learned := about
		learned.Kind, learned.Ballot, learned.Value = "learned", out.Chosen.Ballot, out.Chosen.Value
		said = append(said, learned)
	}
	if out.Result != nil {
		ended := about
		ended.Kind, ended.Value, ended.Note = "ended", out.Result.Value, out.Result.Fate.String()
		said = append(said, ended)
	}
	return said
}

// silent reports what a core has said at once, and the recording has not.
func (r *replay) silent(c *core) {
	for _, e := range c.said {
		r.find(rules[e.Kind], "before it the core says: %v", e)
	}
	c.said = nil
}

// compare takes the next of what the core has said.
func (r *replay) compare(said []decree.Event, e decree.Event) []decree.Event {
	if len(said) == 0 {
		r.find(rules[e.Kind], "the core says nothing more")
		return nil
	}
	r.report.Compared++
	if want := said[0]; !same(want, e) {
		r.find(rules[e.Kind], "the core says: %v", want)
	}
	return said[1:]
}

func same(a, b decree.Event) bool {
	return a.Kind == b.Kind && a.Ballot == b.Ballot && a.Other == b.Other && a.From == b.From && a.To == b.To &&
		bytes.Equal(a.Value, b.Value) && a.Note == b.Note
}

// rules are those by which a core says something of a kind.
var rules = map[string]string{
	"prepare": "P1", "accept": "P5", "propose": "P8", "promise": "A2", "accepted": "A3", "nack": "A7",
	"chosen": "L2", "ask": "L4", "finish": "L4", "learned": "L1", "ended": "P10", "alarm": "A3",
}
