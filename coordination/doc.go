// Package coordination is the replicated tree of small nodes on which elections,
// locks and configuration stand: what ZooKeeper is to Mesos.
//
// A [Tree] is a pure state machine. Each node has a path such as /config/db,
// may have data and may have children, and carries a [Stat] with its versions
// and with the log indexes at which it was created and last changed. An
// [Operation] creates, writes or deletes a node, if its version is the one expected,
// or does several of these, all or none; a query reads the tree directly; and every
// change is an [Event] in a history long enough for a watcher to go on where it
// stopped, on any replica.
//
// # What it leaves to others
//
// The log, exactly-once application, log time and locking belong to package
// replica, whose StateMachine a Tree is by structure, without importing it.
// Waiting for events and sending them belongs to the HTTP API: [Tree.Notify]
// tells it when to look. Whether a client still lives, only clocks can say: a
// [Tracker] counts on the leader, outside of the log, and [Watchers] find who wants
// an event. That a principal is who it says, the proposer has checked.
//
// # How to use it
//
// Encode an operation with [Operation.Append] and propose it; decode what the
// group answers with [DecodeResult]. Read with [Tree.Get], [Tree.Exists] and
// [Tree.List] where nothing is applied meanwhile, such as inside replica.View.
// To watch, read the tree and note the index of that moment, then call
// [Tree.EventsSince] with it, and afterwards with the Next of each page.
//
// # Parents
//
// A Put creates the parents that its path lacks, so that a newcomer needs no
// directories. Such a node has Version 0 until somebody puts data there, and it
// is deleted again together with its last child. A node that was ever put stays
// until it is deleted.
//
// # Sessions
//
// A session is opened by an operation, whose index is its id, and ends by one: its
// client closes it, or the leader expires it. Its ephemeral nodes go with it, at that
// one index. Each operation of a client may carry its session and a [SessionKey], and
// is refused when the session is over or the key another's; so what a client does
// after it was given up has no effect. A leader first claims the sessions; the index
// of the claim is its epoch, and an expiry of any other epoch is refused, so that a
// leader of the past, whose clocks say nothing any more, expires nobody. An expiry
// takes on only as many sessions as are done in a few milliseconds.
//
// # Locks
//
// The ephemeral sequential node with the lowest number holds a lock. That excludes
// no process outside of the tree: a holder that stood still may be late. Its fencing
// token does, if whoever it writes to compares tokens: the node's CreateIndex, which
// is an index of the log and so grows from holder to holder. Writes to the tree itself
// are fenced by a [Multi] with a [Check] of the token. The number in the name is no
// token, since it begins anew when the parent has vanished and come again.
//
// # Source
//
// The data model is that of "ZooKeeper: Wait-free coordination for
// Internet-scale systems" (USENIX ATC 2010); the resumable history of changes is
// etcd's.
//
// # Differences
//
// From ZooKeeper: a Put creates parents implicitly (a [Create] need not), versions
// start at 1 so that 0 can mean "never written", listings come in sorted pages, a
// deletion may be recursive, events carry data and can be replayed, watches are not
// part of the tree. A transaction id is a log index: it is not packed with an epoch
// and does not overflow. A container goes together with its last child, not with a
// later sweep. Sequential names end with an error instead of wrapping around. A
// deletion may name the CreateIndex of the node it means. Quotas are no nodes. Access
// lists and what they are asked for are ZooKeeper's; an open one is nil. Each Stat
// field says how it maps to ZooKeeper's.
// From etcd: only the newest version of a node can be read.
//
// # How snapshots cost nothing
//
// The tree is mutable and fast to change until a snapshot is taken. That only
// counts an epoch up: nodes of earlier epochs belong to the snapshot, and a
// change clones them first, along the path from the root, once. So a snapshot
// of any size can be written while operations go on, and takes memory only for
// what changes meanwhile. Sessions are kept in chunks that are cloned alike; what
// follows from the nodes (who owns which, what is to be reaped, how full a quota is)
// is in no snapshot.
//
// A Multi does not use that to be taken back, since then each would make all later
// changes clone again: it notes down the opposite of each step.
package coordination
