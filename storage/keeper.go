package storage

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path"
	"slices"
	"syscall"
	"time"
)

// The keeper prepares segments ahead of the writer, reclaims dead ones, and keeps
// the reserve. In Manual mode it runs inside Flush.
const (
	preparedAhead = 1
	spareSegments = 1
	reserveName   = "reserve"
	// keepEvery is how often free space is looked at while nothing else happens.
	keepEvery = time.Second
)

func (s *Store) keep() {
	defer close(s.keeperDone)
	tick := time.NewTicker(keepEvery)
	defer tick.Stop()
	for {
		select {
		case <-s.quit:
			return
		case <-s.keeperWake:
		case <-tick.C:
		}
		if err := s.maintain(); err != nil {
			s.fail(err)
		}
		select {
		case s.segmentReady <- struct{}{}:
		default:
		}
	}
}

func (s *Store) poke() {
	select {
	case s.keeperWake <- struct{}{}:
	default:
	}
}

// awaitSegment waits until the keeper has tried to make a segment: at once after
// the first failure or after a stamp, then every keepEvery. It reports false if
// there still is none and the store is being closed.
func (s *Store) awaitSegment() bool {
	if !s.stalled {
		s.stalled = true
		select {
		case <-s.segmentReady: // of an earlier attempt
		default:
		}
		s.poke()
	}
	<-s.segmentReady // the keeper outlives the writer
	s.index.mu.Lock()
	ready := len(s.index.prepared) > 0
	s.index.mu.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	return ready || !s.queue.closed
}

// maintain does whatever is due. A full disk is no error here but shows in Full;
// any other error ends the store.
func (s *Store) maintain() error {
	s.keeping.Lock()
	defer s.keeping.Unlock()
	s.retire()
	err := s.prepare()
	full := isNoSpace(err)
	if err != nil && !full {
		return err
	}
	if err := s.trim(); err != nil {
		return err
	}
	return s.measure(full)
}

// retire turns segments below the durable Oldest into spare files. Only names
// move here: a file is touched no earlier than when it is reused.
func (s *Store) retire() {
	x := &s.index
	x.mu.Lock()
	defer x.mu.Unlock()
	for len(x.segments) > 1 && x.segments[0].Generation < x.stamped && x.segments[0].readers == 0 {
		x.spare = append(x.spare, x.segments[0].name)
		x.segments = slices.Delete(x.segments, 0, 1)
	}
}

// prepare makes segments until enough are ready. It gives up the reserve before
// it reports that the disk is full.
func (s *Store) prepare() error {
	for {
		x := &s.index
		x.mu.Lock()
		enough := len(x.prepared) >= preparedAhead
		generation := x.newest() + 1
		x.mu.Unlock()
		if enough {
			return nil
		}
		seg, err := s.nextSegment(generation)
		if isNoSpace(err) && s.dropReserve() {
			seg, err = s.nextSegment(generation)
		}
		if err != nil {
			return fmt.Errorf("storage: prepare segment %d: %w", generation, err)
		}
		x.mu.Lock()
		x.prepared = append(x.prepared, seg)
		x.mu.Unlock()
	}
}

// nextSegment reuses a spare file, or creates one.
func (s *Store) nextSegment(generation uint64) (*segment, error) {
	h := segmentHeader{
		Generation: generation, Salt: s.options.Random(),
		Size: s.options.SegmentBytes, Incarnation: s.Identity().Incarnation,
	}
	for {
		spare := s.takeSpare()
		if spare == "" {
			break
		}
		if !s.reusable(spare) {
			if err := s.fs.Remove(spare); err != nil {
				return nil, err
			}
			continue
		}
		f, err := recycleSegment(s.fs, s.logDir, spare, h)
		if err != nil {
			return nil, err
		}
		return newSegment(s.logDir, h, f), nil
	}
	f, err := createSegment(s.fs, s.logDir, h, s.giveWay)
	if err != nil {
		return nil, err
	}
	return newSegment(s.logDir, h, f), nil
}

