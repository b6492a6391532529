package chaos

import (
	"fmt"
	"time"

	"github.com/synod-go/synod/api"
)

// contestView follows what is said, for those who must wait for something. It is
// used by one goroutine.
type contestView struct {
	guarded *Guarded
	read    int
	holds   map[string]Record // by contender: what it holds, as far as it has said
	waits   map[string]bool
	granted []Record                   // all that were let in
	told    map[string]map[string]bool // by observer: the keys that it was told of
	lines   map[string]int             // by speaker
	keys    map[string]Record          // by contender: the creation of its last key, as an observer was told
	gone    map[string]Record          // by key: its deletion, as an observer was told
	// released is when each token was given back.
	released map[uint64]time.Duration
	opened   map[string]time.Duration // by contender: when it had its last session
	stays    map[string]time.Duration // by contender: when it was last asked to stay
	over     []Record                 // sessions that ended
	stood    []Record                 // when the harness stood still
}

func newContestView(g *Guarded) *contestView {
	return &contestView{guarded: g, holds: make(map[string]Record), waits: make(map[string]bool), told: make(map[string]map[string]bool),
		lines: make(map[string]int), keys: make(map[string]Record), gone: make(map[string]Record), released: make(map[uint64]time.Duration), stays: make(map[string]time.Duration),
		opened: make(map[string]time.Duration)}
}

// update reads what is new and returns a channel that is closed when there is more.
func (v *contestView) update() <-chan struct{} {
	records, changed := v.guarded.Records(v.read)
	v.read += len(records)
	for _, r := range records {
		v.add(r)
	}
	return changed
}

func (v *contestView) add(r Record) {
	v.lines[r.Who]++
	switch r.Kind {
	case SaidWaits:
		v.waits[r.Who] = true
	case SaidStays:
		v.stays[r.Who] = r.At
	case SaidHolds:
		v.holds[r.Who], v.waits[r.Who] = r, false
		v.granted = append(v.granted, r)
	case SaidReleases, SaidLost:
		delete(v.holds, r.Who)
		if r.Kind == SaidReleases {
			v.released[r.Token] = r.At
		}
	case SaidOpened:
		v.leave(r.Who)
		v.opened[r.Who] = r.At
	case SaidStood:
		if r.Who == harness {
			v.stood = append(v.stood, r)
		}
	case SaidOver:
		v.over = append(v.over, r)
		v.leave(r.Who)
	case SaidChange:
		v.tell(r)
	}
}

func (v *contestView) tell(r Record) {
	key := trimRoot(r.Change.Path)
	if v.told[r.Who] == nil {
		v.told[r.Who] = make(map[string]bool)
	}
	v.told[r.Who][key] = true
	switch r.Change.Kind {
	case "created":
		v.keys[string(r.Change.Value)] = r
		delete(v.gone, key)
	case "deleted":
		v.gone[key] = r
	}
}

// change is what an observer was told, empty if that is nothing.
func (r Record) change() api.Change {
	if r.Change == nil {
		return api.Change{}
	}
	return *r.Change
}

// leave forgets a contender whose process or session has ended.
func (v *contestView) leave(who string) {
	delete(v.holds, who)
	delete(v.waits, who)
}

// holder is who holds the highest token that somebody has and has not given back.
func (v *contestView) holder() (r Record, ok bool) {
	for _, h := range v.holds {
		if h.Token > r.Token {
			r, ok = h, true
		}
	}
	return r, ok
}

// after is the first who was let in with a higher token than this.
func (v *contestView) after(token uint64) (r Record, ok bool) {
	for _, h := range v.granted {
		if h.Token > token && (!ok || h.Token < r.Token) {
			r, ok = h, true
		}
	}
	return r, ok
}

// await waits until look returns nil, at most limit.
func (v *contestView) await(limit time.Duration, look func(*contestView) error) error {
	deadline := time.After(limit)
	for {
		changed := v.update()
		err := look(v)
		if err == nil {
			return nil
		}
		select {
		case <-changed:
		case <-deadline:
			return fmt.Errorf("not within %v: %w", limit, err)
		}
	}
}
