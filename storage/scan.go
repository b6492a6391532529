package storage

import (
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"
)

// scanned is what reading one segment file from front to back has shown.
type scanned struct {
	segmentHeader
	name    string
	usable  bool  // the segment header is right
	end     int64 // behind the last valid batch
	first   batchHeader
	batches int
	records int
	bytes   int64 // of batches
}

// scan is what reading the whole log has shown.
type scan struct {
	segments []*scanned // by generation
	last     batchHeader
	crc      uint32   // of last: the link of the chain
	valid    bool     // there is at least one valid batch
	tail     *scanned // where the log goes on; it holds last, or a torn batch after it
	torn     bool     // an unfinished batch stands at tail.end
	tornSize int
	temps    []string // unfinished files
	damage   []damage
	format   error
}

type damage struct {
	generation uint64
	err        *DamageError
}

// visitor is told of each valid batch, in order. It must not keep b.
type visitor func(s *scanned, h batchHeader, b []byte) error

// scanner reads a log. It changes nothing, so Inspect and recovery share it.
type scanner struct {
	fs          FS
	dir         string
	incarnation uint64 // 0: any
	visit       visitor
	progress    func(done, total int64)
	scan
	window window
	linked bool // the next batch must follow last
	done   int64
}

// run reads all segments and judges what it found. A damaged log is no error
// here: see scan.verdict. The error is that of the file system.
func (s *scanner) run() error {
	names, err := s.fs.List(s.dir)
	if err != nil {
		return fmt.Errorf("storage: list %s: %w", s.dir, err)
	}
	for _, name := range names {
		if generation, ok := parseSegmentName(name); ok {
			s.segments = append(s.segments, &scanned{
				segmentHeader: segmentHeader{Generation: generation},
				name:          path.Join(s.dir, name), end: segmentStart,
			})
		} else if strings.HasSuffix(name, tempSuffix) {
			s.temps = append(s.temps, path.Join(s.dir, name))
		}
	}
	for i, g := range s.segments {
		if i > 0 && s.segments[i-1].Generation+1 != g.Generation {
			s.linked = false // the gap is judged at the end, by Oldest
		}
		if err := s.segment(g); err != nil {
			return err
		}
	}
	s.checkPresence()
	return nil
}

// verdict returns the first damage in what still counts. Segments older than the
// last batch's Oldest are leftovers, whatever is in them.
func (s *scan) verdict() error {
	if s.format != nil {
		return s.format
	}
	for _, d := range s.damage {
		if !s.valid || d.generation >= s.last.Oldest {
			return d.err
		}
	}
	return nil
}

func (s *scanner) damaged(g *scanned, offset int64, reason string, cause error) {
	s.linked = false
	s.damage = append(s.damage, damage{g.Generation, &DamageError{File: g.name, Offset: offset, Reason: reason, Err: cause}})
}

// checkPresence looks for whole segments that must exist, all from Oldest to
// Newest of the last batch, and for segments before it that have lost all.
func (s *scanner) checkPresence() {
	if !s.valid {
		return
	}
	present := map[uint64]bool{}
	for _, g := range s.segments {
		present[g.Generation] = true
		if g.usable && g.batches == 0 && g.Generation < s.last.Generation {
			s.damaged(g, segmentStart, "segment holds no batch, though a later one does", nil)
		}
	}
	for generation := s.last.Oldest; generation <= s.last.Newest; generation++ {
		if !present[generation] {
			missing := &scanned{segmentHeader: segmentHeader{Generation: generation}, name: segmentName(s.dir, generation)}
			s.damaged(missing, 0, "segment is missing", nil)
			return // one is enough, and a forged Newest must not keep us here
		}
	}
}

// segment reads one file: header, batches, and then everything behind the last
// batch, in search of proof that more was once there.
func (s *scanner) segment(g *scanned) error {
	f, err := s.fs.Open(g.name, Direct)
	if err != nil {
		return fmt.Errorf("storage: open segment %s: %w", g.name, err)
	}
	defer f.Close()
	s.window = window{file: f, buffer: s.window.buffer}
	ok, err := s.header(g, f)
	if err != nil || !ok {
		return err
	}
	for s.batch(g) {
	}
	return s.rest(g)
}

func (s *scanner) header(g *scanned, f File) (bool, error) {
	size, err := f.Size()
	if err != nil {
		return false, fmt.Errorf("storage: size of %s: %w", g.name, err)
	}
	block, err := s.window.at(0, BlockBytes, size)
	if err != nil {
		s.damaged(g, 0, "segment header is unreadable", err)
		return false, nil
	}
	h, err := parseSegmentHeader(g.name, block)
	var newer *FormatError
	switch {
	case errors.As(err, &newer):
		s.format = err
		return false, nil
	case err != nil:
		s.damaged(g, 0, err.Error(), nil)
		return false, nil
	case h.Generation != g.Generation:
		s.damaged(g, 0, fmt.Sprintf("segment header is that of generation %d", h.Generation), nil)
		return false, nil
	case s.incarnation != 0 && h.Incarnation != s.incarnation:
		s.damaged(g, 0, "segment belongs to another store", nil)
		return false, nil
	case size < h.Size:
		s.damaged(g, size, fmt.Sprintf("segment ends at %d of %d bytes", size, h.Size), nil)
		return false, nil
	}
	g.segmentHeader, g.usable = h, true
	return true, nil
}

