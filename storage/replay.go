package storage

import (
	"cmp"
	"fmt"
	"slices"
)

// Replay calls f for what the log holds of a group: first the newest state record
// of each type, ordered by type, then the records above the release mark in the
// order in which they were appended. Data is valid only during the call. An error
// of f ends the replay and is returned as it is.
//
// Every byte is verified again as it is read (D14): damage ends the replay with
// *DamageError. Replay may be called at any time, also more than once, and runs
// beside the writer; of Appends to this group that are not yet answered it may
// show none, some or all.
func (s *Store) Replay(g Group, f func(Record) error) error {
	state, parts, released := s.beginReplay(g)
	defer s.endReplay(parts)
	for _, r := range state {
		if err := f(r); err != nil {
			return err
		}
	}
	total := int64(0)
	for _, p := range parts {
		for _, e := range p.extents {
			total += e.to - e.from
		}
	}
	r := replay{group: g, released: released, f: f, total: total}
	for _, p := range parts {
		if err := s.replaySegment(p, &r); err != nil {
			return err
		}
	}
	return nil
}

// replay is how far one call of Replay has come.
type replay struct {
	group       Group
	released    uint64
	f           func(Record) error
	window      window
	done, total int64 // bytes
}

// replayPart is what one segment holds of the group.
type replayPart struct {
	seg     *segment
	extents []extent
}

// beginReplay copies what the index knows and keeps the segments from reuse.
func (s *Store) beginReplay(g Group) (state []Record, parts []replayPart, released uint64) {
	x := &s.index
	x.mu.Lock()
	defer x.mu.Unlock()
	for k, data := range x.state {
		if k.group == g {
			state = append(state, Record{Group: g, Type: k.kind, Data: slices.Clone(data)})
		}
	}
	slices.SortFunc(state, func(a, b Record) int { return cmp.Compare(a.Type, b.Type) })
	for _, seg := range x.segments {
		if held := seg.groups[g]; held != nil && held.live {
			seg.readers++
			parts = append(parts, replayPart{seg, slices.Clone(held.extents)})
		}
	}
	return state, parts, x.released[g]
}

func (s *Store) endReplay(parts []replayPart) {
	s.index.mu.Lock()
	defer s.index.mu.Unlock()
	for _, p := range parts {
		p.seg.readers--
	}
}

func (s *Store) replaySegment(p replayPart, r *replay) error {
	file, err := s.fs.Open(p.seg.name, 0)
	if err != nil {
		return fmt.Errorf("storage: open segment %s: %w", p.seg.name, err)
	}
	defer file.Close()
	r.window = window{file: file, buffer: r.window.buffer}
	for _, e := range p.extents {
		for at := e.from; at < e.to; {
			h, b, err := readBatch(&r.window, p.seg, at, e.to)
			if err != nil {
				return err
			}
			err = eachRecord(h, b, func(record Record, flags uint8) error {
				if record.Group != r.group || flags != 0 || record.Index == 0 || record.Index <= r.released {
					return nil
				}
				return r.f(record)
			})
			if err == errMalformed {
				return &DamageError{File: p.seg.name, Offset: at, Reason: err.Error()}
			}
			if err != nil {
				return err
			}
			at += int64(h.Size)
			r.done += int64(h.Size)
			s.options.Progress("replay", r.done, r.total)
		}
	}
	return nil
}

// readBatch reads and verifies a batch that was durable when the index was read.
func readBatch(w *window, seg *segment, at, limit int64) (batchHeader, []byte, error) {
	damage := func(reason string, err error) (batchHeader, []byte, error) {
		return batchHeader{}, nil, &DamageError{File: seg.name, Offset: at, Reason: reason, Err: err}
	}
	b, err := w.at(at, BlockBytes, limit)
	if err != nil {
		return damage("block is unreadable", err)
	}
	h, ok := parseHeader(b)
	if !ok || !seg.owns(h, at) || at+int64(h.Size) > limit {
		return damage("batch header is not what was written", nil)
	}
	if b, err = w.at(at, h.Size, limit); err != nil {
		return damage("batch is unreadable", err)
	}
	if _, ok := checkBatch(b); !ok {
		return damage("batch is not what was written", nil)
	}
	return h, b, nil
}

// Release tells the store that the group needs its records up to index no more:
// they are covered by a snapshot that is durable. Whole segments are reused once
// nothing live is left in them; until then released records may still show up
// after a restart, because the mark itself is written with the next batch. An
// index below an earlier one changes nothing. State records are not touched.
//
// With math.MaxUint64 the group is forgotten: its state too, and all records
// appended so far. Its number may be used anew once an Append made after the
// call has been answered. Call it when nothing of the group is under way.
func (s *Store) Release(g Group, index uint64) {
	x := &s.index
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.setReleased(g, index) && !slices.Contains(x.unwritten, g) {
		x.unwritten = append(x.unwritten, g)
	}
}

// Released returns the highest index that the group has been released up to, 0 if
// it has not been. What was released can only be had from a snapshot: an owner that
// finds none which reaches so far, and no records, has lost data.
func (s *Store) Released(g Group) uint64 {
	x := &s.index
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.released[g]
}
