package coordination

import "fmt"

// Config is how a [Tree] is set up. The zero Config takes all defaults.
type Config struct {
	// Limits must be the same on all replicas of a group.
	Limits Limits
}

// Limits bound what a tree holds. Since they decide about results, they are
// part of the replicated state: a snapshot brings those it was made under, and
// those of Config count only for a tree that starts empty. Trees that start
// with different Limits have different digests.
type Limits struct {
	// Nodes is how many nodes there may be, with the root. Default 1,048,576.
	Nodes int
	// TreeBytes is how many bytes all nodes together may take; each counts its
	// data, its path, its access list and 256 more. Default 1 GiB.
	TreeBytes int64
	// DataBytes is how much data one node may have. Default 1 MiB.
	DataBytes int
	// DeleteNodes is how many nodes one operation may remove: the recursive deletions
	// of a Multi together, a Reap, an ExpireSessions unless a session has more. Parents
	// that vanish with their last child are not counted. It is also how many nodes a
	// SetQuota counts at once. Default 10,000.
	DeleteNodes int
	// HistoryEvents is how many events are kept for watchers to resume from.
	// Default 131,072.
	HistoryEvents int
	// HistoryBytes is how many bytes these events may take; each counts its
	// data, its path and 128 more. Default 64 MiB.
	HistoryBytes int64
	// Sessions is how many may be open. Default 100,000.
	Sessions int
	// SessionEphemerals is how many nodes one session may own. Default 10,000.
	SessionEphemerals int
	// MultiOperations is how many operations one Multi may have. Default 1,024, at
	// most MaxOperations.
	MultiOperations int
}

func (c Config) withDefaults() Config {
	l := &c.Limits
	setDefault(&l.Nodes, 1<<20)
	setDefault(&l.TreeBytes, 1<<30)
	setDefault(&l.DataBytes, 1<<20)
	setDefault(&l.DeleteNodes, 10_000)
	setDefault(&l.HistoryEvents, 1<<17)
	setDefault(&l.HistoryBytes, 64<<20)
	setDefault(&l.Sessions, 100_000)
	setDefault(&l.SessionEphemerals, 10_000)
	setDefault(&l.MultiOperations, 1024)
	return c
}

func setDefault[T int | int64](field *T, value T) {
	if *field == 0 {
		*field = value
	}
}

const limitCount = 9

var limitNames = [limitCount]string{"Nodes", "TreeBytes", "DataBytes", "DeleteNodes", "HistoryEvents", "HistoryBytes",
	"Sessions", "SessionEphemerals", "MultiOperations"}

// maxDataBytes is the most that Limits.DataBytes may be.
const maxDataBytes = 1 << 30

var limitMax = [limitCount]int64{1 << 40, 1 << 50, maxDataBytes, 1 << 40, 1 << 40, 1 << 50,
	1 << 24, 1 << 20, MaxOperations}

// values are the limits in the order of limitNames.
func (l Limits) values() [limitCount]int64 {
	return [limitCount]int64{int64(l.Nodes), l.TreeBytes, int64(l.DataBytes), int64(l.DeleteNodes),
		int64(l.HistoryEvents), l.HistoryBytes, int64(l.Sessions), int64(l.SessionEphemerals), int64(l.MultiOperations)}
}

func limitsOf(v [limitCount]int64) Limits {
	return Limits{Nodes: int(v[0]), TreeBytes: v[1], DataBytes: int(v[2]), DeleteNodes: int(v[3]),
		HistoryEvents: int(v[4]), HistoryBytes: v[5],
		Sessions: int(v[6]), SessionEphemerals: int(v[7]), MultiOperations: int(v[8])}
}

func (l Limits) check() error {
	for i, v := range l.values() {
		if v < 1 || v > limitMax[i] {
			return fmt.Errorf("coordination: Limits.%s is %d, must be 1 to %d", limitNames[i], v, limitMax[i])
		}
	}
	return nil
}
