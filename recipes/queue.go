package recipes

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/synod-go/synod/api"
)

// place is one in a queue: an ephemeral key, whose name is a request id, below the queue's
// path. Places are in the order of their tokens.
type place struct {
	key   string
	token uint64 // the log index of the key's creation
	value []byte
}

// isPlace reports whether a key is a place of the queue at path: others may stand there too.
func isPlace(key, path string) bool {
	name, below := strings.CutPrefix(key, path+"/")
	if !below {
		return false
	}
	_, err := api.ParseRequestID(name)
	return err == nil
}

// byToken is the order of a queue. Two can have one token if somebody makes places by hand
// in one transaction: the names then make the order the same for everybody.
func byToken(a, b place) int {
	return cmp.Or(cmp.Compare(a.token, b.token), cmp.Compare(a.key, b.key))
}

// maxPage is the most that one page of a listing holds.
const maxPage = 1000

// places lists a queue in order. A change that it does not show has a higher index than the one
// it returns; of several pages, later ones may show more.
func places(ctx context.Context, r reader, path string, o api.ReadOptions) (list []place, index uint64, err error) {
	options := api.ListOptions{ReadOptions: o, Limit: maxPage}
	for {
		page, err := r.List(ctx, path, options)
		if api.CodeOf(err) == api.CodeNotFound {
			return missing(ctx, r, path, o)
		}
		if err != nil {
			return nil, 0, err
		}
		if index == 0 {
			index = page.Index
		}
		for _, e := range page.Entries {
			if isPlace(e.Path, path) {
				list = append(list, place{e.Path, e.Created, e.Value})
			}
		}
		if page.After == "" {
			slices.SortFunc(list, byToken)
			return list, index, nil
		}
		options.After, options.ReadOptions = page.After, api.ReadOptions{Level: api.Sequential, MinIndex: page.Index}
	}
}

// missing finds the index of a listing of a path that is not there.
func missing(ctx context.Context, r reader, path string, o api.ReadOptions) ([]place, uint64, error) {
	_, index, err := r.Get(ctx, path, o)
	switch api.CodeOf(err) {
	case api.CodeNotFound:
		return nil, index, nil
	case "": // it has come meanwhile
		return places(ctx, r, path, o)
	default:
		return nil, 0, err
	}
}

// watch is r.Watch, but for failures that pass. It ends with the error of f, with ctx's cause,
// with CodeGone, or with an error that stays. After a failure the changes of the last index
// come again.
func watch(ctx context.Context, r reader, path string, o api.WatchOptions, f func(api.Change) error) error {
	var stopped error
	for pause := firstPause; ; pause = min(2*pause, lastPause) {
		err := r.Watch(ctx, path, o, func(c api.Change) error {
			pause, o.From = firstPause, c.Index
			stopped = f(c)
			return stopped
		})
		switch {
		case stopped != nil:
			return stopped
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case err != nil && !passing(err):
			return err
		}
		rest(ctx, pause)
	}
}

var errSeen = errors.New("recipes: seen")

// next waits for the first change of key of the given kinds with an index higher than after,
// and returns its index. CodeGone: it may have been missed.
func next(ctx context.Context, r reader, key string, after uint64, kinds ...string) (index uint64, err error) {
	err = watch(ctx, r, key, api.WatchOptions{From: after + 1}, func(c api.Change) error {
		if c.Path != key || !slices.Contains(kinds, c.Kind) {
			return nil
		}
		index = c.Index
		return errSeen
	})
	if errors.Is(err, errSeen) {
		return index, nil
	}
	return 0, err
}

// gone waits until a key that was there at an index is deleted. It returns an index at which
// it was not there.
func gone(ctx context.Context, r reader, key string, index uint64) (uint64, error) {
	for {
		at, err := next(ctx, r, key, index, "deleted")
		if api.CodeOf(err) != api.CodeGone {
			return at, err
		}
		err = insist(ctx, func(ctx context.Context) (err error) {
			_, index, err = r.Get(ctx, key, api.ReadOptions{})
			return err
		})
		if api.CodeOf(err) == api.CodeNotFound {
			return index, nil
		}
		if err != nil {
			return 0, err
		}
	}
}
