// Package chaos judges Synod as its users meet it: real processes, real disks,
// real sockets, and clients that write down everything they saw.
//
// A run starts a [Cluster] of 3 or 5 processes, lets a [Workload] of clients
// speak HTTP to it, carries out a [Plan] of faults drawn from a seed (kill -9,
// SIGSTOP, cuts between network namespaces, power cuts, I/O errors), and then
// judges the [Recorder]'s history:
//
//   - [Witness] replays every operation in the order of the log indexes that the
//     answers carry: outputs equal the replay, no index serves two commands, real
//     time is respected, every acknowledged write is in the final state, no write
//     took effect twice.
//   - [Linearizable] gives slices of the history, without their indexes, to
//     porcupine. It trusts nothing that the cluster says about itself; an answer
//     of Unknown is a failure.
//   - The nodes must end with the same digest and the same tree.
//   - A run that did too little, or in which a planned fault did not fire, is
//     void: it is no evidence for anything (see [Run.Validity]).
//
// Each run is one line of the ledger ([Ledger]), from which the tables of the
// documentation are made.
//
// What it leaves to others: schedules inside one process, torn sectors and
// reordered writes are for internal/sim and storage's faulty file system.
// A file system's shutdown ioctl loses what the kernel had not written; it does
// not make a disk lie about its own cache.
//
// # Use
//
//	go test ./internal/chaos                     # the checkers' own tests
//	go test ./internal/chaos -run TestKill -chaos -cycles=150 -v
//	go test ./internal/chaos -run TestKill -chaos -cycles=150 -v -engine=paxos -roles
//	make chaos MINUTES=30                        # a campaign, appended to the ledger
//
// Power cuts need root and loop devices, cuts need root and network namespaces,
// I/O errors need strace; a test that lacks what it needs says so and skips.
// Mounts and network namespaces belong to one thread of the test process, so that
// the kernel takes them away however that process ends.
//
// # Source
//
// The shape follows etcd's robustness tests (recorded clients, one fault at a
// time, runs void below a floor of traffic, persisted state used to place unknown
// operations) and Jepsen's set and register workloads. The index witness is
// ours: a replicated log gives the total order away, so that a check which is
// NP-complete in general takes O(n log n) here.
package chaos
