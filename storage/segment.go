package storage

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"path"
	"strconv"
	"strings"
)

// A segment is a file of fixed size, zero-filled before its first use and reused
// under a new name and a new generation. Its first block is the segment header.
const (
	segmentMagic  = "SYNODWAL"
	segmentFormat = 1
	segmentSuffix = ".log"
	tempSuffix    = ".tmp"
	// segmentStart is where the first batch stands.
	segmentStart = BlockBytes
	// minSegmentBytes leaves room for a state and a few small batches.
	minSegmentBytes = 12 * BlockBytes
	maxSegmentBytes = 1 << 30
	// extentGap is how many bytes of other groups a replay rather reads than
	// remembers to skip.
	extentGap = 64 << 10
)

// segmentHeader says which life of the file this is. Salt is random, so that no
// bytes that a client stores can look like a batch of this segment.
type segmentHeader struct {
	Generation  uint64
	Salt        uint64
	Size        int64
	Incarnation uint64 // of the store that owns it
}

func (h segmentHeader) block() []byte {
	b := alignedBuffer(BlockBytes)
	copy(b, segmentMagic)
	le := binary.LittleEndian
	le.PutUint32(b[8:], segmentFormat)
	le.PutUint64(b[16:], h.Generation)
	le.PutUint64(b[24:], h.Salt)
	le.PutUint64(b[32:], uint64(h.Size))
	le.PutUint64(b[40:], h.Incarnation)
	le.PutUint32(b[12:], segmentSum(b))
	return b
}

// segmentSum covers the whole block except the sum itself.
func segmentSum(b []byte) uint32 {
	sum := crc32.Checksum(b[:12], castagnoli)
	return crc32.Update(sum, castagnoli, b[16:BlockBytes])
}

var errSegmentHeader = errors.New("segment header is not what was written")

// parseSegmentHeader checks the first block of the segment file name.
func parseSegmentHeader(name string, b []byte) (segmentHeader, error) {
	le := binary.LittleEndian
	if len(b) < BlockBytes || string(b[:8]) != segmentMagic || le.Uint32(b[12:]) != segmentSum(b) {
		return segmentHeader{}, errSegmentHeader
	}
	if format := le.Uint32(b[8:]); format > segmentFormat {
		return segmentHeader{}, &FormatError{File: name, Format: format, Supported: segmentFormat}
	}
	h := segmentHeader{
		Generation:  le.Uint64(b[16:]),
		Salt:        le.Uint64(b[24:]),
		Size:        int64(le.Uint64(b[32:])),
		Incarnation: le.Uint64(b[40:]),
	}
	if h.Size < minSegmentBytes || h.Size > maxSegmentBytes || h.Size%BlockBytes != 0 {
		return segmentHeader{}, errSegmentHeader
	}
	return h, nil
}

// owns reports whether a batch header found at offset belongs to this life of
// this segment.
func (h segmentHeader) owns(b batchHeader, offset int64) bool {
	return b.Generation == h.Generation && b.Salt == h.Salt && b.Offset == offset && offset+int64(b.Size) <= h.Size
}

func segmentName(dir string, generation uint64) string {
	return path.Join(dir, fmt.Sprintf("%016x%s", generation, segmentSuffix))
}

// parseSegmentName returns the generation in a file name of the log directory.
func parseSegmentName(name string) (uint64, bool) {
	digits, ok := strings.CutSuffix(name, segmentSuffix)
	if !ok || len(digits) != 16 {
		return 0, false
	}
	generation, err := strconv.ParseUint(digits, 16, 64)
	return generation, err == nil && generation > 0
}

// segment is a segment in use, or one made ready for it.
type segment struct {
	segmentHeader
	name    string
	file    File  // open for writing; nil once the segment is full
	end     int64 // where the next batch goes; all before it is durable
	groups  map[Group]*groupIndex
	live    int // groups with records above their release mark
	readers int // replays under way: the file must not be reused
}

func newSegment(dir string, h segmentHeader, f File) *segment {
	return &segment{
		segmentHeader: h, name: segmentName(dir, h.Generation),
		file: f, end: segmentStart, groups: map[Group]*groupIndex{},
	}
}

// groupIndex says where a segment holds records of one group.
type groupIndex struct {
	max     uint64 // highest index
	live    bool
	extents []extent
}

// extent is a run of whole batches of which some hold records of the group.
type extent struct{ from, to int64 }

// note records that the batch at [from, to) holds a record of the group.
func (s *segment) note(g Group, index, released uint64, from, to int64) {
	x := s.groups[g]
	if x == nil {
		x = &groupIndex{}
		s.groups[g] = x
	}
	x.max = max(x.max, index)
	if !x.live && x.max > released {
		x.live = true
		s.live++
	}
	if n := len(x.extents); n > 0 && from-x.extents[n-1].to <= extentGap {
		x.extents[n-1].to = to
		return
	}
	x.extents = append(x.extents, extent{from, to})
}

