package recipes

import (
	"context"
	"fmt"
	"strings"

	"github.com/synod-go/synod/api"
)

// MaxRendezvous is how many may meet: a start is one transaction, with an operation for each.
const MaxRendezvous = 1000

// Rendezvous lets count sessions begin together and end together (ZooKeeper's double barrier).
type Rendezvous struct {
	held *Held
	all  map[string]bool // the keys of those who began
	// created is the log index at which they began.
	created uint64
}

// roundKey is the key, below the path, that says who has begun: it is there from the start until
// all of them have left.
const roundKey = "/round"

// Enter returns when count have entered who have not begun yet: the first count of those who are
// there begin, in one transaction, which makes sure that all of them are there. count is 1 to
// MaxRendezvous, and should be the same for all. Others wait, for the next round; that begins when
// all of this one have left or are gone, and there are again count. Who is gone before the start does
// not count; who is gone after it is missed by nobody but Leave. When ctx ends first the place is
// given up, as with Lock. Errors are those of Lock.
func Enter(ctx context.Context, s *api.Session, path string, count int) (*Rendezvous, error) {
	return meet(ctx, s, path, count)
}

// Lost is closed when Leave is called, or the session is or may be over, or somebody has deleted
// the key that stands for who entered.
func (r *Rendezvous) Lost() <-chan struct{} { return r.held.lost }

// Leave returns when all who began together have left, or are gone. When ctx ends first the others
// are not kept waiting any more for who called it. Errors are ctx's, and CodeSession.
func (r *Rendezvous) Leave(ctx context.Context) error {
	if err := r.held.Release(ctx); err != nil {
		return err
	}
	s := r.held.s
	ctx, cancel := until(ctx, s.Lost(), s.Err)
	defer cancel()
	for {
		round, _, err := r.held.round(ctx)
		if err != nil || round.created != r.created {
			return err
		}
		if err := round.over(ctx, r.held); err != nil {
			return err
		}
	}
}

func meet(ctx context.Context, s session, path string, count int) (*Rendezvous, error) {
	if count < 1 || count > MaxRendezvous {
		return nil, &api.Error{Code: api.CodeRequest, Message: fmt.Sprintf("%d cannot meet", count), Why: fmt.Sprintf("it is 1 to %d", MaxRendezvous)}
	}
	h, err := enter(ctx, s, path, nil)
	if err != nil {
		return nil, err
	}
	r := &Rendezvous{held: h}
	if err := r.begin(ctx, count); err != nil {
		h.abandon()
		return nil, err
	}
	return r, nil
}

// begin waits until it is one of a round.
func (r *Rendezvous) begin(ctx context.Context, count int) error {
	ctx, cancel := until(ctx, r.held.lost, r.held.Err)
	defer cancel()
	for {
		round, index, err := r.held.round(ctx)
		switch {
		case err != nil:
			return err
		case round.all[r.held.key]:
			r.all, r.created = round.all, round.created
			return nil
		case round.created != 0:
			err = round.over(ctx, r.held)
		default:
			err = r.held.start(ctx, count, index)
		}
		if err != nil {
			return err
		}
	}
}

// start begins a round if there are enough, and otherwise waits until somebody else does. There
// was no round at index.
func (h *Held) start(ctx context.Context, count int, index uint64) error {
	list, _, err := h.present(ctx, index)
	if err != nil {
		return err
	}
	if len(list) < count {
		// Who comes after us sees more, and begins.
		_, err := next(ctx, h.s, h.path+roundKey, index, "created")
		if api.CodeOf(err) == api.CodeGone {
			return nil
		}
		return err
	}
	var names []string
	var operations []api.TxnOperation
	for _, p := range list[:count] {
		names = append(names, strings.TrimPrefix(p.key, h.path+"/"))
		operations = append(operations, api.TxnOperation{Op: "check", Path: p.key, Created: p.token})
	}
	operations = append(operations, api.TxnOperation{Op: "create", Path: h.path + roundKey, Value: []byte(strings.Join(names, "\n"))})
	return h.commit(ctx, operations)
}

// commit carries out operations unless one is refused, because another was faster or somebody has
// gone: then the tree has to be looked at anew.
func (h *Held) commit(ctx context.Context, operations []api.TxnOperation) error {
	id := api.NewRequestID()
	err := insist(ctx, func(ctx context.Context) error {
		_, err := h.s.Commit(ctx, operations, id)
		return err
	})
	switch api.CodeOf(err) {
	case api.CodeExists, api.CodeNotFound, api.CodeConflict:
		return nil
	}
	return err
}

// round is those who began together.
type round struct {
	all     map[string]bool // by key
	created uint64          // 0: there is none
	index   uint64          // at which it was there
}

// round reads the round that is on, and the index at which that was so.
func (h *Held) round(ctx context.Context) (r round, index uint64, err error) {
	var entry api.Entry
	err = insist(ctx, func(ctx context.Context) (err error) {
		entry, index, err = h.s.Get(ctx, h.path+roundKey, api.ReadOptions{})
		return err
	})
	if api.CodeOf(err) == api.CodeNotFound {
		return round{}, index, nil
	}
	r = round{all: map[string]bool{}, created: entry.Created, index: index}
	for name := range strings.SplitSeq(string(entry.Value), "\n") {
		r.all[h.path+"/"+name] = true
	}
	return r, index, err
}

// present lists who is there, at an index or later.
func (h *Held) present(ctx context.Context, index uint64) (list []place, at uint64, err error) {
	err = insist(ctx, func(ctx context.Context) (err error) {
		list, at, err = places(ctx, h.s, h.path, api.ReadOptions{Level: api.Sequential, MinIndex: index})
		return err
	})
	return list, at, err
}

// over waits until one of the round has gone, or ends it if all have. Everybody waits for the last
// one that is there: most have then gone, too. A place that a reading behind the start does not
// show does not come again.
func (r round) over(ctx context.Context, h *Held) error {
	list, at, err := h.present(ctx, r.index)
	if err != nil {
		return err
	}
	last := ""
	for _, p := range list {
		if r.all[p.key] {
			last = p.key
		}
	}
	if last != "" {
		_, err := gone(ctx, h.s, last, at)
		return err
	}
	return h.commit(ctx, []api.TxnOperation{{Op: "delete", Path: h.path + roundKey, Created: r.created}})
}
