package agent

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/synod-go/synod/mesos"
)

func termRecord(n uint64) mesos.Record {
	return mesos.Record{Kind: mesos.RecordTerm, Term: mesos.Term(n)}
}

// written is a checkpoint of three frames, of two records each, and where they begin.
func written(t *testing.T) (work string, data []byte, begins []int) {
	t.Helper()
	work = t.TempDir()
	c, records, err := openCheckpoint(work)
	if err != nil || len(records) != 0 {
		t.Fatalf("a new checkpoint: %v, %v", records, err)
	}
	defer c.close()
	for n := uint64(1); n < 6; n += 2 {
		begins = append(begins, int(c.size))
		if err := c.append([]mesos.Record{termRecord(n), termRecord(n + 1)}); err != nil {
			t.Fatal(err)
		}
	}
	data, err = os.ReadFile(filepath.Join(work, checkpointFile))
	if err != nil {
		t.Fatal(err)
	}
	return work, data, begins
}

func TestATornTailIsCutAndTheRestStands(t *testing.T) {
	work, data, begins := written(t)
	for n := begins[2]; n <= len(data); n++ {
		if err := os.WriteFile(filepath.Join(work, checkpointFile), data[:n], 0o600); err != nil {
			t.Fatal(err)
		}
		c, records, err := openCheckpoint(work)
		if err != nil {
			t.Fatalf("%d of %d bytes: %v", n, len(data), err)
		}
		want := 4
		if n == len(data) {
			want = 6
		}
		if len(records) != want {
			t.Errorf("%d of %d bytes: %d records, want %d", n, len(data), len(records), want)
		}
		if err := c.append([]mesos.Record{termRecord(99)}); err != nil { // what follows is read again
			t.Fatal(err)
		}
		c.close()
		c, records, err = openCheckpoint(work)
		if err != nil || len(records) != want+1 || records[want].Term != 99 {
			t.Errorf("%d of %d bytes, and one more frame: %v, %v", n, len(data), records, err)
		}
		c.close()
	}
}

// A changed bit anywhere is damage, with its place: also in the last frame, which was durable, so
// that a task may run of which it tells.
func TestDamageIsToldWithItsPlace(t *testing.T) {
	work, data, begins := written(t)
	for bit := range 8 * len(data) {
		i := bit / 8
		changed := append([]byte(nil), data...)
		changed[i] ^= 1 << (bit % 8)
		if err := os.WriteFile(filepath.Join(work, checkpointFile), changed, 0o600); err != nil {
			t.Fatal(err)
		}
		c, records, err := openCheckpoint(work)
		if err == nil {
			c.close()
			t.Fatalf("bit %d of byte %d changed: %d records and no error", bit%8, i, len(records))
		}
		frame := begins[0]
		for _, begin := range begins[1:] {
			if i >= begin {
				frame = begin
			}
		}
		damage, is := errors.AsType[*DamageError](err)
		if !is || damage.Offset != int64(frame) || !strings.Contains(err.Error(), fmt.Sprint("byte ", frame)) ||
			!strings.Contains(err.Error(), "move the file away") {
			t.Fatalf("byte %d changed: %v, want damage at %d", i, err, frame)
		}
		after, _ := os.ReadFile(filepath.Join(work, checkpointFile))
		if string(after) != string(changed) {
			t.Fatal("a damaged checkpoint was changed")
		}
	}
}

