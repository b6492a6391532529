package main

import (
	"cmp"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"
)

// raftEvents is events, to be looked through.
type raftEvents []raftEvent

func (s raftEvents) filter(keep func(raftEvent) bool) (kept raftEvents) {
	for _, e := range s {
		if keep(e) {
			kept = append(kept, e)
		}
	}
	return kept
}

func (s raftEvents) by(names ...string) raftEvents {
	return s.filter(func(e raftEvent) bool { return slices.Contains(names, e.Name) })
}

// own are changes of replicas, sent and received are messages.
func (s raftEvents) own(kind string) raftEvents      { return s.of("self", kind) }
func (s raftEvents) sent(kind string) raftEvents     { return s.of("out", kind) }
func (s raftEvents) received(kind string) raftEvents { return s.of("in", kind) }

func (s raftEvents) of(direction, kind string) raftEvents {
	return s.filter(func(e raftEvent) bool { return e.Direction == direction && e.Kind == kind })
}

func (s raftEvents) ofTerm(term uint64) raftEvents {
	return s.filter(func(e raftEvent) bool { return e.Term == term })
}

// with are those with a peer.
func (s raftEvents) with(peer string) raftEvents {
	return s.filter(func(e raftEvent) bool { return e.PeerName == peer })
}

func (s raftEvents) refused(refused bool) raftEvents {
	return s.filter(func(e raftEvent) bool { return e.Refused == refused })
}

// last is the last of them; the zero raftEvent if there is none.
func (s raftEvents) last() (e raftEvent) {
	if len(s) > 0 {
		e = s[len(s)-1]
	}
	return e
}

func (s raftEvents) names() []string {
	names := map[string]bool{}
	for _, e := range s {
		names[e.Name] = true
	}
	return sortedKeys(names)
}

// role is the last role that a replica has told of.
func (s raftEvents) role(name string) raftEvent {
	return s.by(name).filter(func(e raftEvent) bool { return e.isRole() }).last()
}

func (e raftEvent) isRole() bool {
	return e.Direction == "self" && slices.Contains([]string{"follower", "pre-candidate", "candidate", "leader"}, e.Kind)
}

func (e raftEvent) isHeartbeat() bool { return strings.HasPrefix(e.Kind, "Heartbeat") }

// covers reports whether an entry is among those that the event is about.
func (e raftEvent) covers(index uint64) bool {
	return e.First <= index && index <= e.Last && e.First > 0
}

// raftView is what the events so far tell of each replica.
type raftView map[string]*seenReplica

// seenReplica is one replica as its events tell it.
type seenReplica struct {
	log    map[uint64]uint64 // the term of each entry that it was seen to append
	last   uint64
	vote   map[uint64]string // by term
	heard  time.Time         // when it last heard leader
	leader string
	role   raftEvent            // the last that it told
	asked  map[string]raftEvent // the last PreVote and RequestVote, by kind and who asked
}

func newRaftView() raftView { return raftView{} }

func (v raftView) of(name string) *seenReplica {
	if v[name] == nil {
		v[name] = &seenReplica{log: map[uint64]uint64{}, vote: map[uint64]string{}, asked: map[string]raftEvent{}}
	}
	return v[name]
}

// learn takes an event after those before it.
func (v raftView) learn(e raftEvent) {
	r := v.of(e.Name)
	switch {
	case e.Direction == "self" && e.Kind == "appended":
		for i := e.First; i <= e.Last; i++ {
			r.log[i] = e.EntryTerm
		}
		r.last = e.Last
	case e.Direction == "self" && e.Kind == "truncated":
		for i := e.First; i <= e.Last; i++ {
			delete(r.log, i)
		}
		r.last = e.First - 1
	case e.isRole() && e.Kind == "candidate":
		r.vote[e.Term] = e.Name
	case e.Direction == "out" && e.Kind == "Vote" && !e.Refused:
		r.vote[e.Term] = e.PeerName
	case e.Direction == "in" && (e.Kind == "PreVote" || e.Kind == "RequestVote"):
		r.asked[e.Kind+e.PeerName] = e
	case e.Direction == "in" && (e.Kind == "Heartbeat" || e.Kind == "AppendEntries"):
		r.heard, r.leader = e.Time, e.PeerName
	}
	if e.isRole() {
		r.role = e
	}
}

// why says why a replica refuses its vote to who has asked for it.
func (v raftView) why(refusal raftEvent) string {
	r, question := v.of(refusal.Name), "RequestVote"
	if refusal.Kind == "PreVoteReply" {
		question = "PreVote"
	}
	asked := r.asked[question+refusal.PeerName]
	vote, ownTerm := r.vote[asked.Term], r.log[r.last]
	switch {
	case asked.Term < refusal.Term || question == "PreVote" && asked.Term == refusal.Term:
		return fmt.Sprintf("I am in term %d", refusal.Term)
	case question == "RequestVote" && vote == refusal.Name:
		return "I have voted for myself"
	case question == "RequestVote" && vote != "" && vote != refusal.PeerName:
		return "I have voted for " + vote
	case ownTerm > asked.EntryTerm || ownTerm == asked.EntryTerm && r.last > asked.Last:
		return fmt.Sprintf("my log ends at %d of term %d", r.last, ownTerm)
	case r.leader != "" && refusal.Time.Sub(r.heard) < raftLease:
		return fmt.Sprintf("I heard %s %d ms ago", r.leader, refusal.Time.Sub(r.heard).Milliseconds())
	}
	return "not now" // after a start, or to who asks at the same moment
}

