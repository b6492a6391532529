package synod

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/synod-go/synod/actors/group"
	"github.com/synod-go/synod/raft"
)

// Stop ends the node in order: it hands over what it leads, leaves gossip, and
// flushes its log. If ctx ends first, its error says what was waited for: a disk
// that does not answer, or a state machine in Apply. The node goes on ending, and
// closes Done, when that comes back.
func (n *Node) Stop(ctx context.Context) error {
	n.handOver(ctx)
	go n.end(nil)
	select {
	case <-n.done:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("synod: stop: waiting for %s: %w", n.waitsFor(), ctx.Err())
	}
}

// waitFor notes what the start or the end of the node waits for from now on.
func (n *Node) waitFor(what string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.doing = what
}

func (n *Node) waitsFor() string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.doing
}

// handOver transfers every leadership, for as long as ctx allows.
func (n *Node) handOver(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, 2*n.cfg.Election)
	defer cancel()
	for _, g := range n.groups {
		view := g.handle.View()
		if view.Role != raft.Leader || len(view.Configuration.Members) < 2 {
			continue
		}
		if err := g.TransferLeadership(ctx, ""); err != nil {
			n.log.Info("leadership not handed over", "group", g.name, "error", err)
		}
	}
}

// Done is closed when the node has ended.
func (n *Node) Done() <-chan struct{} { return n.done }

// Err is why the node ended by itself; nil while it runs and after Stop.
func (n *Node) Err() error {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.err
}

func (n *Node) stoppedError() error {
	if err := n.Err(); err != nil {
		return fmt.Errorf("%w: %w", ErrStopped, err)
	}
	return ErrStopped
}

// fail ends the node because it must not go on. It does not block.
func (n *Node) fail(err error) {
	if loss, ok := errors.AsType[*group.LossError](err); ok {
		go n.lose(fmt.Sprintf("node %s: %s", n.cfg.Name, strings.TrimPrefix(loss.Error(), "group: ")))
		return
	}
	if wrong, ok := errors.AsType[*group.QuarantineError](err); ok {
		go n.quarantine(wrong)
		return
	}
	n.failStopWith(rolesError(err))
}

// failStopWith ends the node as it is, whatever becomes of its data directory. The
// first reason counts.
func (n *Node) failStopWith(err error) {
	select {
	case n.failStop <- err:
	default:
	}
}

// watchFailStop ends the node on the first reason, off the actors' goroutines.
func (n *Node) watchFailStop() {
	select {
	case err := <-n.failStop:
		n.log.Error("node ends", "error", err)
		n.emit(Event{Kind: "stopped", Reason: err.Error()})
		n.end(err)
	case <-n.done:
	}
}

// leaveTimeout is how long a node waits until somebody has heard that it goes.
const leaveTimeout = time.Second

// end stops everything that was started, in the opposite order. The actors go
// before the log, so that nothing is written to a closed one. With an error the
// node goes without a word to gossip. It waits for the end, however long a disk
// or a state machine takes.
func (n *Node) end(err error) {
	n.endOnce.Do(func() {
		n.mu.Lock()
		n.err = err
		n.mu.Unlock()
		var errs error
		if n.gossip != nil {
			n.waitFor("gossip")
			if err == nil {
				_ = n.gossip.Leave(leaveTimeout) // that nobody hears it is no error
			}
			errs = errors.Join(errs, n.gossip.Close())
		}
		if n.link != nil {
			n.waitFor("the link")
			errs = errors.Join(errs, n.link.Close())
		}
		n.stopActors()
		if n.store != nil {
			n.waitFor("the log")
			errs = errors.Join(errs, n.store.Close())
		}
		if errs != nil {
			n.log.Warn("while stopping", "error", errs)
		}
		close(n.done)
	})
}

func (n *Node) stopActors() {
	if n.joiner != nil {
		n.stopActor(n.joiner)
	}
	for _, g := range n.groups {
		if keeper := g.keeper.Load(); keeper != nil {
			n.stopActor(keeper.PID())
		}
		if master := g.master.Load(); master != nil {
			n.stopActor(master.PID())
		}
		n.stopActor(g.handle.PID())
	}
}

// stopActor waits until an actor and its children have stopped: protoactor's
// future gives up after ten seconds, and the log must outlive whoever writes it.
func (n *Node) stopActor(pid *actor.PID) {
	n.waitFor("the actor " + pid.Id)
	for errors.Is(n.system.Root.StopFuture(pid).Wait(), actor.ErrTimeout) {
	}
}