// A power cut may leave any sectors of the last write unwritten, though the file has its size.
func TestSectorsThatWereNeverWrittenAreATornTail(t *testing.T) {
	work, data, _ := written(t)
	begin := len(data)
	data = appendFrame(data, []mesos.Record{{Kind: mesos.RecordContact, Boot: strings.Repeat("x", 3*sectorBytes)}})
	if begin%sectorBytes == 0 || len(data)/sectorBytes != begin/sectorBytes+3 {
		t.Fatalf("the frame is at %d to %d: it should lie in four sectors", begin, len(data))
	}
	for lost := 1; lost < 1<<4; lost++ {
		cut := append([]byte(nil), data...)
		for i := begin; i < len(cut); i++ {
			if lost>>(i/sectorBytes-begin/sectorBytes)&1 == 1 {
				cut[i] = 0
			}
		}
		if err := os.WriteFile(filepath.Join(work, checkpointFile), cut, 0o600); err != nil {
			t.Fatal(err)
		}
		c, records, err := openCheckpoint(work)
		if err != nil || len(records) != 6 || c.size != int64(begin) {
			t.Fatalf("sectors %04b lost: %d records, %v", lost, len(records), err)
		}
		c.close()
	}
}

func TestALongCheckpointIsReplacedByAShortOne(t *testing.T) {
	work := t.TempDir()
	c, _, err := openCheckpoint(work)
	if err != nil {
		t.Fatal(err)
	}
	short := mesos.Checkpoint{termRecord(1 << 30)}
	asked := 0
	all := func() mesos.Checkpoint { asked++; return short }
	big := mesos.Record{Kind: mesos.RecordContact, Boot: strings.Repeat("x", 200<<10)}
	for c.size < longCheckpoint {
		if err := errors.Join(c.append([]mesos.Record{big}), c.shorten(all)); err != nil {
			t.Fatal(err)
		}
		if asked > 0 {
			break
		}
	}
	if asked != 1 || c.size > 200 {
		t.Fatalf("it has %d bytes and was asked for its records %d times", c.size, asked)
	}
	if err := c.append([]mesos.Record{termRecord(1<<30 + 1)}); err != nil {
		t.Fatal(err)
	}
	c.close()
	data, _ := os.ReadFile(filepath.Join(work, checkpointFile))
	if c, records, err := openCheckpoint(work); err != nil || len(records) != 2 {
		t.Fatalf("read back: %v, %v", records, err)
	} else {
		c.close()
	}
	data[15] ^= 1 // in the first frame, which was whole when it took its place
	if err := os.WriteFile(filepath.Join(work, checkpointFile), data, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, _, err := openCheckpoint(work); err == nil {
		t.Fatal("the damage of a whole checkpoint is taken for a torn tail")
	}
}

// What does not say less by a quarter is left, and not looked at for each write.
func TestACheckpointThatHasMuchToSayIsLeftAsItIs(t *testing.T) {
	c, _, err := openCheckpoint(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer c.close()
	var says mesos.Checkpoint
	asked := 0
	for range 40 {
		big := mesos.Record{Kind: mesos.RecordContact, Boot: strings.Repeat("x", 200<<10)}
		says = append(says, big)
		if err := errors.Join(c.append([]mesos.Record{big}), c.shorten(func() mesos.Checkpoint { asked++; return says })); err != nil {
			t.Fatal(err)
		}
	}
	if asked != 1 || c.size < 40*200<<10 {
		t.Errorf("asked %d times, %d bytes", asked, c.size)
	}
}

func TestAFailedWriteIsToldWithItsCause(t *testing.T) {
	c, _, err := openCheckpoint(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	c.file.Close()
	if err := c.append([]mesos.Record{termRecord(1)}); !errors.Is(err, os.ErrClosed) || !strings.Contains(err.Error(), c.name) {
		t.Errorf("got %v", err)
	}
	c.fail = func() error { return syscall.ENOSPC }
	if err := c.append([]mesos.Record{termRecord(1)}); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("got %v", err)
	}
}

func FuzzReadFrames(f *testing.F) {
	f.Add(appendFrame(appendFrame(nil, []mesos.Record{termRecord(1)}), nil))
	f.Add([]byte(frameMagic))
	f.Fuzz(func(t *testing.T, data []byte) {
		records, whole, err := readFrames("x", data)
		if err == nil && (whole < 0 || whole > len(data)) || err != nil && len(records) > 0 {
			t.Errorf("%d records, %d of %d bytes, %v", len(records), whole, len(data), err)
		}
	})
}
