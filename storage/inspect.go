package storage

import (
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"
)

// TailState says how a log ends.
type TailState string

// The states of a log's end.
const (
	// TailClean: after the last valid batch there is nothing of this log.
	TailClean TailState = "clean"
	// TailTorn: an unfinished batch, which was never acknowledged unless the disk
	// has damaged it within the last MarkAfter. Open cuts it.
	TailTorn TailState = "torn"
	// TailDamaged: what was durable is no longer there. Open refuses the log.
	TailDamaged TailState = "damaged"
)

// Report is what Inspect has found. It is made for people and for JSON.
type Report struct {
	Dir       string           `json:"dir"`
	Locked    bool             `json:"locked"` // in use: the picture may be of a moment in a flush
	LockedBy  string           `json:"locked_by,omitempty"`
	Identity  *Identity        `json:"identity,omitempty"`
	Lost      string           `json:"lost,omitempty"`     // why Condemn or Quarantine was called: no Open succeeds
	Problems  []string         `json:"problems,omitempty"` // whatever would keep Open from succeeding
	Segments  []SegmentReport  `json:"segments"`
	Groups    []GroupReport    `json:"groups"`
	Batches   int              `json:"batches"`
	Records   int              `json:"records"`
	Sequence  uint64           `json:"sequence"` // of the last valid batch
	Tail      TailReport       `json:"tail"`
	Snapshots []SnapshotReport `json:"snapshots"`
}

// SegmentReport describes a segment file.
type SegmentReport struct {
	File          string `json:"file"`
	Generation    uint64 `json:"generation"`
	Size          int64  `json:"size"`
	Use           string `json:"use"` // "log", "prepared", "spare" or "damaged"
	Batches       int    `json:"batches"`
	Records       int    `json:"records"`
	Bytes         int64  `json:"bytes"` // of batches
	FirstSequence uint64 `json:"first_sequence,omitempty"`
}

// GroupReport describes what the log holds of a group.
type GroupReport struct {
	Group    Group  `json:"group"`
	Records  int    `json:"records"` // with an index
	States   int    `json:"states"`  // state records, the older ones too
	Bytes    int64  `json:"bytes"`   // of their data
	First    uint64 `json:"first"`   // lowest index
	Last     uint64 `json:"last"`    // highest index
	Released uint64 `json:"released"`
}

// TailReport describes the end of the log.
type TailReport struct {
	State  TailState `json:"state"`
	File   string    `json:"file,omitempty"`
	Offset int64     `json:"offset"`
	Bytes  int       `json:"bytes,omitempty"` // of the torn batch, as far as is known
	// Marked says that a sync mark or a later batch protects every record: damage
	// to the last one would have been noticed.
	Marked bool   `json:"marked"`
	Reason string `json:"reason,omitempty"`
}

// SnapshotReport describes a snapshot file.
type SnapshotReport struct {
	File     string `json:"file"`
	Group    Group  `json:"group"`
	Index    uint64 `json:"index"`
	Term     uint64 `json:"term"`
	Size     int64  `json:"size"`
	Checksum uint32 `json:"checksum"`
	State    string `json:"state"` // "valid", "unfinished" or "damaged"
	Reason   string `json:"reason,omitempty"`
	Header   []byte `json:"-"` // SnapshotMeta's, if it is valid
}

// Inspect reads a data directory from end to end and reports what Open would
// find. It changes nothing and works on a directory in use too, though it then
// may catch the log in the middle of a flush. A damaged directory is no error:
// the error is that of the file system.
func Inspect(fsys FS, dir string) (*Report, error) {
	dir = path.Clean(dir)
	r := &Report{Dir: dir}
	if err := r.readLock(fsys); err != nil {
		return nil, err
	}
	incarnation := uint64(0)
	if i, err := readIdentity(fsys, dir); err == nil {
		r.Identity, incarnation = &i, i.Incarnation
	} else {
		r.Problems = append(r.Problems, err.Error())
	}
	if err := readLost(fsys, dir); err != nil {
		lost, _ := errors.AsType[*LostError](err)
		if lost == nil {
			return nil, err
		}
		r.Lost = lost.Reason
		r.Problems = append(r.Problems, err.Error())
	}
	if err := r.readLog(fsys, incarnation); err != nil {
		return nil, err
	}
	if err := r.readSnapshots(fsys); err != nil {
		return nil, err
	}
	return r, nil
}

