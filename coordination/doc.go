// Package coordination is the replicated tree of small nodes on which elections,
// locks and configuration stand: what ZooKeeper is to Mesos.
//
// A [Tree] is a pure state machine. Each node has a path such as /config/db,
// may have data and may have children, and carries a [Stat] with its versions
// and with the log indexes at which it was created and last changed. An
// [Operation] puts or deletes a node, if its version is the one expected; a
// query reads the tree directly; and every change is an [Event] in a history
// long enough for a watcher to go on where it stopped, on any replica.
//
// # What it leaves to others
//
// The log, exactly-once application, log time and locking belong to package
// replica, whose StateMachine a Tree is by structure, without importing it.
// Waiting for events and sending them belongs to the HTTP API: [Tree.Notify]
// tells it when to look.
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
// # Source
//
// The data model is that of "ZooKeeper: Wait-free coordination for
// Internet-scale systems" (USENIX ATC 2010); the resumable history of changes is
// etcd's.
//
// # Differences
//
// From ZooKeeper: parents are created implicitly, versions start at 1 so that 0
// can mean "never written", listings come in sorted pages, a deletion may be
// recursive, events carry data and can be replayed. Each Stat field says how it
// maps to ZooKeeper's. There are no sessions, ephemeral or sequential nodes,
// access lists and multi-operations yet; Stat and the encodings have their place.
// From etcd: only the newest version of a node can be read.
//
// # How snapshots cost nothing
//
// The tree is mutable and fast to change until a snapshot is taken. That only
// counts an epoch up: nodes of earlier epochs belong to the snapshot, and a
// change clones them first, along the path from the root, once. So a snapshot
// of any size can be written while operations go on, and takes memory only for
// what changes meanwhile.
package coordination
