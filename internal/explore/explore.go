package explore

import (
	"cmp"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
)

// Model is what Run explores. S is a value or a pointer to one that is not
// changed any more once it has been yielded.
type Model[S any] interface {
	// Initial yields the states to begin with, in a fixed order.
	Initial(yield func(S))
	// Next yields every successor of s, in a fixed order. A label costs nothing
	// until it is printed.
	Next(s S, yield func(Label, S))
	// Key appends the bytes that tell s from every other state.
	Key(s S, buffer []byte) []byte
	// Check returns what is wrong with s, or nil.
	Check(s S) error
}

// Config says how far to look and what else to look for. The zero value works.
type Config[S any] struct {
	// MaxStates is after how many states the search gives up, and leaves
	// Result.Complete false. Default 50 million; at most 2^32 - 2.
	MaxStates int
	// Workers is how many goroutines expand states. Default GOMAXPROCS.
	Workers int
	// Sometimes names states that must be reachable for the model to mean
	// anything, such as one in which a value is chosen. See Result.Reached.
	Sometimes map[string]func(S) bool
	// CheckStep returns what is wrong with a step between two good states, or nil.
	CheckStep func(from, to S) error
	// Terminal returns what is wrong with a state that has no successor, or nil.
	Terminal func(S) error
}

// Result is what Run has seen.
type Result struct {
	States      int // distinct ones
	Transitions int
	Depth       int  // steps to the farthest state
	Complete    bool // every reachable state was visited and none was wrong
	// Reached has for each name of Config.Sometimes that holds somewhere the
	// shortest way there.
	Reached map[string]Trace
	// Violation is the first one found, at the least depth; nil if there is none.
	Violation *Violation
}

// Violation is a state or a step that must not be, and the shortest way to it.
type Violation struct {
	Err   error
	Trace Trace
}

func (v *Violation) Error() string {
	return fmt.Sprintf("%v, after %d steps:\n%v", v.Err, len(v.Trace), v.Trace)
}

func (v *Violation) Unwrap() error { return v.Err }

// Trace is the labels of the steps from an initial state.
type Trace []string

func (t Trace) String() string {
	var b strings.Builder
	for i, label := range t {
		fmt.Fprintf(&b, "%3d  %s\n", i+1, label)
	}
	return b.String()
}

// Label names a step by a format and up to five numbers for it.
type Label struct {
	format  string
	count   int
	numbers [5]int
}

// Step returns the label that prints as fmt.Sprintf(format, numbers...).
func Step(format string, numbers ...int) Label {
	l := Label{format: format, count: len(numbers)}
	copy(l.numbers[:], numbers)
	return l
}

func (l Label) String() string {
	numbers := make([]any, l.count)
	for i := range numbers {
		numbers[i] = l.numbers[i]
	}
	return fmt.Sprintf(l.format, numbers...)
}

// batchStates is how many states the workers expand between two merges.
const batchStates = 4096

// found is a successor that was not known when it was found.
type found[S any] struct {
	print   print128
	parent  uint32
	ordinal uint32
	state   S
}

// frontierState is a state that has an id and is not yet expanded.
type frontierState[S any] struct {
	id    uint32
	state S
}

// search is one Run.
type search[S any] struct {
	model  Model[S]
	config Config[S]
	seen   *table
	result Result
	next   []frontierState[S] // the states one step farther than those being expanded
	open   []string           // names of Sometimes that nothing has satisfied yet
}

// failure is a violation before its trace is known. The last step of the trace
// is the ordinal-th of parent's, or parent itself is wrong.
type failure struct {
	err     error
	parent  uint32
	ordinal uint32
	isStep  bool
}

