package sessions

import (
	"context"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/synod-go/synod/actors"
	"github.com/synod-go/synod/messages"
)

// keeper is the actor. The fields belong to its goroutine; what blocks runs beside it,
// one of each kind at most, and comes back as a message.
type keeper struct {
	cfg    Config
	handle *Handle
	gather *gather
	timer  Timer
	ctx    context.Context // ends with this instance
	cancel context.CancelFunc

	lead    Leadership
	rounds  []*messages.SignsOfLife // that wait until they are confirmed, at most one a node
	reign   *reign                  // nil while this node does not lead
	claimAt time.Duration
	failed  int // attempts to claim, one after the other
}

func newKeeper(h *Handle) *keeper { return &keeper{cfg: h.cfg, handle: h, gather: &h.gather} }

// Receive has one case for each thing that can happen to the actor.
func (k *keeper) Receive(ctx actor.Context) {
	switch m := ctx.Message().(type) {
	case *actor.Started:
		k.ctx, k.cancel = context.WithCancel(context.Background())
		k.timer = k.cfg.Timer(func() { k.handle.tell(wakeUp{}) })
		k.gather.back()
		k.turn(nil)
	case *actors.Batch:
		k.turn(m.Messages)
	case *actor.Restarting:
		k.end()
	case *actor.Stopping:
		k.end()
		k.handle.stop()
	}
}

func (k *keeper) end() {
	if k.timer != nil {
		k.timer.Stop()
		k.cancel()
	}
}

func (k *keeper) turn(items []actors.Item) {
	now := k.cfg.Clock()
	k.follow()
	for _, item := range items {
		switch m := item.Message.(type) {
		case *messages.SignsOfLife:
			k.onSigns(now, m)
		case *messages.SignsAnswered:
			if m.GetGroup() == k.cfg.Number {
				k.onAnswered(now, m)
			}
		case claimed:
			k.onClaimed(now, m)
		case looked:
			k.onLooked(now, m)
		case expired:
			k.onExpired(now, m)
		case reaped:
			k.onReaped(now, m)
		case task:
			m()
		}
	}
	k.gather.waiting = append(k.gather.waiting, k.handle.take()...)
	k.sendSigns(now)
	k.rule(now)
	k.sendSigns(now) // the next round, if this node has just answered itself
	k.setTimer(now)
}

// task is run inside the actor. Tests make it panic, to see the actor recover.
type task func()

// follow takes notice of who leads. A round under way goes to a new leader at once.
func (k *keeper) follow() {
	was, now := k.lead, k.cfg.Group.Leadership()
	if was == now {
		return
	}
	k.lead = now
	if now.Term != was.Term || !now.Leads {
		k.resign()
		k.claimAt, k.failed = 0, 0
	}
	if now.Term != was.Term || now.Leader != was.Leader {
		k.gather.back()
		k.gather.holdTo = 0
	}
}

// setTimer makes the actor look again when the first thing is due.
func (k *keeper) setTimer(now time.Duration) {
	signs, gathers := k.nextSigns()
	next, rules := k.nextRule(now)
	switch {
	case !gathers && !rules:
		k.timer.Stop()
		return
	case !rules || gathers && signs < next:
		next = signs
	}
	k.timer.Reset(max(0, next-now))
}
