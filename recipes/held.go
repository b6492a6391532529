package recipes

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/synod-go/synod/api"
)

// Why Held.Lost is closed, apart from the end of the session.
var (
	// ErrReleased: by Release.
	ErrReleased = errors.New("recipes: it was released")
	// ErrDeleted: somebody has deleted the key that stands for the holder, or for who waits.
	ErrDeleted = errors.New("recipes: somebody has deleted its key")
)

// Held is a lock or a leadership that is held, until Lost is closed. It is safe for concurrent
// use.
type Held struct {
	s        session
	path     string // the queue's
	key      string
	token    uint64
	createID api.RequestID
	unsure   bool // whether the key was made

	lost chan struct{}
	mu   sync.Mutex
	err  error
}

// Token is the fencing token: the log index at which this holder queued up. Later holders of the
// same lock have higher ones.
//
// For a place is let in when no lower one is there, as a reading at or after its own creation
// shows, and no lower one is made later, since the log goes on: so it stays the lowest while it
// is there, whatever is made of the names and the path above them. The next one let in was there
// too and higher, or was made later and is higher. Two places never have the same, because each is
// made by an entry of the log of its own.
func (h *Held) Token() uint64 { return h.token }

// Path is the key that stands for the holder.
func (h *Held) Path() string { return h.key }

// Lost is closed when the lock is given back, or the session is or may be over, or somebody
// has deleted the key, or it can no longer be known whether somebody has.
func (h *Held) Lost() <-chan struct{} { return h.lost }

// Err is nil until Lost is closed, then why: ErrReleased, ErrDeleted, or the session's error.
func (h *Held) Err() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.err
}

// Check is an operation that makes a transaction fail unless the lock is still held.
func (h *Held) Check() api.TxnOperation {
	return api.TxnOperation{Op: "check", Path: h.key, Created: h.token}
}

// Release gives the lock back. It is no error that it was lost. When ctx ends first the error is
// that of ctx, and the attempt goes on until it is known to have succeeded or the session is over.
func (h *Held) Release(ctx context.Context) error {
	h.lose(ErrReleased)
	done := make(chan error, 1)
	go func() { done <- h.remove() }()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// lose closes Lost, once.
func (h *Held) lose(why error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.err == nil {
		h.err = why
		close(h.lost)
	}
}

// enter makes a place in the queue at path and begins to look after it.
func enter(ctx context.Context, s session, path string, value []byte) (*Held, error) {
	path, err := trimmed(path)
	if err == nil {
		err = checkValue(value)
	}
	if err != nil {
		return nil, err
	}
	ctx, cancel := until(ctx, s.Lost(), s.Err)
	defer cancel()
	h := &Held{s: s, path: path, key: path + "/" + api.NewRequestID().String(), createID: api.NewRequestID(), lost: make(chan struct{})}
	for {
		err := h.create(ctx, value)
		if api.CodeOf(err) == api.CodeNotFound {
			h.createID = api.NewRequestID()
			err = h.makePath(ctx)
		} else if err == nil {
			h.look()
			return h, nil
		}
		if err != nil {
			h.abandon()
			return nil, err
		}
	}
}

// create makes the key, unless that fails for a reason that stays: CodeNotFound if there is no
// path. If it sets unsure, the key may have been made or not, and it can be called again.
func (h *Held) create(ctx context.Context, value []byte) error {
	options := api.CreateOptions{Mode: api.Ephemeral, NeedParent: true, RequestID: h.createID}
	err := insist(ctx, func(ctx context.Context) error {
		done, err := h.s.Create(ctx, h.key, value, options)
		h.token, h.unsure = done.Index, !sure(err) || h.unsure && undone(err)
		return err
	})
	if api.CodeOf(err) == api.CodeExpired {
		return h.find(ctx, err)
	}
	return err
}

// find looks for a key whose creation has expired: a cluster that says so will not do it any
// more, but may have done it before.
func (h *Held) find(ctx context.Context, expired error) error {
	err := insist(ctx, func(ctx context.Context) error {
		entry, _, err := h.s.Get(ctx, h.key, api.ReadOptions{})
		h.token = entry.Created
		return err
	})
	if api.CodeOf(err) == api.CodeNotFound {
		return expired
	}
	h.unsure = err != nil
	return err
}

// makePath makes the queue's path, as a container, so that it vanishes with the last place.
func (h *Held) makePath(ctx context.Context) error {
	id := api.NewRequestID()
	err := insist(ctx, func(ctx context.Context) error {
		_, err := h.s.Create(ctx, h.path, nil, api.CreateOptions{Mode: api.Container, RequestID: id})
		return err
	})
	if api.CodeOf(err) == api.CodeExists {
		return nil
	}
	return err
}

// look watches the key, so that Lost is closed when it is deleted or the session is over.
func (h *Held) look() {
	ctx, cancel := context.WithCancelCause(context.Background())
	go func() {
		select {
		case <-h.s.Lost():
			h.lose(h.s.Err())
		case <-h.lost:
		}
		cancel(h.Err())
	}()
	go func() {
		_, err := gone(ctx, h.s, h.key, h.token)
		switch over := h.s.Err(); {
		case over != nil:
			err = over
		case err == nil:
			err = ErrDeleted
		}
		h.lose(err)
	}()
}

// remove deletes the key. It ends when that is done or the session is over.
func (h *Held) remove() error {
	ctx, cancel := until(context.Background(), h.s.Lost(), h.s.Err)
	defer cancel()
	if h.unsure {
		// The creation may be under way still, and come after the deletion. Once a
		// repetition of it is answered, it does not.
		if err := h.create(ctx, nil); err != nil {
			return h.over(ctx, err)
		}
	}
	err := insist(ctx, func(ctx context.Context) error {
		_, err := h.s.Delete(ctx, h.key, api.WriteOptions{})
		return err
	})
	return h.over(ctx, err)
}

// over takes it for no error that there is nothing to delete, now or soon.
func (h *Held) over(ctx context.Context, err error) error {
	if code := api.CodeOf(err); ctx.Err() != nil || code == api.CodeSession || code == api.CodeNotFound {
		return nil
	}
	return err
}

// abandonWait is how long an attempt that has failed waits for its place to be given up before it
// returns; the giving up then goes on by itself.
const abandonWait = time.Second

func (h *Held) abandon() {
	if h.token == 0 && !h.unsure {
		h.lose(ErrReleased)
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), abandonWait)
	defer cancel()
	_ = h.Release(ctx) // goes on when that time is over, and what it says is in the tree
}
