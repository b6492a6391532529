// Package paxos chooses one value among several processes: single-decree Paxos,
// the Synod, as three roles without a clock, a disk, a network or a goroutine.
//
// A Proposer gets a value chosen, an Acceptor votes, a Learner finds out what is
// chosen. Each is a value with a step: one input goes in, one Output comes back.
// A node may play any of the roles. Roles share nothing, also within one process:
// a proposer that looked into the acceptor beside it would be wrong as soon as
// they part.
//
// # What it leaves to others
//
// A host reads the clock, saves, carries messages and finds the nodes. One core
// serves one decree: who has many keeps cores by the decree's name, and puts it,
// with the cluster and the sender's ID, around each message. Package multipaxos has
// the replicated log. Who should propose, and whom it can reach, is decided
// elsewhere and told by Proposer.Distinguish. A sender's ID is believed: a host
// lets no node speak for another.
//
// # How to drive the roles
//
// All methods of one core are called from one goroutine. For each Output:
//
//	save out.Save or out.SaveRound, if set, and flush
//	send out.Send, when that and all earlier saves of the core are durable
//	tell whom it concerns of out.Chosen, out.Result, out.Alarms
//	set a timer for Deadline, after which Tick is called
//
// The host promises:
//
//   - An Acceptor starts from the last state that it saved, a Proposer from a round
//     that is not less than the last one that may have become durable. An ID is
//     used by one node with one disk: who has lost the disk has lost the ID.
//   - After a failed save it calls Acceptor.SaveFailed and drops what waited for
//     the save; the acceptor never votes again, nor one that reads that disk.
//   - All nodes have the same Quorums, Scheme, Learners and MaxValueBytes for a decree.
//   - Messages may be lost, repeated, delayed and reordered; they are not altered.
//
// The example drives three acceptors, a proposer and a learner by hand.
//
// # A proposal's fate
//
// A caller learns one of three things. Chosen: the value is chosen, for good.
// Surely not: another is, or the caller gave up before the value left this node.
// Unknown: it may be chosen yet. Whoever takes unknown for failed, and proposes
// the same for another decree, may have it twice.
//
// # Source
//
// Leslie Lamport, "The Part-Time Parliament", 1998, and "Paxos Made Simple", 2001:
// "section" in a comment is a section of the latter. Tags such as A3, P5, L1 are the
// rules of acceptors, proposers and learners; go test -run TestA3 runs the tests of
// that rule:
//
//	A1  state is a promise and a vote; the promise is never less
//	A2  a promise only for a ballot not less than the promised; repeated, the same answer
//	A3  a vote only in a ballot not less than the promised; it is a promise too
//	A4  answers leave after what they speak of is durable
//	A5  a failed save ends voting
//	A6  answers name the ballot and come from one identity
//	A7  a refusal tells the ballot to beat, or what is chosen, or that nobody votes here
//	A8  the reported ballot is that of the vote
//	P1  a ballot is used once     P2  rounds are reserved on disk
//	P3  one value to a ballot     P4  a quorum is of distinct acceptors
//	P5  the value of the highest vote that a quorum reports, else the own
//	P6  what comes too late changes nothing
//	P7  retransmission, and random backoff after a refusal by too many
//	P8  others leave it to the distinguished proposer
//	P9  who loses the decree still has its value    P10  chosen, surely not, unknown
//	L1  chosen is a quorum in one ballot            L2  three schemes, one way to count
//	L3  chosen without the value needs a vote in exactly that ballot
//	L4  a learner that waits asks: distinguished learners, acceptors, a proposer
//	L5  reading an undecided decree runs a round    L6  a learner goes on from its disk
//
// # Differences
//
//   - A vote raises the promise to its ballot. The paper's prose leaves it open,
//     and without it two values can be chosen.
//   - Acceptors refuse a second value under one ballot, and proposers and learners
//     do not count it. No honest node sends one; with these guards a broken one
//     stops the decree rather than breaks it.
//   - Acceptors are told what is chosen, and tell it instead of promising or voting.
//     They may forget it.
//   - Quorums of the two phases may differ, as in Flexible Paxos.
//   - An acceptor is not a member of a view that gossip changes: the quorums are
//     fixed for the decree.
package paxos
