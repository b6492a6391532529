package recipes

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/synod-go/synod/api"
)

// Former is a holder whose work may go on: nobody has said that it is over.
type Former struct {
	// Holder is what it has said how it can be ended: JSON.
	Holder json.RawMessage `json:"holder"`
	Token  uint64          `json:"token"` // that of its lock or leadership
}

// Tenure stands for the work of a holder, which must have ended before that of the next one begins.
type Tenure struct {
	key     string
	created uint64
}

// Path is the key that stands for it.
func (t *Tenure) Path() string { return t.key }

// TakeOver is called by who holds a lock or leads, before it begins what nobody else may be doing any more. If the
// holder before has not said that its work is over, end must end that work, wherever it is, and return when it is
// known to be over: nil. end's ctx ends when somebody says meanwhile that it is over. end is called again, maybe with
// another holder, when things have changed meanwhile. Then holder,
// JSON of at most MaxValue bytes that tells the next one's end how to end us, is written down before TakeOver returns:
// work that begins after that is found by every later holder, however suddenly this one is gone.
//
// So at most one works, if end does what it promises and who works has called TakeOver. What that does not need is
// that anybody looks at tokens; what it costs is that nobody works as long as end cannot know.
//
// The work is written down beside the queue, in a key that is named as it with ".fence" behind, and that is there as
// long as the work may go on. To delete it by hand is to say that the work is over.
//
// Errors: that of end; ctx's; why Lost is closed; those of Session.Commit that do not pass. Nothing need be undone after
// one: the next holder ends work that was written down and never began.
func (h *Held) TakeOver(ctx context.Context, holder []byte, end func(context.Context, Former) error) (*Tenure, error) {
	if err := checkValue(holder); err != nil {
		return nil, err
	}
	value, err := json.Marshal(Former{holder, h.token})
	if err != nil {
		return nil, &api.Error{Code: api.CodeRequest, Message: "what tells how to end us is no JSON", Why: err.Error()}
	}
	ctx, cancel := until(ctx, h.lost, h.Err)
	defer cancel()
	for pause := firstPause; ; pause = min(2*pause, lastPause) {
		t, err := h.takeOver(ctx, value, end)
		switch code := api.CodeOf(err); {
		case ctx.Err() != nil:
			return nil, context.Cause(ctx)
		case errors.Is(err, errOver): // look at once who else there is to end
		case code == api.CodeExists || code == api.CodeNotFound || code == api.CodeConflict || code == api.CodeExpired:
			rest(ctx, pause) // somebody has written meanwhile, or we hold it no more, which we hear soon
		default:
			return t, err
		}
	}
}

// takeOver ends the work that is written down, and writes down value in its place.
func (h *Held) takeOver(ctx context.Context, value []byte, end func(context.Context, Former) error) (*Tenure, error) {
	t := &Tenure{key: h.path + ".fence"}
	old, former, err := t.read(ctx, h.s)
	if err != nil {
		return nil, err
	}
	operations := []api.TxnOperation{h.Check()}
	switch {
	case old == 0:
	case former.Token == h.token: // ours: its answer was lost
		t.created = old
		return t, nil
	default:
		if err := t.endFormer(ctx, h.s, old, func(ctx context.Context) error { return end(ctx, former) }); err != nil {
			return nil, err
		}
		operations = append(operations, api.TxnOperation{Op: "delete", Path: t.key, Created: old})
	}
	operations = append(operations, api.TxnOperation{Op: "create", Path: t.key, Value: value})
	id := api.NewRequestID()
	err = insist(ctx, func(ctx context.Context) error {
		done, err := h.s.Commit(ctx, operations, id)
		t.created = done.Index
		return err
	})
	if err != nil {
		return nil, err
	}
	return t, nil
}

// errOver says that a work need not be ended any more: what was written down of it is gone.
var errOver = errors.New("recipes: the work is over")

// endFormer calls end, whose ctx ends when what was written down at an index is deleted: errOver then.
func (t *Tenure) endFormer(ctx context.Context, r reader, written uint64, end func(context.Context) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	go func() {
		if _, err := gone(ctx, r, t.key, written); err == nil {
			cancel(errOver)
		}
	}()
	err := end(ctx)
	if context.Cause(ctx) == errOver {
		return errOver
	}
	return err
}

// read is what is written down, and the log index at which it was; 0: nothing.
func (t *Tenure) read(ctx context.Context, r reader) (created uint64, f Former, err error) {
	var entry api.Entry
	err = insist(ctx, func(ctx context.Context) (err error) {
		entry, _, err = r.Get(ctx, t.key, api.ReadOptions{})
		return err
	})
	if api.CodeOf(err) == api.CodeNotFound {
		return 0, f, nil
	}
	if err == nil && (json.Unmarshal(entry.Value, &f) != nil || f.Token == 0) {
		err = &api.Error{Code: api.CodeData, Message: fmt.Sprintf("the key %q does not say who worked before", t.key),
			Why: "something else has written it", Do: []string{"when nobody works any more, delete it:  node kv del " + t.key}}
	}
	return entry.Created, f, err
}

// committer is what Over needs of an api.Client.
type committer interface {
	Commit(ctx context.Context, operations []api.TxnOperation, id api.RequestID) (api.Committed, error)
}

// Over says that the work is over, so that the next holder need not end it. It needs no session, and may be said after
// Lost was closed: it never concerns the work of anybody else. It is tried until ctx ends; the error is that of ctx, or
// of Client.Commit. Without it the next holder ends what is over already.
func (t *Tenure) Over(ctx context.Context, c *api.Client) error { return t.over(ctx, c) }

func (t *Tenure) over(ctx context.Context, c committer) error {
	id := api.NewRequestID()
	err := insist(ctx, func(ctx context.Context) error {
		_, err := c.Commit(ctx, []api.TxnOperation{{Op: "delete", Path: t.key, Created: t.created}}, id)
		return err
	})
	if code := api.CodeOf(err); code == api.CodeNotFound || code == api.CodeConflict {
		return nil // the next one has ended us
	}
	return err
}
