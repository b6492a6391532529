// Package storage keeps what a node must not forget: one write-ahead log shared
// by all groups of the node, snapshot files, and the identity of the directory.
//
// # What it is
//
// [Open] locks a data directory, recovers its log and returns a [Store].
// [Store.Append] queues records and never blocks; one writer takes everything
// that arrived while the previous flush ran, writes it as one batch and calls back
// when it is durable. [Store.Replay] gives a group its records back,
// [Store.Release] says which of them a snapshot has made superfluous.
// Snapshots are written and received as streams and appear whole or not at all.
// [Inspect] reports on a directory without changing it, [Walk] shows its records.
//
// All of it stands on [FS], a small file system interface: [OS] is the real one,
// [Memory] one that knows what a power cut leaves, and fails on request.
//
// # What it leaves to others
//
// It knows nothing of Raft or Paxos, of terms or ballots: a record is a group, a
// type, an index and bytes. It repairs nothing: damage is told from a torn tail
// and reported as [*DamageError], and the node's peers are where the data comes
// from. It decides nothing about a full disk or a slow one, but says so in time:
// [Store.Full], [Store.Pending], [Store.Stats].
//
// # How to use it
//
// See the example of [Open]. The rules:
//
//   - A message that speaks of a record leaves only after its Append was answered.
//   - Every error that Append answers is final: end the node, or at least Close
//     and Open, which reads the device again. Never repeat the Append.
//   - First the snapshot is durable, then Release.
//   - Refuse proposals while Full is true or Pending is high.
//
// A simulator sets [Options.Manual]: then nothing happens but inside Flush, Mark
// and Close, on the caller's goroutine.
//
// # Source
//
// The log follows the usual shape of a segmented log with group commit. What it
// must survive is the list of hazards D1 to D14 and invariants W1 to W8 of the
// project's reliability study; each has a test that names it. README.md has the
// byte layout and argues every crash point.
//
// # Differences
//
// Segments are zero-filled and reused instead of appended and removed: overwriting
// written blocks needs no metadata and costs a third to a half of the time. A
// damaged log is never truncated, which some logs do. And a batch that follows
// another proves that other one durable, so that even the last batch of an idle
// log is protected: by an empty one, the sync mark.
package storage
