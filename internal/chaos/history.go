package chaos

import (
	"fmt"
	"slices"
	"sync"
	"time"
)

// Kind says what an operation does.
type Kind uint8

// The operations that clients use.
const (
	Put           Kind = iota + 1 // set Key to Value whatever it was
	CompareAndSet                 // set Key to Value if its version is Expect
	Delete                        // remove Key
	Get                           // read Key at Level
)

func (k Kind) String() string {
	return [...]string{"?", "put", "cas", "delete", "get"}[min(int(k), 4)]
}

// Level is the consistency a Get asks for, by the name it has in the HTTP API.
type Level string

// The levels that are judged. Linearizable and Lease promise the same thing.
const (
	LevelLinearizable Level = "linearizable"
	LevelLease        Level = "lease"
	LevelSequential   Level = "sequential"
)

// Outcome is what a client knows when an operation is over.
type Outcome uint8

// A client that cannot tell says Unknown: the operation may have happened, may
// still happen, or may never happen.
const (
	Done    Outcome = iota + 1 // answered; the answer is in the other fields
	Refused                    // surely had no effect
	Unknown                    // may or may not have had an effect
)

func (o Outcome) String() string {
	return [...]string{"?", "done", "refused", "unknown"}[min(int(o), 3)]
}

// Operation is one request of one client, all its attempts together.
type Operation struct {
	Client  int
	Node    string // the node that gave the last answer
	Kind    Kind
	Level   Level // of a Get
	Key     string
	Value   string // written, or read when Found; every written value is unique
	Expect  uint64 // version a CompareAndSet asks for
	Request string // request id; "" means that the operation is sent once at most
	Tries   int

	Call, Return time.Duration // since the recorder's start; Return is 0 if Unknown
	Outcome      Outcome
	Missed       bool   // Done, but the condition did not hold: nothing changed
	Found        bool   // Get: the key existed
	Index        uint64 // log index at which it was applied or read
	Version      uint64 // the key's version after a write, or as read
	Modified     uint64 // Get: index of the write that made the value read
}

// write reports whether o may change its key.
func (o *Operation) write() bool { return o.Kind != Get }

// effect reports whether o is known to have changed its key.
func (o *Operation) effect() bool { return o.write() && o.Outcome == Done && !o.Missed }

func (o *Operation) String() string {
	return fmt.Sprintf("client %d %s %s %q=%q expect %d via %s [%v..%v] %v missed=%t found=%t index %d version %d modified %d request %q tries %d",
		o.Client, o.Kind, o.Level, o.Key, o.Value, o.Expect, o.Node, o.Call, o.Return, o.Outcome,
		o.Missed, o.Found, o.Index, o.Version, o.Modified, o.Request, o.Tries)
}

// Recorder collects the operations of all clients. Its methods may be called
// from any goroutine.
type Recorder struct {
	start time.Time

	mu     sync.Mutex
	ops    []Operation
	doubts []interval
	counts Counts
	signal chan struct{} // closed and replaced when an operation is added
}

type interval struct{ from, to time.Duration }

// Counts are totals over a history.
type Counts struct {
	Done, Refused, Unknown int
	Writes                 int // Done and not Missed
}

// NewRecorder returns an empty recorder whose clock starts now.
func NewRecorder() *Recorder {
	return &Recorder{start: time.Now(), signal: make(chan struct{})}
}

// Now is the time since the recorder was made, on the monotonic clock.
func (r *Recorder) Now() time.Duration { return time.Since(r.start) }

// Add records an operation that is over.
func (r *Recorder) Add(o Operation) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.ops = append(r.ops, o)
	switch o.Outcome {
	case Done:
		r.counts.Done++
		if o.effect() {
			r.counts.Writes++
		}
	case Refused:
		r.counts.Refused++
	default:
		r.counts.Unknown++
	}
	close(r.signal)
	r.signal = make(chan struct{})
}

// Counts returns the totals so far and a channel that is closed at the next Add.
func (r *Recorder) Counts() (Counts, <-chan struct{}) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.counts, r.signal
}

// longestGap is the longest time since from in which no write was acknowledged, and when that began.
func (r *Recorder) longestGap(from time.Duration) (gap, began time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	var ends []time.Duration
	for i := len(r.ops) - 1; i >= 0 && r.ops[i].Return >= from; i-- { // they are added as they return
		if r.ops[i].effect() {
			ends = append(ends, r.ops[i].Return)
		}
	}
	slices.Sort(ends)
	for _, end := range append(ends, r.Now()) {
		if end-from > gap {
			gap, began = end-from, from
		}
		from = max(from, end)
	}
	return gap, began
}

// Doubt makes every answer received between from and to Unknown. A power cut
// needs it: a flush that returns while the file system is being shut down may
// claim what did not reach the disk, so only what was acknowledged before the cut
// was issued has been promised.
func (r *Recorder) Doubt(from, to time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.doubts = append(r.doubts, interval{from, to})
}

// History returns a copy of all operations, ordered by call time, with answers
// received in doubt made Unknown.
func (r *Recorder) History() []Operation {
	r.mu.Lock()
	ops := slices.Clone(r.ops)
	doubts := slices.Clone(r.doubts)
	r.mu.Unlock()
	for i := range ops {
		o := &ops[i]
		inDoubt := slices.ContainsFunc(doubts, func(d interval) bool { return d.from <= o.Return && o.Return <= d.to })
		if o.Outcome == Done && inDoubt {
			o.Outcome, o.Return, o.Missed, o.Found, o.Index, o.Version, o.Modified = Unknown, 0, false, false, 0, 0, 0
			if o.Kind == Get {
				o.Value = ""
			}
		}
	}
	slices.SortFunc(ops, func(a, b Operation) int { return int(a.Call - b.Call) })
	return ops
}