// release notes that the group's records up to index are dead.
func (s *segment) release(g Group, index uint64) {
	if x := s.groups[g]; x != nil && x.live && x.max <= index {
		x.live = false
		s.live--
	}
}

// forget drops all that the segment knows of a group.
func (s *segment) forget(g Group) {
	if x := s.groups[g]; x != nil && x.live {
		s.live--
	}
	delete(s.groups, g)
}

// createSegment makes a new segment: temp, zero-fill, fsync, rename, fsync of the
// directory (D7). It returns the file open for writing. giveWay is createFilled's.
func createSegment(fsys FS, dir string, h segmentHeader, giveWay func(filled int64)) (File, error) {
	name := segmentName(dir, h.Generation)
	f, err := createFilled(fsys, name+tempSuffix, h.block(), h.Size, giveWay)
	if err != nil {
		return nil, err
	}
	return f, publish(fsys, f, name+tempSuffix, name)
}

// recycleSegment gives a dead segment a new life. Until the rename the file keeps
// its old name, and that generation is below the oldest that counts: whatever is
// in it then is ignored.
func recycleSegment(fsys FS, dir, from string, h segmentHeader) (File, error) {
	f, err := fsys.Open(from, Write|Direct)
	if err != nil {
		return nil, err
	}
	if _, err = f.WriteAt(h.block(), 0); err == nil {
		err = f.Sync()
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return f, publish(fsys, f, from, segmentName(dir, h.Generation))
}

// publish renames a finished file and makes the new name durable. It closes f if
// that fails.
func publish(fsys FS, f File, from, to string) error {
	err := fsys.Rename(from, to)
	if err == nil {
		err = fsys.SyncDir(path.Dir(to))
	}
	if err != nil {
		f.Close()
	}
	return err
}

// zeroChunk bounds the memory and the size of one write while a file is filled,
// and how long the log's own writes wait behind it in the device.
const zeroChunk = 1 << 20

// createFilled makes a durable file of size bytes that begins with head and is
// zero after it. Written zeroes, not a hole: later overwrites then change no
// metadata, which is what makes them fast. giveWay, unless nil, is called after
// each durable portion with the bytes that are done.
func createFilled(fsys FS, name string, head []byte, size int64, giveWay func(filled int64)) (File, error) {
	f, err := fsys.Open(name, Create)
	if err != nil {
		return nil, err
	}
	zero := make([]byte, min(zeroChunk, size))
	for at := int64(0); at < size && err == nil; {
		chunk := zero[:min(zeroChunk, size-at)]
		_, err = f.WriteAt(chunk, at)
		at += int64(len(chunk))
		if err == nil && at < size {
			err = f.Sync()
		}
		if err == nil && giveWay != nil {
			giveWay(at)
		}
	}
	if err == nil && len(head) > 0 {
		_, err = f.WriteAt(head, 0)
	}
	if err == nil {
		err = f.Sync()
	}
	err = errors.Join(err, f.Close())
	if err == nil {
		f, err = fsys.Open(name, Write|Direct)
	}
	if err != nil {
		_ = fsys.Remove(name)
		return nil, err
	}
	return f, nil
}

// allocator is a File that can claim space without writing to it.
type allocator interface{ Allocate(size int64) error }

// createAllocated makes a durable file that only has to hold its space: claimed
// if the file system can, filled otherwise.
func createAllocated(fsys FS, name string, size int64) (File, error) {
	f, err := fsys.Open(name, Create)
	if err != nil {
		return nil, err
	}
	a, ok := f.(allocator)
	if ok {
		err = a.Allocate(size)
	}
	if !ok || errors.Is(err, errors.ErrUnsupported) {
		_ = f.Close()
		return createFilled(fsys, name, nil, size, nil)
	}
	if err == nil {
		err = f.Sync()
	}
	if err != nil {
		_ = f.Close()
		_ = fsys.Remove(name)
		return nil, err
	}
	return f, nil
}

// window reads a file front to back in large aligned pieces.
type window struct {
	file   File
	buffer []byte
	start  int64 // file offset of buffer[0]
	filled int
}

const windowBytes = 1 << 20

// at returns n bytes at offset, both multiples of BlockBytes; they are valid until
// the next call. limit is where the file ends.
func (w *window) at(offset int64, n int, limit int64) ([]byte, error) {
	if offset >= w.start && offset+int64(n) <= w.start+int64(w.filled) {
		return w.buffer[offset-w.start:][:n], nil
	}
	want := int(min(max(int64(n), windowBytes), limit-offset))
	if want < n {
		return nil, io.ErrUnexpectedEOF
	}
	if want > len(w.buffer) {
		w.buffer = alignedBuffer(want)
	}
	w.start, w.filled = offset, 0
	got, err := w.file.ReadAt(w.buffer[:want], offset)
	if got < want {
		if err == nil || errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return nil, err
	}
	w.filled = want
	return w.buffer[:n], nil
}
