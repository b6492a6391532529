package synod

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/synod-go/synod/storage"
)

// door lets operations of a disk through while it is open.
type door chan struct{}

// hang makes all writes and flushes of a disk wait until the door opens, and
// tells in begun when the first one does.
func hang(fs *storage.Memory) (shut door, begun chan struct{}) {
	shut, begun = make(door), make(chan struct{}, 1)
	fs.SetFault(func(o storage.Operation) storage.Fault {
		if o.Kind == storage.OpWrite || o.Kind == storage.OpSync {
			select {
			case begun <- struct{}{}:
			default:
			}
			<-shut
		}
		return 0
	})
	return shut, begun
}

func stopIn(n *Node, d time.Duration) error {
	ctx, cancel := context.WithTimeout(context.Background(), d)
	defer cancel()
	return n.Stop(ctx)
}

// wants fails unless err is that of a context that has ended and says for what
// was waited.
func wants(t *testing.T, err error, what string) {
	t.Helper()
	if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "waiting for "+what) {
		t.Fatalf("error %v, want the context's and that it was waiting for %s", err, what)
	}
}

func ends(t *testing.T, n *Node) {
	t.Helper()
	select {
	case <-n.Done():
	case <-time.After(30 * time.Second):
		t.Fatal("the node does not end")
	}
}

func TestStopGivesUpOnADiskThatHangsAndEndsWhenItAnswers(t *testing.T) {
	c := Local(t, 1, GroupConfig{Name: "g", New: func() StateMachine { return nothing{} }})
	n := c.Node(0)
	if _, err := n.Group("g").Propose(t.Context(), []byte("w")); err != nil { // nothing is under way
		t.Fatal(err)
	}
	shut, begun := hang(c.fs[0])
	proposed := make(chan error, 1)
	go func() {
		_, err := n.Group("g").Propose(context.Background(), []byte("x"))
		proposed <- err
	}()
	<-begun
	wants(t, stopIn(n, time.Second), "the log")
	select {
	case <-n.Done():
		t.Fatal("the node has ended before its log")
	default:
	}
	if err := <-proposed; !errors.Is(err, ErrUnknownOutcome) {
		t.Errorf("the proposal ended with %v, want ErrUnknownOutcome", err)
	}
	close(shut)
	ends(t, n)
	if err := stopIn(n, 30*time.Second); err != nil {
		t.Errorf("stop of a node that has ended: %v", err)
	}
	c.fs[0].SetFault(nil)
	c.nodes[0] = nil
	if err := c.Restart(t.Context(), 0); err != nil {
		t.Fatalf("the directory cannot be opened again: %v", err)
	}
}

// held is a state machine whose Apply waits.
type held struct{ begun, hold chan struct{} }

func (h held) Apply(uint64, int64, []byte) []byte { close(h.begun); <-h.hold; return nil }
func (held) Snapshot() (io.WriterTo, error)       { return strings.NewReader(""), nil }
func (held) Restore(io.Reader) error              { return nil }

func TestStopGivesUpOnAStateMachineThatHangs(t *testing.T) {
	machine := held{make(chan struct{}), make(chan struct{})}
	c := Local(t, 1, GroupConfig{Name: "g", New: func() StateMachine { return machine }})
	n := c.Node(0)
	go n.Group("g").Propose(context.Background(), []byte("x"))
	<-machine.begun
	wants(t, stopIn(n, time.Second), "the actor raft/g")
	close(machine.hold)
	ends(t, n)
}

func TestStartGivesUpOnADiskThatHangsAndLeavesNothingBehind(t *testing.T) {
	c := Local(t, 1, GroupConfig{Name: "g", New: func() StateMachine { return nothing{} }})
	c.Kill(0)
	shut, _ := hang(c.fs[0])
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	wants(t, c.start(ctx, 0), "the log")
	close(shut)
	c.fs[0].SetFault(nil)
	whole, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	for {
		err := c.start(whole, 0)
		if err == nil {
			break
		}
		if !errors.Is(err, storage.ErrLocked) { // until the start that was given up is undone
			t.Fatal(err)
		}
	}
	if err := c.Node(0).Ready(whole); err != nil {
		t.Fatal(err)
	}
}

func TestNothingIsStartedWhenItsContextHasEnded(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := Start(ctx, Config{Name: "n1", Bootstrap: true, Groups: []GroupConfig{{Name: "g", New: func() StateMachine { return nothing{} }}}})
	if !errors.Is(err, context.Canceled) {
		t.Fatalf("error %v, want that of the context", err)
	}
}

// restoring is a machine whose Restore does what the test says.
type restoring struct {
	nothing
	restore func() error
}

func (r restoring) Restore(io.Reader) error { return r.restore() }

func TestStartWaitsForTheStateAndSaysSo(t *testing.T) {
	shut, broken := make(door), errors.New("broken")
	restore := func() error { return nil }
	c := Local(t, 1, GroupConfig{Name: "g", New: func() StateMachine { return restoring{restore: func() error { return restore() }} }})
	g := c.Node(0).Group("g")
	if _, err := g.Propose(t.Context(), []byte("x")); err != nil {
		t.Fatal(err)
	}
	if _, err := g.Snapshot(t.Context()); err != nil {
		t.Fatal(err)
	}
	c.Kill(0)
	restore = func() error { return broken }
	if err := c.Restart(t.Context(), 0); !errors.Is(err, broken) {
		t.Fatalf("start with a state that cannot be restored: %v, want %v", err, broken)
	}
	ctx, cancel := context.WithCancel(t.Context())
	restore = func() error { cancel(); <-shut; return nil }
	err := c.Restart(ctx, 0)
	if !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), "waiting for the groups") {
		t.Fatalf("error %v, want the context's and that it was waiting for the groups", err)
	}
	close(shut)
}
