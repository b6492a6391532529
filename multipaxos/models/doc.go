// Package models holds models of the rules of the Multi-Paxos log, as tests: every
// state that a small model can reach is visited and checked, and each rule is
// taken away once to see that the check notices.
//
// # What it is
//
// Four models over package internal/explore, each in a file of its own, written
// before the rules were coded and kept to say what the code must not forget:
//
//	file           bounds                                    states   holds
//	log_test       2 slots, 3 replicas, 2 ballots             1.88 M   one value a slot, learned = chosen
//	epoch_test     2 slots, 4 replicas, 2 + 2 ballots         3.61 M   the same across a SEAL, rule 6
//	               the same, 3 + 1 ballots                    4.33 M   what is chosen behind a SEAL is void
//	               the same, 2 + 1 ballots, a lost disk       1.95 M
//	ghost_test     2 slots, 3 acceptors, 3 ballots            1.05 M   no ghost has an effect
//	lease_test     2 ballots, drifting clocks, restarts       1.41 M   no stale read by lease
//	               3 ballots, a transfer that fails           0.18 M   (0.41 M the other way, see below)
//
// A run of everything takes half a minute on two cores, and with -large, which
// goes up to 35 million states, four minutes and 3 GB; it prints the states, the
// transitions and the time of each. With -traces it prints
// the shortest way to every mistake and to every state that must be reachable.
// Section numbers and rules are those of the Paxos study: M1 to M15 of section
// 4.10, the epochs' rules 1 to 8 of section 4.7, the invariants of section 8.
//
// # What it leaves to others
//
// The cores themselves: the simulator runs them, and single decrees are checked
// exhaustively in package paxos. Chunks of a Promise, windows, trimming, reads by
// quorum, polls, more than one SEAL. M7 to M14 are no questions of a model.
//
// # Where the rules are in the core
//
//	model                       package multipaxos
//	logModel.promise            report: votes of this epoch and chosen entries (M1)
//	logModel.takeOver           becomeLeader, takeOffice: next is behind the chosen prefix (M2),
//	                            holes are no-ops (M4), the highest vote wins (P5)
//	logModel.mayAnnounce        Chosen and Start of Accept and Heartbeat
//	logModel.onChosen           isChosen: our vote has exactly that ballot (M3)
//	logModel.pull               Learn, Learned
//	epochModel.takesPart        refuses: exactly the epoch of the chosen prefix, and a voter there
//	epochModel.reports          report, dropVotes
//	epochModel.takeOver         becomeLeader: nothing behind a SEAL
//	epochModel.learn            choose, openEpoch: only what follows the prefix, in its epoch
//	epochModel.restart          a save holds the chosen prefix before the promise
//	epochModel.lose             a new disk is a new ID, which a SEAL brings in
//	ghostModel.apply            void, suppressGhosts
//	ghostModel.restore          SnapshotMeta.Term is the LEAD in force
//	leaseModel.promise          mayPromise
//	leaseModel.heartbeat        onHeartbeat, hear, onHeartbeatReply
//	leaseModel.giveUp           noLease and seal of leadership
//
// # What the models have found
//
// The first two are in no text that the design was made from.
//
// A leader's Chosen must not speak of a slot that the leader knows to be chosen
// from anybody else. A leader that does not know that it is deposed learns, by a
// pull or a snapshot, what a higher ballot has chosen in a slot where it has
// proposed something else itself, or is yet to do so. If its Chosen(b, up to w)
// covers the slot, a replica that voted for its proposal takes the wrong value:
//
//	1 proposes a command in slot 0, and only replica 2 votes for it
//	2 leads by the Promises of 0 and 1, and has its own command chosen there
//	replica 0, the leader of 1, pulls slot 0
//	replica 0 sends Chosen(1, up to 1); replica 2 takes it of its own vote
//
// So a leader learns from nobody while it leads, or does not say it: neither
// entries nor a snapshot that was under way when it was elected.
//
// An acceptor must not forget, by a restart, whose Heartbeat it has answered.
// Prepare{Over: 1} passes over the promise to the last leader heard if that is 1.
// If a Heartbeat of 2 is answered while 1 is promised, and the acceptor restarts,
// a late Heartbeat of 1 is answered again, and then Over passes:
//
//	leader 1 sends Campaign; replica 1 prepares 2, by the Promises of 0 and 1
//	acceptor 0 and acceptor 2 answer the Heartbeat of 2: it has its lease
//	replica 2 restarts; a Heartbeat of 1 reaches it
//	replica 0 prepares 3 with Over: 1, by the Promises of 1 and 2
//	2 reads by its lease, and 3 acknowledges writes
//
// Either the Heartbeat raises the promise, durably before it is answered, or Over
// passes nothing for one lease after a start. Both hold.
//
// Nothing can be chosen behind a SEAL in its epoch before the second leader change
// of that epoch: a vote for the SEAL, a leader that does not find it, one that
// does. A simulation with one leader change an epoch tests nothing of rule 4.
//
// Who has sent a Campaign may itself prepare with Over, as its target does. An
// Accept of an elected leader need not wait for what an acceptor has promised to
// another for a time.
//
// # Differences
//
// In the model of epochs a replica learns a slot whenever a quorum has voted for
// it; in that of the log by messages. Leaders are adversarial: they go on after
// their replica has learned that they are deposed, but for what their own acceptor
// refuses. Answers to a leader come at once where waiting only takes from it.
package models
