package main

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/synod-go/synod"
	"github.com/synod-go/synod/paxos"
)

// eventWriter writes a process's events as they happen, without ever making the
// process wait: what the reader is too slow for is left out, and counted.
type eventWriter[E any] struct {
	events chan E
	done   chan struct{}
	mu     sync.Mutex
	ended  bool
	lost   int
}

const maxUnwritten = 1 << 14

// newEventWriter has events written, and flush called whenever none waits.
func newEventWriter[E any](write func(E), flush func()) *eventWriter[E] {
	w := &eventWriter[E]{events: make(chan E, maxUnwritten), done: make(chan struct{})}
	go func() {
		defer close(w.done)
		for e := range w.events {
			write(e)
			if len(w.events) == 0 {
				flush()
			}
		}
		flush()
	}()
	return w
}

// newDecreeWriter writes in the form that was asked for.
func (a *app) newDecreeWriter() *eventWriter[synod.DecreeEvent] {
	lines := &eventLines{out: a.out, names: map[uint64]string{}, began: time.Now(), colour: a.colour()}
	write := func(synod.DecreeEvent) {}
	switch {
	case a.output == "json":
		write = func(e synod.DecreeEvent) { _ = a.line(e) } // a reader that has gone needs nothing
	case !a.quiet:
		write = lines.add
	}
	return newEventWriter(write, lines.flush)
}

// event takes an event and does not block.
func (w *eventWriter[E]) event(e E) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.ended {
		return
	}
	select {
	case w.events <- e:
	default:
		w.lost++
	}
}

// end writes what is left.
func (w *eventWriter[E]) end() {
	w.mu.Lock()
	w.ended = true
	close(w.events)
	w.mu.Unlock()
	<-w.done
}

// colour reports whether standard output may have colours.
func (a *app) colour() bool { return !a.noColor && isTerminal(a.out) }

// eventLines writes events for people: what was promised, voted, refused and chosen,
// in columns that fit into 80. One message to several nodes is one line.
type eventLines struct {
	out    io.Writer
	names  map[uint64]string // of the nodes in ballots
	began  time.Time
	colour bool
	lines  []eventLine // not written yet
	decree string      // that the last line was about
	shown  map[string]int
}

type eventLine struct {
	event synod.DecreeEvent
	to    []string
}

// together is how far apart two messages may be that were sent as one.
const together = 20 * time.Millisecond

// add takes an event; flush writes it.
func (l *eventLines) add(e synod.DecreeEvent) {
	l.learn(e)
	if e.Received || kindWords[e.Kind] == "" {
		return // what was sent is told by its sender, and the rest is for a replay
	}
	for i, other := range l.lines {
		if o := other.event; o.Node == e.Node && o.Role == e.Role && o.Kind == e.Kind && o.Decree == e.Decree && o.Ballot == e.Ballot &&
			e.ToName != "" && e.Time.Sub(o.Time) < together {
			if !slices.Contains(other.to, e.ToName) {
				l.lines[i].to = append(other.to, e.ToName)
			}
			return
		}
	}
	to := e.ToName
	if to == "" && e.To != paxos.None {
		to = fmt.Sprintf("%.4x (gone)", uint64(e.To)) // nobody answers to that identity any more
	}
	l.lines = append(l.lines, eventLine{e, []string{to}})
}

// flush writes what was added.
func (l *eventLines) flush() {
	for _, line := range l.lines {
		e, value := line.event, ""
		times := l.again(line)
		if times == tooOften && e.ToName != "" {
			continue
		}
		again := ""
		if times > 0 && e.ToName != "" {
			again = "again "
		}
		if e.Decree != "" && e.Decree != l.decree {
			l.decree = e.Decree
			fmt.Fprintf(l.out, "         decree %.60q\n", e.Decree)
		}
		if len(e.Value) > 0 && e.Kind != "promise" {
			value = fmt.Sprintf("%.10q", e.Value)
		}
		text := fmt.Sprintf("%7.3f  %-3s %-8s %-9s %-9s %s", e.Time.Sub(l.began).Seconds(), cmp.Or(e.Name, "?"), kindWords[e.Kind],
			l.ballot(e.Ballot.Round, uint64(e.Ballot.Node)), value, again+l.remark(e, strings.Join(line.to, " ")))
		fmt.Fprintln(l.out, l.paint(e.Kind, strings.TrimRight(firstRunes(text, 80), " ")))
	}
	l.lines = nil
}