// fillPause is how long the log's own writes have the device for themselves
// after each portion of a segment that is being prepared.
const fillPause = 3 * time.Millisecond

// giveWay waits a moment if the segment in preparation is further than the
// current one, so that it will be ready in time. There is none before the first.
func (s *Store) giveWay(filled int64) {
	if s.options.Manual {
		return
	}
	x := &s.index
	x.mu.Lock()
	ahead := len(x.segments) > 0 && filled > x.current().end
	x.mu.Unlock()
	if ahead {
		time.Sleep(fillPause)
	}
}

func (s *Store) takeSpare() string {
	x := &s.index
	x.mu.Lock()
	defer x.mu.Unlock()
	if len(x.spare) == 0 {
		return ""
	}
	name := x.spare[0]
	x.spare = x.spare[1:]
	return name
}

// reusable reports whether a spare file has the size that segments now have.
func (s *Store) reusable(name string) bool {
	f, err := s.fs.Open(name, 0)
	if err != nil {
		return false
	}
	defer f.Close()
	size, err := f.Size()
	return err == nil && size == s.options.SegmentBytes
}

// trim removes spare files beyond those that are kept for reuse. Should a crash
// bring one back, its generation is below Oldest and it becomes a spare again.
func (s *Store) trim() error {
	x := &s.index
	x.mu.Lock()
	var extra []string
	if n := len(x.spare) - spareSegments; n > 0 {
		extra = slices.Clone(x.spare[:n])
		x.spare = x.spare[n:]
	}
	x.mu.Unlock()
	for _, name := range extra {
		if err := s.fs.Remove(name); err != nil {
			return fmt.Errorf("storage: remove segment %s: %w", name, err)
		}
	}
	return nil
}

// measure looks at the free space, restores the reserve when there is room for
// it, and decides whether the store is full.
func (s *Store) measure(noSegment bool) error {
	free, err := s.fs.Free(s.dir)
	if err != nil {
		return fmt.Errorf("storage: free space of %s: %w", s.dir, err)
	}
	s.freeBytes.Store(free)
	wanted := s.options.ReserveBytes > 0
	room := s.options.ReserveBytes + s.options.MinFreeBytes
	if wanted && !s.reserve.Load() && !noSegment && free >= room {
		if err := s.makeReserve(); err != nil && !isNoSpace(err) {
			return fmt.Errorf("storage: make the reserve: %w", err)
		}
	}
	s.index.mu.Lock()
	tooMany := len(s.index.segments) > s.options.MaxSegments
	s.index.mu.Unlock()
	missing := wanted && !s.reserve.Load()
	full := noSegment || missing || tooMany || free < s.options.MinFreeBytes
	if s.full.Swap(full) != full {
		level := slog.LevelInfo
		if full {
			level = slog.LevelWarn
		}
		s.log.Log(context.Background(), level, "disk full changed", "full", full, "free_bytes", free, "reserve_held", s.reserve.Load(), "too_many_segments", tooMany)
	}
	return nil
}

func (s *Store) makeReserve() error {
	name := path.Join(s.dir, reserveName)
	f, err := createAllocated(s.fs, name+tempSuffix, s.options.ReserveBytes)
	if err != nil {
		return err
	}
	if err := publish(s.fs, f, name+tempSuffix, name); err != nil {
		return err
	}
	s.reserve.Store(true)
	return f.Close()
}

// dropReserve gives the reserve's bytes back to the disk. It reports false if
// there was none.
func (s *Store) dropReserve() bool {
	if !s.reserve.CompareAndSwap(true, false) {
		return false
	}
	s.full.Store(true)
	name := path.Join(s.dir, reserveName)
	err := errors.Join(s.fs.Remove(name), s.fs.SyncDir(s.dir))
	s.log.Info("disk reserve given up", "bytes", s.options.ReserveBytes, "error", err)
	return err == nil
}

func isNoSpace(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT)
}

func isReadOnlyMount(err error) bool { return errors.Is(err, syscall.EROFS) }