// raftLines writes events for people, in 80 columns. One message to several is one line.
type raftLines struct {
	out    io.Writer
	began  time.Time
	colour bool
	seen   raftView
	lines  []raftLine
	shown  map[string]int
	beats  map[string]int // heartbeats since they were last counted
}

type raftLine struct {
	event raftEvent
	to    []string
	why   string
}

// add takes an event; flush writes it. What was sent is told by its sender.
func (l *raftLines) add(e raftEvent) {
	before := l.seen.of(e.Name).role
	l.seen.learn(e)
	switch {
	case e.isRole() && before.Kind == e.Kind && before.Term == e.Term && before.PeerName == e.PeerName:
		return // the configuration has changed
	case e.isHeartbeat():
		if e.Kind == "Heartbeat" && e.Direction == "out" {
			if l.beats == nil {
				l.beats = map[string]int{}
			}
			l.beats[e.Name]++
		}
		return
	case e.Direction == "in", strings.HasPrefix(e.Kind, "ReadIndex"):
		return
	}
	for i, other := range l.lines {
		o := other.event
		same := o.Name == e.Name && o.Kind == e.Kind && o.Direction == e.Direction && o.Term == e.Term && o.First == e.First && o.Last == e.Last
		if same && e.Direction == "out" && o.Refused == e.Refused && e.Time.Sub(o.Time) < together {
			if !slices.Contains(other.to, e.PeerName) {
				l.lines[i].to = append(other.to, e.PeerName)
			}
			return
		}
	}
	line := raftLine{event: e, to: []string{e.PeerName}}
	if e.Refused && (e.Kind == "Vote" || e.Kind == "PreVoteReply") {
		line.why = l.seen.why(e)
	}
	l.lines = append(l.lines, line)
}

// flush writes what was added; what was written twice is not written again.
func (l *raftLines) flush() {
	if l.shown == nil || len(l.shown) > maxShown {
		l.shown = make(map[string]int)
	}
	for _, line := range l.lines {
		e := line.event
		text := fmt.Sprintf("%-3s %-14s term %-3d %s", e.Name, e.Kind, e.Term, line.remark())
		if l.shown[text]++; e.Direction == "out" && l.shown[text] > tooOften {
			continue
		}
		text = strings.TrimRight(firstRunes(fmt.Sprintf("%7.3f  %s", e.Time.Sub(l.began).Seconds(), text), 80), " ")
		fmt.Fprintln(l.out, l.paint(e, text))
	}
	l.lines = nil
}

// remark is what there is to say about an event beside its term.
func (line raftLine) remark() string {
	e, to := line.event, "to "+strings.Join(line.to, " ")
	entries := fmt.Sprintf("entry %d", e.Last)
	if e.First < e.Last {
		entries = fmt.Sprintf("entries %d..%d", e.First, e.Last)
	}
	switch e.Kind {
	case "PreVote", "RequestVote":
		return fmt.Sprintf("%s: my log ends at %d of term %d", to, e.Last, e.EntryTerm)
	case "PreVoteReply", "Vote":
		if e.Refused {
			return to + ": no, " + line.why
		}
		return to + ": yes"
	case "AppendEntries":
		if e.First == 0 {
			return fmt.Sprintf("%s: do you have %d of term %d?", to, e.Last, e.EntryTerm)
		}
		return fmt.Sprintf("%s: %s of term %d", to, entries, e.EntryTerm)
	case "AppendReply":
		if e.Refused {
			return fmt.Sprintf("%s: no, equal up to %d of term %d at most", to, e.Last, e.EntryTerm)
		}
		return fmt.Sprintf("%s: equal up to %d", to, e.Last)
	case "appended":
		return fmt.Sprintf("%s of term %d", entries, e.EntryTerm)
	case "truncated":
		return entries + " dropped"
	case "committed":
		return fmt.Sprintf("up to %d", e.Last)
	case "follower":
		return "of " + cmp.Or(e.PeerName, "nobody yet")
	case "pre-candidate", "candidate", "leader":
		return ""
	}
	return to
}

// paint colours a line by what it tells: a leader, a commit, a refusal, entries lost.
func (l *raftLines) paint(e raftEvent, text string) string {
	code := map[string]string{"leader": "36", "committed": "32", "truncated": "31"}[e.Kind]
	if e.Refused {
		code = "33"
	}
	if !l.colour || code == "" {
		return text
	}
	return "\x1b[" + code + "m" + text + "\x1b[0m"
}

// heartbeats counts what the lines have left out since the last call.
func (l *raftLines) heartbeats() map[string]int {
	beats := maps.Clone(l.beats)
	l.beats = nil
	return beats
}