func (r *Report) readLock(fsys FS) error {
	names, err := fsys.List(r.Dir)
	if err != nil {
		return fmt.Errorf("storage: inspect %s: %w", r.Dir, err)
	}
	if !slices.Contains(names, lockName) {
		return nil
	}
	name := path.Join(r.Dir, lockName)
	f, err := fsys.Lock(name)
	if err == nil {
		return f.Close()
	}
	if errors.Is(err, ErrLocked) {
		r.Locked, r.LockedBy = true, strings.TrimSpace(lockHolder(fsys, name))
		return nil
	}
	return fmt.Errorf("storage: inspect %s: %w", r.Dir, err)
}

func (r *Report) readLog(fsys FS, incarnation uint64) error {
	groups := map[Group]*GroupReport{}
	marked := false
	s := &scanner{
		fs: fsys, dir: path.Join(r.Dir, logDirName), incarnation: incarnation, progress: func(int64, int64) {},
		visit: func(_ *scanned, h batchHeader, b []byte) error {
			marked = h.Records == 0
			return eachRecord(h, b, func(record Record, flags uint8) error {
				countRecord(groups, record, flags)
				return nil
			})
		},
	}
	if err := s.run(); err != nil {
		return err
	}
	for _, g := range s.segments {
		r.Segments = append(r.Segments, segmentReport(s, g))
		r.Batches += g.batches
		r.Records += g.records
	}
	for _, g := range groups {
		r.Groups = append(r.Groups, *g)
	}
	slices.SortFunc(r.Groups, func(a, b GroupReport) int { return int(int64(a.Group) - int64(b.Group)) })
	r.Sequence = s.last.Sequence
	r.Tail = tailReport(s, marked)
	if err := s.verdict(); err != nil {
		r.Problems = append(r.Problems, err.Error())
	}
	return nil
}

func countRecord(groups map[Group]*GroupReport, record Record, flags uint8) {
	g := groups[record.Group]
	if g == nil {
		g = &GroupReport{Group: record.Group}
		groups[record.Group] = g
	}
	switch {
	case flags&recordRelease != 0:
		g.Released = max(g.Released, record.Index)
		return
	case record.Index == 0:
		g.States++
	default:
		if g.Records == 0 {
			g.First = record.Index
		}
		g.First, g.Last = min(g.First, record.Index), max(g.Last, record.Index)
		g.Records++
	}
	g.Bytes += int64(len(record.Data))
}

func segmentReport(s *scanner, g *scanned) SegmentReport {
	use := "log"
	switch {
	case s.valid && g.Generation < s.last.Oldest:
		use = "spare"
	case !g.usable:
		use = "damaged"
	case g.batches == 0:
		use = "prepared"
	}
	return SegmentReport{
		File: g.name, Generation: g.Generation, Size: g.Size, Use: use,
		Batches: g.batches, Records: g.records, Bytes: g.bytes, FirstSequence: g.first.Sequence,
	}
}

func tailReport(s *scanner, marked bool) TailReport {
	t := TailReport{State: TailClean, Marked: marked}
	if s.tail != nil {
		t.File, t.Offset = s.tail.name, s.tail.end
	}
	if s.torn {
		t.State, t.Bytes = TailTorn, s.tornSize
	}
	var damage *DamageError
	if err := s.verdict(); errors.As(err, &damage) {
		t.State, t.File, t.Offset, t.Reason = TailDamaged, damage.File, damage.Offset, damage.Reason
	}
	return t
}

func (r *Report) readSnapshots(fsys FS) error {
	dir := path.Join(r.Dir, snapDirName)
	names, err := fsys.List(dir)
	if err != nil {
		return fmt.Errorf("storage: inspect %s: %w", dir, err)
	}
	for _, name := range names {
		m, ok := parseSnapshotName(name)
		if !ok {
			continue
		}
		found := SnapshotReport{File: path.Join(dir, name), Group: m.Group, Index: m.Index, Term: m.Term, State: "unfinished"}
		if strings.HasSuffix(name, snapshotSuffix) {
			meta, err := verifySnapshot(fsys, found.File, func(int64, int64) {})
			found.State, found.Size, found.Checksum, found.Header = "valid", meta.Size, meta.Checksum, meta.Header
			if err != nil {
				found.State, found.Reason = "damaged", err.Error()
			}
		}
		r.Snapshots = append(r.Snapshots, found)
	}
	return nil
}
