package chaos

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"time"
)

// Fault classes of a history, as the ledger counts them.
const (
	LostWrite = "lost write"   // acknowledged, and not in the state that followed
	StaleRead = "stale read"   // an answer older than what had been acknowledged
	Duplicate = "double apply" // one request took effect twice
	Disorder  = "disorder"     // indexes contradict each other or real time
	Phantom   = "phantom"      // an effect that nobody asked for, or that was refused
)

// Violation is one broken promise with the operations that show it.
type Violation struct {
	Class string
	Text  string
}

func (v Violation) String() string { return v.Class + ": " + v.Text }

// Entry is a key of the final state as a node lists it.
type Entry struct {
	Key      string
	Value    string
	Version  uint64
	Modified uint64
}

// Final is the state after the run, when no client writes any more.
type Final struct {
	Index   uint64 // applied index at which it was listed
	Entries []Entry
}

// maxViolations bounds what a broken run reports of each class.
const maxViolations = 20

// Witness replays history in index order and returns what contradicts it; nil
// means that none of the promises was broken. History must be ordered by call
// time and every written value must be unique. It takes O(n log n).
//
// It trusts the indexes that the cluster reports only as far as they agree with
// each other, with real time and with the final state.
func Witness(history []Operation, final Final) []Violation {
	w := newWitness(history, final)
	w.indexesServeOneCommand()
	w.placeUnknownWrites()
	w.realTimeOrder()
	for key, events := range w.events() {
		w.replay(key, events)
	}
	slices.SortFunc(w.violations, func(a, b Violation) int {
		return cmp.Or(cmp.Compare(a.Class, b.Class), cmp.Compare(a.Text, b.Text))
	})
	return w.violations
}

type witness struct {
	history    []Operation
	final      Final
	byValue    map[string]*Operation // who wrote it
	index      map[*Operation]uint64 // of every write known to have taken effect
	owner      map[uint64]*Operation // the command at an index
	violations []Violation
	reported   map[string]int // by class
}

func newWitness(history []Operation, final Final) *witness {
	w := &witness{
		history:  slices.Clone(history),
		final:    final,
		byValue:  make(map[string]*Operation),
		index:    make(map[*Operation]uint64),
		owner:    make(map[uint64]*Operation),
		reported: make(map[string]int),
	}
	for i := range w.history {
		o := &w.history[i]
		if o.Kind == Put || o.Kind == CompareAndSet {
			if other, used := w.byValue[o.Value]; used {
				panic(fmt.Sprintf("chaos: value %q written by two operations: %v and %v", o.Value, other, o))
			}
			w.byValue[o.Value] = o
		}
	}
	return w
}

func (w *witness) report(class, format string, args ...any) {
	if w.reported[class]++; w.reported[class] <= maxViolations {
		w.violations = append(w.violations, Violation{class, fmt.Sprintf(format, args...)})
	}
}

// indexesServeOneCommand checks that no index was given to two commands.
func (w *witness) indexesServeOneCommand() {
	for i := range w.history {
		o := &w.history[i]
		if !o.write() || o.Outcome != Done {
			continue
		}
		// A miss may be answered without a command in the log, so its index may
		// be one that another command owns.
		if o.Missed {
			continue
		}
		if o.Index == 0 {
			w.report(Disorder, "acknowledged without an index: %v", o)
			continue
		}
		if other, used := w.owner[o.Index]; used {
			w.report(Disorder, "index %d serves two commands: %v and %v", o.Index, other, o)
			continue
		}
		w.owner[o.Index] = o
		w.index[o] = o.Index
	}
}

// placeUnknownWrites gives each write of unknown outcome whose value was seen
// later the index under which it was seen, and checks that every sighting of a
// value names the same write.
func (w *witness) placeUnknownWrites() {
	for i := range w.history {
		o := &w.history[i]
		if o.Kind == Get && o.Outcome == Done && o.Found {
			w.sighting(o.Key, o.Value, o.Modified, o.String())
		}
	}
	for _, e := range w.final.Entries {
		w.sighting(e.Key, e.Value, e.Modified, fmt.Sprintf("final state %+v", e))
	}
}

