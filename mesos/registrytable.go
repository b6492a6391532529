package mesos

import (
	"cmp"
	"iter"
	"slices"
	"strings"
	"time"
)

// maxRegistryRows bounds each of RegistryLimits, and so every count.
const maxRegistryRows = 1 << 24

// registryRow is a value that does not change any more: pictures share it.
type registryRow[V any] struct {
	key   string
	value V
	bytes int
	sum   uint64
}

// registryTable holds rows by ascending key.
type registryTable[V any] struct {
	// tag tells the rows of this table from equal ones of another, in the digest.
	tag    byte
	encode func(dst []byte, v *V) []byte
	// since is how old a row is, for prune.
	since func(v *V) time.Duration
	rows  []*registryRow[V]
	// shared tells that a picture has the same rows: they are copied before a change.
	shared bool
	// bytes and sum add up those of the rows.
	bytes int64
	sum   uint64
	// scratch is used again by each encode.
	scratch []byte
}

func (t *registryTable[V]) find(key string) (int, bool) {
	return slices.BinarySearchFunc(t.rows, key, func(r *registryRow[V], key string) int { return strings.Compare(r.key, key) })
}

func (t *registryTable[V]) get(key string) (V, bool) {
	at, ok := t.find(key)
	if !ok {
		var none V
		return none, false
	}
	return t.rows[at].value, true
}

// full reports whether a row for key would be one more than limit.
func (t *registryTable[V]) full(key string, limit int) bool {
	_, ok := t.find(key)
	return !ok && len(t.rows) >= limit
}

// growth is by how many bytes set would make the table longer.
func (t *registryTable[V]) growth(key string, value V) int64 {
	bytes := t.row(key, value).bytes
	if at, ok := t.find(key); ok {
		bytes -= t.rows[at].bytes
	}
	return int64(bytes)
}

// own makes the rows the table's alone, with room for one more.
func (t *registryTable[V]) own() {
	if t.shared {
		t.rows = append(make([]*registryRow[V], 0, len(t.rows)+len(t.rows)/8+8), t.rows...)
		t.shared = false
	}
}

// set reports whether that has changed anything.
func (t *registryTable[V]) set(key string, value V) bool {
	row := t.row(key, value)
	at, ok := t.find(key)
	if ok && t.rows[at].sum == row.sum && t.same(&t.rows[at].value, &row.value) {
		return false
	}
	t.own()
	if ok {
		t.account(t.rows[at], -1)
		t.rows[at] = row
	} else {
		t.rows = slices.Insert(t.rows, at, row)
	}
	t.account(row, 1)
	return true
}

func (t *registryTable[V]) row(key string, value V) *registryRow[V] {
	t.scratch = t.encode(append(t.scratch[:0], t.tag), &value)
	return &registryRow[V]{key: key, value: value, bytes: len(t.scratch), sum: registrySum(t.scratch)}
}

func (t *registryTable[V]) same(a, b *V) bool {
	return string(t.encode(nil, a)) == string(t.encode(nil, b))
}

func (t *registryTable[V]) account(r *registryRow[V], sign int64) {
	t.bytes += sign * int64(r.bytes)
	t.sum += uint64(sign) * r.sum
}

func (t *registryTable[V]) remove(key string) bool {
	at, ok := t.find(key)
	if !ok {
		return false
	}
	t.own()
	t.account(t.rows[at], -1)
	t.rows = slices.Delete(t.rows, at, at+1)
	return true
}

// from goes through those whose keys begin with prefix, by ascending key.
func (t *registryTable[V]) from(prefix string) iter.Seq[V] {
	return func(yield func(V) bool) {
		at, _ := t.find(prefix)
		for _, r := range t.rows[at:] {
			if !strings.HasPrefix(r.key, prefix) || !yield(r.value) {
				return
			}
		}
	}
}

// all goes through the rows by ascending key.
func (t *registryTable[V]) all() iter.Seq[V] {
	return func(yield func(V) bool) {
		for _, r := range t.rows {
			if !yield(r.value) {
				return
			}
		}
	}
}

// picture returns the table as it is now, for ever.
func (t *registryTable[V]) picture() registryTable[V] {
	t.shared = true
	p := *t
	p.scratch = nil
	return p
}

// prune drops the rows of before the time and the oldest beyond keep. Of equally old ones
// the first by key goes first.
func (t *registryTable[V]) prune(before time.Duration, keep int) (dropped int) {
	if before == 0 && len(t.rows) <= keep {
		return 0
	}
	type aged struct {
		at    int
		since time.Duration
	}
	byAge := make([]aged, len(t.rows))
	old := 0
	for i, r := range t.rows {
		byAge[i] = aged{i, t.since(&r.value)}
		if byAge[i].since < before {
			old++
		}
	}
	if old = max(old, len(t.rows)-keep); old == 0 {
		return 0
	}
	slices.SortStableFunc(byAge, func(a, b aged) int { return cmp.Compare(a.since, b.since) })
	drop := make([]bool, len(t.rows))
	for _, a := range byAge[:old] {
		drop[a.at] = true
		t.account(t.rows[a.at], -1)
	}
	kept := make([]*registryRow[V], 0, len(t.rows)-old)
	for i, r := range t.rows {
		if !drop[i] {
			kept = append(kept, r)
		}
	}
	t.rows, t.shared = kept, false
	return old
}

// registrySum is FNV-1a of 64 bits with a finalizer, so that sums of sums say something.
func registrySum(b []byte) uint64 {
	h := uint64(14695981039346656037)
	for _, c := range b {
		h = (h ^ uint64(c)) * 1099511628211
	}
	return registryMix(h, uint64(len(b)))
}

// registryMix folds x into d so that each bit of both reaches each bit of the outcome (the
// finalizer of MurmurHash3).
func registryMix(d, x uint64) uint64 {
	d = d*0x9e3779b97f4a7c15 + x
	d = (d ^ d>>33) * 0xff51afd7ed558ccd
	d = (d ^ d>>33) * 0xc4ceb9fe1a85ec53
	return d ^ d>>33
}
