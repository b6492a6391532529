package agent

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"github.com/synod-go/synod/mesos"
)

// The checkpoint is a file of frames, one for each Output that had something to save. A
// frame is durable before the next one is written.
//
//	offset  size  field
//	0       4     "SYA1"
//	4       4     length of the body, little endian
//	8       4     CRC-32C of the length and the body, little endian
//	12      -     body: records of mesos, each behind its length as uvarint
//	-       1     0xff
//
// So what is torn by a crash is the last frame, and it is cut off: nothing relied on it. What
// is torn ends too early, or has sectors that were never written. A broken frame that is there
// to its end was durable once, and a task may run for it: it is damage, as is one with a whole frame behind
// it. A record of length 0 says nothing: a file that was made as a whole ends with a frame of one.
const (
	checkpointFile = "checkpoint"
	frameMagic     = "SYA1"
	frameHeader    = 12
	frameEnd       = 0xff // is not 0, so that a last sector which was never written is known by its zeros
	sectorBytes    = 512
	// maxFrame bounds a frame: an Output saves at most what some 64,000 messages lead to.
	maxFrame = 1 << 30
	// longCheckpoint is how long a checkpoint is at least before it is replaced.
	longCheckpoint = 4 << 20
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// DamageError says that the checkpoint is not as it was written.
type DamageError struct {
	File   string
	Offset int64
	Reason string
}

func (e *DamageError) Error() string {
	return fmt.Sprintf("agent: %s is damaged at byte %d: %s; what its tasks are is not known for sure: move the file away and "+
		"start anew, which ends the tasks that are left; those of this agent stay unreachable until it is marked as gone", e.File, e.Offset, e.Reason)
}

// checkpoint is the file. After an error of it the agent ends.
type checkpoint struct {
	name string
	file *os.File
	size int64
	// next is the size at which it is looked at whether it could be shorter.
	next int64
	fail func() error
}

// openCheckpoint reads the checkpoint in a work directory, or makes one.
func openCheckpoint(work string) (*checkpoint, mesos.Checkpoint, error) {
	name := filepath.Join(work, checkpointFile)
	f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, nil, fmt.Errorf("agent: open the checkpoint: %w", err)
	}
	data, err := io.ReadAll(f)
	var records mesos.Checkpoint
	whole := 0
	if err == nil {
		records, whole, err = readFrames(name, data)
	}
	if err == nil && whole < len(data) {
		err = f.Truncate(int64(whole))
	}
	if err == nil {
		_, err = f.Seek(int64(whole), io.SeekStart)
	}
	if err == nil {
		err = errors.Join(f.Sync(), syncDir(work))
	}
	if err != nil {
		f.Close()
		if _, damaged := errors.AsType[*DamageError](err); damaged {
			return nil, nil, err
		}
		return nil, nil, fmt.Errorf("agent: read the checkpoint: %w", err)
	}
	return &checkpoint{name: name, file: f, size: int64(whole), next: longCheckpoint}, records, nil
}

// readFrames returns the records of all whole frames, and where those end.
func readFrames(name string, data []byte) (records mesos.Checkpoint, whole int, err error) {
	for whole < len(data) {
		body, ok := frameAt(data, whole)
		if !ok {
			if next := wholeFrameAfter(data, whole+1); next >= 0 {
				return nil, 0, &DamageError{name, int64(whole), fmt.Sprintf("what is there is broken, and whole again at byte %d", next)}
			}
			if !torn(data[whole:], whole) {
				return nil, 0, &DamageError{name, int64(whole), "the last frame is broken, and no crash has torn it: it is there to its end"}
			}
			return records, whole, nil
		}
		at := whole + frameHeader
		whole = at + len(body) + 1
		for len(body) > 0 {
			length, n := binary.Uvarint(body)
			if n <= 0 || length > uint64(len(body)-n) {
				return nil, 0, &DamageError{name, int64(at), "a record is longer than its frame"}
			}
			if length == 0 {
				body, at = body[n:], at+n
				continue
			}
			r, err := mesos.DecodeRecord(body[n : n+int(length)])
			if err != nil {
				return nil, 0, &DamageError{name, int64(at), err.Error()}
			}
			records = append(records, r)
			body, at = body[n+int(length):], at+n+int(length)
		}
	}
	return records, whole, nil
}

// frameAt returns the body of the frame at that offset, if there is a whole one.
func frameAt(data []byte, at int) (body []byte, ok bool) {
	rest := data[at:]
	if len(rest) < frameHeader || string(rest[:4]) != frameMagic {
		return nil, false
	}
	length := int(binary.LittleEndian.Uint32(rest[4:]))
	if length == 0 || length >= len(rest)-frameHeader || rest[frameHeader+length] != frameEnd {
		return nil, false
	}
	body = rest[frameHeader : frameHeader+length]
	return body, frameSum(rest[4:8], body) == binary.LittleEndian.Uint32(rest[8:])
}

