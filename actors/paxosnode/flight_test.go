package paxosnode

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/synod-go/synod/actors"
	"github.com/synod-go/synod/actors/group"
	"github.com/synod-go/synod/consensus"
	"github.com/synod-go/synod/multipaxos"
	"github.com/synod-go/synod/replica"
	"github.com/synod-go/synod/storage"
)

func TestEveryMessageIsRecordedByItsName(t *testing.T) {
	f := newFlight(len(everyMessage()), nil)
	for _, m := range everyMessage() {
		f.note(Out, 9, m)
	}
	for i, e := range f.Events() {
		want := strings.TrimPrefix(fmt.Sprintf("%T", everyMessage()[i]), "multipaxos.")
		if e.Kind.String() != want || e.Peer != 9 || e.Direction != Out {
			t.Errorf("%+v is called %s, want %s", e, e.Kind, want)
		}
	}
}

func TestEventsAreWrittenAsLinesOfJSON(t *testing.T) {
	f := newFlight(4, nil)
	f.now = 5
	f.note(In, 0xab, multipaxos.Accept{Ballot: b, Entries: []consensus.Entry{{Index: 3}, {Index: 4}}})
	f.add(Event{Direction: Self, Kind: kindOfRole(consensus.Leader), Peer: 1, Ballot: b})
	var text strings.Builder
	if err := WriteFlight(&text, f.Events()); err != nil {
		t.Fatal(err)
	}
	want := `{"time_ns":5,"direction":"in","kind":"Accept","peer":"00000000000000ab","ballot":"1.2.2","first":3,"last":4}
{"time_ns":5,"direction":"self","kind":"leader","peer":"0000000000000001","ballot":"1.2.2"}
`
	if text.String() != want {
		t.Errorf("wrote\n%swant\n%s", &text, want)
	}
}

// The recorder costs every message, so it must cost next to nothing.
func TestRecordingAllocatesNothing(t *testing.T) {
	f := newFlight(16, nil)
	messages := everyMessage()
	if n := testing.AllocsPerRun(100, func() {
		for _, m := range messages {
			f.note(In, 1, m)
		}
	}); n != 0 {
		t.Errorf("%v allocations for %d messages, want none", n, len(messages))
	}
}

// nothing is a state machine that keeps nothing.
type nothing struct{}

func (nothing) Apply(uint64, int64, []byte) []byte { return nil }
func (nothing) Snapshot() (io.WriterTo, error)     { return strings.NewReader(""), nil }
func (nothing) Restore(io.Reader) error            { return nil }

func TestTheRecorderIsReadThroughTheHandle(t *testing.T) {
	store, err := storage.Open("data", storage.Options{FS: storage.NewMemory(1), Node: "n1", SegmentBytes: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	id, begin, led := consensus.ID(store.Identity().Incarnation), time.Now(), make(chan struct{}, 1)
	system := actors.NewSystem(slog.New(slog.DiscardHandler))
	h, err := group.Spawn(system, group.Config{
		Protocol: New(Config{}), ID: id, Group: 1, Name: "test", Store: store,
		Bootstrap: []consensus.Member{{ID: id, Voter: true, Name: "n1"}},
		Machine:   func() replica.StateMachine { return nothing{} },
		Peer:      func(consensus.ID) *actor.PID { return nil },
		Clock:     func() consensus.Time { return consensus.Time(time.Since(begin)) },
		Changed: func(v group.View) {
			if v.Role == consensus.Leader {
				select {
				case led <- struct{}{}:
				default:
				}
			}
		},
		FailStop: func(err error) { t.Error(err) },
	}, "paxos/test", actors.NewStrategy(actors.StrategyConfig{}))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = system.Root.StopFuture(h.PID()).Wait() }()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	select {
	case <-led:
	case <-ctx.Done():
		t.Fatal("it never leads")
	}
	events, err := Flight(ctx, h)
	if err != nil || len(events) == 0 {
		t.Fatalf("%d events, %v", len(events), err)
	}
	if last := events[len(events)-1]; last.Kind != KindLeader || last.Peer != id || multipaxos.Epoch(last.Ballot) != 1 {
		t.Errorf("the last event is %+v, want that it leads in epoch 1", last)
	}
}
