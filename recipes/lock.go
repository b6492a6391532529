package recipes

import (
	"context"

	"github.com/synod-go/synod/api"
)

// Lock waits until the session holds the lock at path and returns it. Who waits stands in a queue
// in the order of arrival. When ctx ends first the place in the queue is given up, for which it
// takes at most a second more; if that is not known to be done by then, it goes on until it is, or
// the session is over. value is shown to those who look who holds it; at most MaxValue bytes.
//
// A lock is not reentrant: one session can stand in the queue several times. It waits through
// elections and lost connections. Errors: ctx's; CodeSession; ErrDeleted; those of Session.Create that
// do not pass.
func Lock(ctx context.Context, s *api.Session, path string, value []byte) (*Held, error) {
	return lock(ctx, s, path, value)
}

// TryLock returns nil and no error if somebody holds or waits for the lock, the same session
// also. Otherwise it is Lock.
func TryLock(ctx context.Context, s *api.Session, path string, value []byte) (*Held, error) {
	return tryLock(ctx, s, path, value)
}

func lock(ctx context.Context, s session, path string, value []byte) (*Held, error) {
	h, err := enter(ctx, s, path, value)
	if err != nil {
		return nil, err
	}
	if err := h.await(ctx); err != nil {
		h.abandon()
		return nil, err
	}
	return h, nil
}

// await waits until nobody stands before h. It watches the place before its own alone. If that one
// has gone without ever having been the first, it watches the next one before it.
func (h *Held) await(ctx context.Context) error {
	ctx, cancel := until(ctx, h.lost, h.Err)
	defer cancel()
	index := h.token
	for {
		ahead, at, err := h.ahead(ctx, index)
		if err != nil || ahead == "" {
			return err
		}
		if index, err = gone(ctx, h.s, ahead, at); err != nil {
			return err
		}
	}
}

// ahead returns the place before h, "" if h is the first, as any node that has applied the log up to
// index saw it at the index returned. A node that lags may still show who has gone, never miss who is there.
func (h *Held) ahead(ctx context.Context, index uint64) (key string, at uint64, err error) {
	var list []place
	err = insist(ctx, func(ctx context.Context) (err error) {
		list, at, err = places(ctx, h.s, h.path, api.ReadOptions{Level: api.Sequential, MinIndex: index})
		return err
	})
	if err != nil {
		return "", 0, err
	}
	for _, p := range list {
		if p.key == h.key {
			return key, at, nil
		}
		key = p.key
	}
	return "", 0, ErrDeleted
}

func tryLock(ctx context.Context, s session, path string, value []byte) (*Held, error) {
	path, err := trimmed(path)
	if err != nil {
		return nil, err
	}
	// Only a queue that is empty is entered, so that no one who waits is kept waiting.
	var list []place
	looking, cancel := until(ctx, s.Lost(), s.Err)
	defer cancel()
	err = insist(looking, func(ctx context.Context) (err error) {
		list, _, err = places(ctx, s, path, api.ReadOptions{})
		return err
	})
	if err != nil || len(list) > 0 {
		return nil, err
	}
	h, err := enter(ctx, s, path, value)
	if err != nil {
		return nil, err
	}
	looking, cancel = until(ctx, h.lost, h.Err)
	defer cancel()
	ahead, _, err := h.ahead(looking, h.token)
	if err != nil || ahead != "" {
		h.abandon()
		return nil, err
	}
	return h, nil
}