func (w *witness) sighting(key, value string, modified uint64, where string) {
	writer, ok := w.byValue[value]
	switch {
	case !ok || writer.Key != key:
		w.report(Phantom, "value %q of key %q was never written to it: %s", value, key, where)
		return
	case writer.Outcome == Refused || writer.Missed:
		w.report(Phantom, "a write that was refused or missed took effect: %v seen in %s", writer, where)
		return
	}
	if known, ok := w.index[writer]; ok {
		if known != modified {
			w.report(Duplicate, "written at index %d and seen as written at %d: %v seen in %s", known, modified, writer, where)
		}
		return
	}
	if other, used := w.owner[modified]; used {
		w.report(Disorder, "index %d serves two commands: %v and %v", modified, other, writer)
		return
	}
	w.owner[modified] = writer
	w.index[writer] = modified
}

// realTimeOrder checks that an operation that began after another had been
// answered has the later index (the same index will do for a read). Sequential
// reads promise this only within one client.
func (w *witness) realTimeOrder() {
	type answer struct {
		at    time.Duration
		index uint64
		op    *Operation
	}
	var answers []answer
	for i := range w.history {
		o := &w.history[i]
		if o.Outcome == Done && o.Index > 0 && !o.Missed && o.Level != LevelSequential {
			answers = append(answers, answer{o.Return, o.Index, o})
		}
	}
	slices.SortFunc(answers, func(a, b answer) int { return cmp.Compare(a.at, b.at) })
	next, newest := 0, answer{}
	ofClient := make(map[int]*Operation)
	for i := range w.history {
		o := &w.history[i]
		for next < len(answers) && answers[next].at < o.Call {
			if answers[next].index >= newest.index {
				newest = answers[next]
			}
			next++
		}
		index, placed := w.index[o]
		switch {
		case o.write() && placed && index <= newest.index && newest.op != nil:
			w.report(Disorder, "began after index %d was answered and has index %d: %v after %v", newest.index, index, o, newest.op)
		case o.Kind == Get && o.Outcome == Done && o.Index == 0:
			w.report(Disorder, "answered without an index: %v", o)
		case o.Kind == Get && o.Outcome == Done && o.Level != LevelSequential && o.Index < newest.index:
			w.report(StaleRead, "began after index %d was answered and read at %d: %v after %v", newest.index, o.Index, o, newest.op)
		case o.Kind == Get && o.Outcome == Done && o.Level == LevelSequential:
			if last := ofClient[o.Client]; last != nil && o.Index < last.Index {
				w.report(StaleRead, "a client's sequential reads went back: %v after %v", o, last)
			}
		}
		if o.Outcome == Done && !o.Missed {
			if last := ofClient[o.Client]; last == nil || o.Index >= last.Index {
				ofClient[o.Client] = o
			}
		}
	}
}

// event is one step of a key's replay.
type event struct {
	index uint64
	rank  int // at one index: the write, then what was read after it
	op    *Operation
	final *Entry
	last  bool // the final look at the key; final is nil if it was absent
}

// events groups by key what is known, ordered by index.
func (w *witness) events() map[string][]event {
	keys := make(map[string][]event)
	for i := range w.history {
		o := &w.history[i]
		at, placed := w.index[o]
		switch {
		case o.write() && placed:
			keys[o.Key] = append(keys[o.Key], event{index: at, op: o})
		case o.Outcome == Done && o.Index > 0: // reads and misses
			keys[o.Key] = append(keys[o.Key], event{index: o.Index, rank: 1, op: o})
		default:
			keys[o.Key] = append(keys[o.Key], event{index: math.MaxUint64, rank: 2, op: o})
		}
	}
	for i := range w.final.Entries {
		e := &w.final.Entries[i]
		keys[e.Key] = append(keys[e.Key], event{index: w.final.Index, rank: 3, final: e, last: true})
	}
	for key, events := range keys {
		if !slices.ContainsFunc(events, func(e event) bool { return e.last }) {
			events = append(events, event{index: w.final.Index, rank: 3, last: true})
		}
		slices.SortStableFunc(events, func(a, b event) int {
			return cmp.Or(cmp.Compare(a.index, b.index), cmp.Compare(a.rank, b.rank))
		})
		keys[key] = events
	}
	return keys
}
