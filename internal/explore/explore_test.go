package explore

import (
	"encoding/binary"
	"errors"
	"fmt"
	"reflect"
	"testing"
)

// counter is two processes that add one to a shared number n times each. If they
// are not atomic, another may write between a process's read and its write.
type counter struct {
	atomic bool
	times  uint8
}

type counterState struct {
	number  uint8
	read    [2]uint8
	holding [2]bool
	done    [2]uint8
}

func (counter) Initial(yield func(counterState)) { yield(counterState{}) }

func (c counter) Next(s counterState, yield func(Label, counterState)) {
	for p := range s.done {
		next := s
		switch {
		case s.holding[p]:
			next.number, next.holding[p], next.read[p] = s.read[p]+1, false, 0
			next.done[p]++
			yield(Step("process %d writes %d", p, int(next.number)), next)
		case s.done[p] < c.times && !(c.atomic && s.holding[1-p]):
			next.read[p], next.holding[p] = s.number, true
			yield(Step("process %d reads %d", p, int(s.number)), next)
		}
	}
}

func (counter) Key(s counterState, b []byte) []byte {
	b = append(b, s.number)
	for p := range s.done {
		b = append(b, s.read[p], s.done[p])
		if s.holding[p] {
			b[len(b)-1] |= 0x80
		}
	}
	return b
}

func (c counter) Check(s counterState) error {
	if s.done == [2]uint8{c.times, c.times} && s.number != 2*c.times {
		return fmt.Errorf("the number is %d", s.number)
	}
	return nil
}

// Two processes that both read 0 and write 1.
func Example() {
	result := Run(counter{times: 1}, Config[counterState]{})
	fmt.Println(result.Violation)
	// Output:
	// the number is 1, after 4 steps:
	//   1  process 0 reads 0
	//   2  process 1 reads 0
	//   3  process 0 writes 1
	//   4  process 1 writes 1
}

func TestAGoodModelIsExploredCompletely(t *testing.T) {
	// Without overlap a state is who has done how much and who holds: 3*3 free
	// ones, and 2*3 + 3*2 in which one of the two holds.
	result := Run(counter{atomic: true, times: 2}, Config[counterState]{
		Sometimes: map[string]func(counterState) bool{
			"four":  func(s counterState) bool { return s.number == 4 },
			"three": func(s counterState) bool { return s.number == 3 },
			"five":  func(s counterState) bool { return s.number == 5 },
		},
	})
	if !result.Complete || result.Violation != nil || result.States != 21 || result.Depth != 8 {
		t.Fatalf("want 21 states at depths up to 8 and no violation, got %+v", result)
	}
	if len(result.Reached) != 2 || len(result.Reached["four"]) != 8 || len(result.Reached["three"]) != 6 {
		t.Fatalf("want four reached in 8 steps, three in 6, five never, got %v", result.Reached)
	}
}

func TestTheSearchEndsAtMaxStates(t *testing.T) {
	result := Run(counter{times: 120}, Config[counterState]{MaxStates: 10_000})
	if result.Complete || result.States < 10_000 || result.States > 10_000+2*batchStates {
		t.Fatalf("want an incomplete search of some 10000 states, got %+v", result)
	}
}

func TestATerminalStateIsShown(t *testing.T) {
	stuck := errors.New("stuck")
	result := Run(counter{atomic: true, times: 1}, Config[counterState]{Terminal: func(s counterState) error {
		if s.number == 2 {
			return stuck
		}
		return nil
	}})
	if result.Violation == nil || !errors.Is(result.Violation, stuck) || len(result.Violation.Trace) != 4 {
		t.Fatalf("want stuck after 4 steps, got %v", result.Violation)
	}
}

func TestAWrongStepIsShownThoughItsEndIsKnown(t *testing.T) {
	// 1 is first reached from 0; the step from 1 to 1 is wrong, not the state.
	result := Run(counter{times: 2}, Config[counterState]{CheckStep: func(from, to counterState) error {
		if to.number < from.number {
			return fmt.Errorf("from %d back to %d", from.number, to.number)
		}
		return nil
	}})
	if result.Violation == nil || result.Violation.Err.Error() != "from 2 back to 1" || len(result.Violation.Trace) != 6 {
		t.Fatalf("want a step from 2 back to 1 as the sixth, got %v", result.Violation)
	}
}

func TestTheNumberOfWorkersDoesNotShow(t *testing.T) {
	var results []Result
	for workers := 1; workers <= 3; workers++ {
		results = append(results, Run(counter{times: 20}, Config[counterState]{
			Workers:   workers,
			Sometimes: map[string]func(counterState) bool{"15": func(s counterState) bool { return s.number == 15 }},
		}))
	}
	if !reflect.DeepEqual(results[0], results[1]) || !reflect.DeepEqual(results[0], results[2]) {
		t.Fatalf("want the same from 1, 2 and 3 workers, got\n%+v\n%+v\n%+v", results[0], results[1], results[2])
	}
}

func TestKeysThatDifferInLittleHaveDifferentFingerprints(t *testing.T) {
	const keys = 1 << 20
	low, high := make(map[uint64]bool, keys), make(map[uint64]bool, keys)
	for i := range uint64(keys) {
		var key [21]byte // only bits of the second word and of the rest differ
		binary.LittleEndian.PutUint32(key[10:], uint32(i&0x3ff))
		binary.LittleEndian.PutUint32(key[17:], uint32(i>>10))
		p := fingerprint(key[:])
		low[p.a], high[p.b] = true, true
	}
	// Either half alone should have no collision: 2^40/2^65 of one is expected.
	if len(low) != keys || len(high) != keys {
		t.Fatalf("want %d distinct halves, got %d and %d", keys, len(low), len(high))
	}
	if fingerprint([]byte{1}) == fingerprint([]byte{1, 0}) {
		t.Fatal("want the length of a key in its fingerprint")
	}
}

// The states here are small and cheap: what is measured is the explorer.
func BenchmarkRun(b *testing.B) {
	states := 0
	for b.Loop() {
		states += Run(counter{times: 60}, Config[counterState]{Workers: 1, MaxStates: 1_000_000}).States
	}
	b.ReportMetric(float64(states)/b.Elapsed().Seconds(), "states/s")
}
