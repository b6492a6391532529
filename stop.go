package synod

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/synod-go/synod/raft"
)

// Stop ends the node in order: it hands over what it leads, leaves gossip, and
// flushes its log. It takes at most until ctx ends, and a second or two more.
func (n *Node) Stop(ctx context.Context) error {
	n.handOver(ctx)
	if n.gossip != nil {
		n.gossip.Leave(time.Second)
	}
	n.end(nil)
	<-n.done
	return nil
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

// end stops everything that was started, in the opposite order. The actors go
// before the log, so that nothing is written to a closed one.
func (n *Node) end(err error) {
	n.endOnce.Do(func() {
		n.mu.Lock()
		n.err = err
		n.mu.Unlock()
		var errs error
		if n.gossip != nil {
			errs = errors.Join(errs, n.gossip.Close())
		}
		if n.link != nil {
			errs = errors.Join(errs, n.link.Close())
		}
		n.stopActors()
		if n.store != nil {
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
		_ = n.system.Root.StopFuture(n.joiner).Wait()
	}
	for _, g := range n.groups {
		_ = n.system.Root.StopFuture(g.handle.PID()).Wait()
	}
}