const (
	// tooOften is how often a message must have been sent not to be written again.
	tooOften = 2
	// maxShown bounds what is remembered of the lines that were written.
	maxShown = 4096
)

// again returns how often all whom a message is for were sent it before, as far as it
// matters.
func (l *eventLines) again(line eventLine) int {
	if l.shown == nil || len(l.shown) > maxShown {
		l.shown = make(map[string]int)
	}
	e, least := line.event, tooOften
	for _, to := range line.to {
		key := fmt.Sprint(e.Node, e.Role, e.Kind, e.Decree, e.Ballot, to)
		least = min(least, l.shown[key])
		l.shown[key]++
	}
	return least
}

// kindWords are what events are called in a line; others are not shown.
var kindWords = map[string]string{"prepare": "prepare", "accept": "accept", "propose": "propose", "promise": "promise",
	"accepted": "vote", "nack": "nack", "chosen": "chosen", "ask": "ask", "finish": "finish", "learned": "learned",
	"ended": "answer", "alarm": "ALARM", "abandoned": "ALARM", "refusal": "refusal", "founded": "founded", "recovered": "starts"}

func (l *eventLines) learn(e synod.DecreeEvent) {
	for id, name := range map[uint64]string{uint64(e.Node): e.Name, uint64(e.From): e.FromName, uint64(e.To): e.ToName} {
		if name != "" {
			l.names[id] = name
		}
	}
}

// ballot is its round and the name of its node: 3.p1.
func (l *eventLines) ballot(round, node uint64) string {
	if round == 0 {
		return ""
	}
	return fmt.Sprintf("%d.%s", round, cmp.Or(l.names[node], fmt.Sprintf("%.4x", node)))
}

// remark is what there is to say about an event beside ballot and value.
func (l *eventLines) remark(e synod.DecreeEvent, to string) string {
	other := l.ballot(e.Other.Round, uint64(e.Other.Node))
	switch {
	case e.Kind == "promise" && other == "":
		return "to " + to + ": no vote yet"
	case e.Kind == "promise":
		return fmt.Sprintf("to %s: voted %.10q in %s", to, e.Value, other)
	case e.Kind == "nack":
		return fmt.Sprintf("to %s: %s is promised", to, other)
	case e.Kind == "learned":
		return fmt.Sprintf("the %s knows: chosen", e.Role)
	case e.Kind == "ended":
		return e.Note
	case e.Kind == "alarm", e.Kind == "abandoned", e.Kind == "refusal":
		return e.Note
	case e.Kind == "founded":
		return "the acceptors, for ever"
	case e.Kind == "recovered":
		return fmt.Sprintf("as %s: %s", e.Role, cutAt(e.Note, ", acceptors"))
	}
	return "to " + to
}

// firstRunes are the first n characters of a text.
func firstRunes(text string, n int) string {
	if runes := []rune(text); len(runes) > n {
		return string(runes[:n])
	}
	return text
}

// cutAt is a text without what follows a mark.
func cutAt(text, mark string) string {
	before, _, _ := strings.Cut(text, mark)
	return before
}

// paint colours a line by what it tells: a vote, a choice, a refusal.
func (l *eventLines) paint(kind, text string) string {
	code := map[string]string{"accepted": "36", "learned": "32", "ended": "32", "nack": "33", "refusal": "33", "alarm": "31", "abandoned": "31"}[kind]
	if !l.colour || code == "" {
		return text
	}
	return "\x1b[" + code + "m" + text + "\x1b[0m"
}