// torn reports whether a crash within the write of the last frame can have left rest, which
// begins at that offset of the file: its beginning, or all of it but sectors that are zero.
func torn(rest []byte, at int) bool {
	for from := 0; from < len(rest); {
		to := min(len(rest), from+sectorBytes-(at+from)%sectorBytes)
		if len(bytes.TrimLeft(rest[from:to], "\x00")) == 0 {
			return true
		}
		from = to
	}
	if n := min(len(rest), len(frameMagic)); string(rest[:n]) != frameMagic[:n] {
		return false
	}
	if len(rest) < frameHeader {
		return true
	}
	left := len(rest) - frameHeader - 1
	if int64(binary.LittleEndian.Uint32(rest[4:])) <= int64(left) {
		return false
	}
	if left < 0 {
		return true
	}
	var whole [4]byte // or is it all there, and its length was changed?
	binary.LittleEndian.PutUint32(whole[:], uint32(left))
	return frameSum(whole[:], rest[frameHeader:frameHeader+left]) != binary.LittleEndian.Uint32(rest[8:])
}

func frameSum(length, body []byte) uint32 {
	return crc32.Update(crc32.Checksum(length, castagnoli), castagnoli, body)
}

// wholeFrameAfter looks for a whole frame, -1 if there is none.
func wholeFrameAfter(data []byte, at int) int {
	for {
		i := bytes.Index(data[min(at, len(data)):], []byte(frameMagic))
		if i < 0 {
			return -1
		}
		if _, ok := frameAt(data, at+i); ok {
			return at + i
		}
		at += i + 1
	}
}

// appendFrame encodes records as one frame; with none it says nothing.
func appendFrame(dst []byte, records []mesos.Record) []byte {
	start := len(dst)
	dst = append(dst, frameMagic+"\x00\x00\x00\x00\x00\x00\x00\x00"...)
	if len(records) == 0 {
		dst = append(dst, 0)
	}
	for _, r := range records {
		body := r.Append(nil)
		dst = binary.AppendUvarint(dst, uint64(len(body)))
		dst = append(dst, body...)
	}
	frame := dst[start:]
	binary.LittleEndian.PutUint32(frame[4:], uint32(len(frame)-frameHeader))
	binary.LittleEndian.PutUint32(frame[8:], frameSum(frame[4:8], frame[frameHeader:]))
	return append(dst, frameEnd)
}

// append makes records durable.
func (c *checkpoint) append(records []mesos.Record) error {
	if len(records) == 0 {
		return nil
	}
	frame := appendFrame(nil, records)
	if len(frame) > maxFrame {
		return fmt.Errorf("agent: %d bytes to save at once", len(frame))
	}
	if c.fail != nil {
		if err := c.fail(); err != nil {
			return fmt.Errorf("agent: write %s: %w", c.name, err)
		}
	}
	_, err := c.file.Write(frame)
	if err == nil {
		err = c.file.Sync()
	}
	if err != nil {
		return fmt.Errorf("agent: write %s: %w", c.name, err)
	}
	c.size += int64(len(frame))
	return nil
}

// shorten replaces a file that has become long by what says the same, if that is a quarter of
// it at most. all is asked for only then.
func (c *checkpoint) shorten(all func() mesos.Checkpoint) error {
	if c.size < c.next {
		return nil
	}
	content := appendFrame(appendFrame(nil, all()), nil)
	c.next = max(longCheckpoint, 4*int64(len(content)))
	if c.size < c.next {
		return nil
	}
	f, err := replaceFile(c.name, content)
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) { // the long one is still there
		c.next = 2 * c.size
		return nil
	}
	if err == nil {
		c.file.Close()
		c.file, c.size = f, int64(len(content))
		err = syncDir(filepath.Dir(c.name))
	}
	if err != nil {
		return fmt.Errorf("agent: shorten %s: %w", c.name, err)
	}
	return nil
}

// replaceFile puts a new file in the place of another, which is there whole until then.
func replaceFile(name string, content []byte) (*os.File, error) {
	temporary := name + ".new"
	if err := os.Remove(temporary); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	f, err := os.OpenFile(temporary, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, err
	}
	_, err = f.Write(content)
	if err == nil {
		err = f.Sync()
	}
	if err == nil {
		err = os.Rename(temporary, name)
	}
	if err != nil {
		f.Close()
		_ = os.Remove(temporary) // it would keep a full disk full
		return nil, err
	}
	return f, nil
}

func (c *checkpoint) close() { c.file.Close() }

func syncDir(name string) error {
	d, err := os.Open(name)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}