// Run visits the states of the model, those nearest to the initial ones first,
// until it has seen all, or a wrong one, or Config.MaxStates.
func Run[S any](model Model[S], config Config[S]) Result {
	config.MaxStates = cmp.Or(config.MaxStates, 50_000_000)
	config.Workers = cmp.Or(config.Workers, runtime.GOMAXPROCS(0))
	s := &search[S]{model: model, config: config, seen: newTable()}
	s.result.Reached = map[string]Trace{}
	for name := range config.Sometimes {
		s.open = append(s.open, name)
	}
	slices.Sort(s.open)

	failed := s.begin()
	for failed == nil && len(s.next) > 0 && !s.full() {
		frontier := s.next
		s.next = nil
		before := s.seen.len()
		failed = s.level(frontier)
		if s.seen.len() > before {
			s.result.Depth++
		}
	}
	s.result.States = s.seen.len()
	s.result.Complete = failed == nil && len(s.next) == 0
	if failed != nil {
		s.result.Violation = &Violation{failed.err, s.trace(failed)}
	}
	return s.result
}

func (s *search[S]) full() bool { return s.seen.len() >= s.config.MaxStates }

// begin takes the initial states.
func (s *search[S]) begin() (failed *failure) {
	var ordinal uint32
	w := newWorker(s)
	s.model.Initial(func(state S) {
		w.offer(state, noParent, ordinal)
		ordinal++
	})
	return s.merge(w)
}

// level expands the states of one depth, batch after batch. If it stops early
// because there are too many states, the rest stays in next.
func (s *search[S]) level(frontier []frontierState[S]) *failure {
	workers := make([]*worker[S], s.config.Workers)
	for i := range workers {
		workers[i] = newWorker(s)
	}
	for len(frontier) > 0 {
		if s.full() {
			s.next = append(s.next, frontier...)
			return nil
		}
		batch := frontier[:min(batchStates, len(frontier))]
		s.expand(workers, batch)
		clear(batch) // the states are garbage now
		frontier = frontier[len(batch):]
		for _, w := range workers {
			if failed := s.merge(w); failed != nil {
				return failed
			}
		}
	}
	return nil
}

// expand gives each worker a consecutive part of the batch, and waits.
func (s *search[S]) expand(workers []*worker[S], batch []frontierState[S]) {
	var running sync.WaitGroup
	share := (len(batch) + len(workers) - 1) / len(workers)
	for _, w := range workers {
		part := batch[:min(share, len(batch))]
		batch = batch[len(part):]
		running.Go(func() { w.expand(part) })
	}
	running.Wait()
}

// merge takes in what a worker has found, in the order in which it was found.
func (s *search[S]) merge(w *worker[S]) *failure {
	s.result.Transitions += w.transitions
	w.transitions = 0
	for _, f := range w.found {
		id, isNew := s.seen.add(f.print, f.parent, f.ordinal)
		if !isNew {
			continue
		}
		s.next = append(s.next, frontierState[S]{id, f.state})
		s.open = slices.DeleteFunc(s.open, func(name string) bool {
			holds := s.config.Sometimes[name](f.state)
			if holds {
				s.result.Reached[name] = s.trace(&failure{parent: id})
			}
			return holds
		})
	}
	clear(w.found)
	w.found = w.found[:0]
	return w.failed
}

// trace returns the labels of the way to f.
func (s *search[S]) trace(f *failure) Trace {
	ordinals := s.seen.way(f.parent)
	if f.isStep {
		ordinals = append(ordinals, f.ordinal)
	}
	state := s.initial(ordinals[0])
	trace := Trace{}
	for _, wanted := range ordinals[1:] {
		var label Label
		state, label = s.successor(state, wanted)
		trace = append(trace, label.String())
	}
	return trace
}

func (s *search[S]) initial(wanted uint32) (state S) {
	var ordinal uint32
	s.model.Initial(func(candidate S) {
		if ordinal == wanted {
			state = candidate
		}
		ordinal++
	})
	return state
}

func (s *search[S]) successor(from S, wanted uint32) (state S, label Label) {
	var ordinal uint32
	s.model.Next(from, func(l Label, candidate S) {
		if ordinal == wanted {
			state, label = candidate, l
		}
		ordinal++
	})
	return state, label
}
