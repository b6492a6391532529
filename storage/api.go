package storage

import (
	"io"
	"log/slog"
	"time"
)

type Group uint32

type Record struct {
	Group Group
	Type  uint8
	Index uint64
	Data  []byte
}

type Identity struct {
	Cluster     string
	Node        string
	Incarnation uint64
	Format      uint32
}

type Options struct {
	FS              FS
	Node            string
	Cluster         string
	Manual          bool
	SegmentBytes    int64
	MaxBatchBytes   int
	MaxPendingBytes int64
	ReserveBytes    int64
	MinFreeBytes    int64
	MaxSegments     int
	Logger          *slog.Logger
	Progress        func(stage string, done, total int64)
	Random          func() uint64
}

type Stats struct {
	Batches, Records, Bytes         uint64
	FlushTotal, FlushMax, FlushLast time.Duration
	FlushingSince, PendingSince     time.Time
	Pending                         int64
	Segments, Prepared, Spare       int
	Oldest, Newest                  uint64
	Pinned                          bool
	PinnedBy                        Group
	Full, Direct                    bool
	FreeBytes                       int64
	Err                             error
}

type Store struct{}

func Open(dir string, o Options) (*Store, error)            { panic("") }
func (s *Store) Identity() Identity                         { panic("") }
func (s *Store) SetCluster(id string) error                 { panic("") }
func (s *Store) Replay(g Group, f func(Record) error) error { panic("") }
func (s *Store) Append(records []Record, done func(error))  { panic("") }
func (s *Store) Flush() error                               { panic("") }
func (s *Store) Mark() error                                { panic("") }
func (s *Store) Pending() int64                             { panic("") }
func (s *Store) MaxRecordBytes() int                        { panic("") }
func (s *Store) Release(g Group, index uint64)              { panic("") }
func (s *Store) Full() bool                                 { panic("") }
func (s *Store) Stats() Stats                               { panic("") }
func (s *Store) Close() error                               { panic("") }

type SnapshotMeta struct {
	Group       Group
	Index, Term uint64
	Header      []byte
	Size        int64
	Checksum    uint32
}
type SnapshotWriter struct{}

func (w *SnapshotWriter) Write(p []byte) (int, error)   { panic("") }
func (w *SnapshotWriter) Commit() (SnapshotMeta, error) { panic("") }
func (w *SnapshotWriter) Abort()                        { panic("") }

type SnapshotReceiver struct{}

func (r *SnapshotReceiver) Offset() int64                               { panic("") }
func (r *SnapshotReceiver) WriteAt(p []byte, offset int64) (int, error) { panic("") }
func (r *SnapshotReceiver) Commit() (SnapshotMeta, error)               { panic("") }
func (r *SnapshotReceiver) Suspend()                                    { panic("") }
func (r *SnapshotReceiver) Abort()                                      { panic("") }

type SnapshotReader struct{ io.ReaderAt }

func (r *SnapshotReader) Meta() SnapshotMeta         { panic("") }
func (r *SnapshotReader) Read(p []byte) (int, error) { panic("") }
func (r *SnapshotReader) Close() error               { panic("") }

func (s *Store) CreateSnapshot(meta SnapshotMeta) (*SnapshotWriter, error)    { panic("") }
func (s *Store) ReceiveSnapshot(meta SnapshotMeta) (*SnapshotReceiver, error) { panic("") }
func (s *Store) Snapshots(g Group) ([]SnapshotMeta, error)                    { panic("") }
func (s *Store) OpenSnapshot(g Group, index uint64) (*SnapshotReader, error)  { panic("") }