// batch reads the batch at g.end. It reports false where the run of valid batches
// ends, which is the end of the log unless rest finds proof of more.
func (s *scanner) batch(g *scanned) bool {
	if g.end+BlockBytes > g.Size {
		return false
	}
	b, err := s.window.at(g.end, BlockBytes, g.Size)
	if err != nil {
		s.damaged(g, g.end, "block is unreadable", err)
		return false
	}
	h, ok := parseHeader(b)
	if !ok || !g.owns(h, g.end) {
		return false
	}
	if b, err = s.window.at(g.end, h.Size, g.Size); err != nil {
		s.damaged(g, g.end, "batch is unreadable", err)
		return false
	}
	sum, ok := checkBatch(b)
	if !ok {
		s.noteTorn(g, h)
		return false
	}
	if !s.follows(g, h) {
		return false
	}
	if err := s.visit(g, h, b); err != nil {
		s.damaged(g, g.end, err.Error(), nil)
		return false
	}
	s.accept(g, h, sum)
	s.report(g, g.end)
	return true
}

// follows checks the place of a valid batch in the chain.
func (s *scanner) follows(g *scanned, h batchHeader) bool {
	expected := s.last.Sequence + 1
	switch {
	case (h.Flags&flagCarry != 0) != (g.end == segmentStart):
		s.damaged(g, g.end, "state stands elsewhere than at the start of a segment", nil)
	case !s.linked:
		return true // first batch of all, or behind a gap: Oldest judges the gap
	case h.Sequence > expected:
		s.damaged(s.tail, s.tail.end, fmt.Sprintf("batch %d is missing, though batch %d is there", expected, h.Sequence), nil)
	case h.Sequence < expected:
		s.damaged(g, g.end, fmt.Sprintf("batch %d stands where %d belongs", h.Sequence, expected), nil)
	case h.Previous != s.crc:
		s.damaged(s.tail, s.tail.end, fmt.Sprintf("batch %d does not continue the chain", h.Sequence), nil)
	default:
		return true
	}
	return false
}

func (s *scanner) accept(g *scanned, h batchHeader, sum uint32) {
	if g.batches == 0 {
		g.first = h
	}
	g.batches++
	g.records += h.Records
	g.bytes += int64(h.Size)
	g.end += int64(h.Size)
	s.last, s.crc, s.valid, s.linked = h, sum, true, true
	s.tail, s.torn, s.tornSize = g, false, 0
}

// noteTorn remembers the header of an unfinished batch if it is the very next one.
// If it opens a segment, the log goes on there, so that it is overwritten first
// of all and can never come back.
func (s *scanner) noteTorn(g *scanned, h batchHeader) {
	if s.linked && h.Sequence == s.last.Sequence+1 && h.Previous == s.crc {
		s.tail, s.torn, s.tornSize = g, true, h.Size
	}
}

// rest reads what is behind the last valid batch of g. The header of a later
// batch proves that the missing one had been complete, since no write begins
// before the one before it is durable: then this is damage, not a torn tail (D2).
func (s *scanner) rest(g *scanned) error {
	for at := g.end; at+BlockBytes <= g.Size; at += BlockBytes {
		b, err := s.window.at(at, BlockBytes, g.Size)
		if err != nil {
			s.damaged(g, at, "block is unreadable", err)
			return nil
		}
		if at == g.end && s.tail == g && !s.torn && looksTorn(g, b) {
			s.torn, s.tornSize = true, BlockBytes
		}
		h, ok := parseHeader(b)
		if ok && g.owns(h, at) && s.proves(g, h, at) {
			broken := s.tail
			if broken == nil {
				broken = g
			}
			s.damaged(broken, broken.end, fmt.Sprintf("a batch is invalid, though batch %d was written after it", h.Sequence), nil)
			return nil
		}
	}
	s.report(g, g.Size)
	s.done += g.Size
	return nil
}

// report tells how far the scan has come in g.
func (s *scanner) report(g *scanned, at int64) {
	s.progress(s.done+at, max(s.done+at, g.Size*int64(len(s.segments))))
}

// proves reports whether a batch header behind the end of g shows that a batch
// before it is lost.
func (s *scanner) proves(g *scanned, h batchHeader, at int64) bool {
	if !s.valid {
		return at > g.end
	}
	return h.Sequence > s.last.Sequence+1
}

// looksTorn recognises a damaged batch header of this very life by its salt. It
// only serves the report: a tail without it is cut in the same way.
func looksTorn(g *scanned, b []byte) bool {
	want := batchHeader{Generation: g.Generation, Salt: g.Salt}
	var model [batchHeaderBytes]byte
	want.put(model[:])
	return slices.Equal(b[8:24], model[8:24])
}
