// Package sim runs whole groups of replicas in one goroutine, under every fault
// we can think of, and checks the promises of Raft or of Paxos, of the log and of the
// client sessions after every step.
//
// # What it is
//
// A World has machines with clocks, disks and processes, a network, clients and
// an operator. The machines run the real code: package raft or package multipaxos as
// the core, package storage on its memory file system as the log, package replica above it. Only
// the driver in node.go, disk.go and apply.go stands in for the actor, with the
// same contract: drain the mailbox, Tick, the inputs, Output once; save, send,
// apply in that order. A run has two phases. In the safety phase anything may
// fail and nothing wrong may happen. Then a core of machines is healed, and the
// group has to come back to work within a bound.
//
// An ActorWorld has the same machines, network and clients, and runs the real
// actors in the place of the driver: see Actors.
//
// Everything follows from the seed. A decision is a hash of the seed, the kind
// of decision, the machine, link or client, and how many such decisions there
// were: so leaving one fault out does not change how the others are drawn.
//
// # What it leaves to others
//
// Real disks, real networks and real processes: see the chaos tests. The link
// between nodes, and everything above a group.
//
// # Engines
//
// Plan.Engine names the core; what differs between the two stands behind the
// interface engine. A seed decides nothing about it, and draws the same weather for
// both. With the class Roles the members of a Paxos group play some of the roles
// only: acceptors without a state machine, proposers that are no acceptors. A plan
// with a Script has clients whose answers depend on no order of events: both engines
// must give the same.
//
// # Actors
//
// RunActors spawns the actors of package group under protoactor, one actor system a
// process: the group's own with its mailbox and supervisor, the applier and the
// snapshotter. An actors.SeededDispatcher picks whose turn it is, one batch or
// one message at a time, and the world decides when; timers, clocks and the waits
// of the supervisor are the world's, the log is storage in Manual mode, and what
// an actor sends goes through the wire's encoding. So nothing of protoactor runs
// on a goroutine of its own, and a seed gives one order of everything.
//
// To the faults of a World, but for lost disks, flipped bits and clocks that jump,
// come panics: in a task between two effects, in any call that an actor makes to
// the outside, and in the state machine. The actor must rebuild itself from the
// log, as a process that was killed. Turns may be late, and timers early.
//
// Plan.Engine names the protocol here too: actorraft.go runs package raftnode,
// actorpaxos.go package paxosnode, whose members all play all roles. The oracle does
// not look into the actors. It takes them at their word: R1 and R6 are checked on the
// messages that leave, R10 where a replica starts without what it has said is durable;
// in a Paxos group P1 to P3 on Prepares and Accepts, P5 on promises that leave out a
// vote that was told and where a replica starts without one, P6 where two replicas say
// that different values are chosen. R12 and S1 to S5 are as in a World, R14 comes after
// the heal, and before it wherever an actor sleeps past the deadline of its core. A panic or the
// end of a process that the world has not caused is a broken rule, and so is an
// alarm (D10) without a reason.
//
// # A tree with sessions
//
// Plan.Tree (-tree) makes the state machine a coordination.Tree. Its clients hold sessions in it and
// show over connections of their own that they live; they die, stand still and are cut off, and go to
// other nodes. They queue for locks, act under them on something that looks at tokens, watch, and
// change nodes, alone and in transactions. Each process has the real keeper of actors/sessions; the
// world decides when it has its turn, what its timers and its clock say and how long what it does
// beside itself takes. A client stands for what a careful one does: it counts on its session for a
// timeout from when the last confirmed sign of life was sent, or a linger from when its connection
// was closed, by the fastest clock that a leader may have; sometimes it acts late, without a look at
// its clock. What package api makes of connections is not simulated.
//
// The oracle carries every command out on a tree of its own, and follows the events on a mirror that
// knows no tree: paths, versions, owners, how many children there ever were.
//
// # Rules
//
// A broken rule is named as in the reliability study, section 4.4:
//
//	R1   two leaders in one term              R9   commit without a quorum, or by counting an old term
//	R2   a leader overwrites its log          R10  a message leaves before what it says is durable
//	R3   equal index and term, other prefix   R11  quorums that do not intersect, two changes at a time
//	R4   a leader without a committed entry   R12  a read or a write older than what had returned
//	R5   two commands applied at one index    R13  a promise to a leader broken, an election without pre-votes
//	R6   two votes in one term                R14  no recovery after the heal
//	R7   term or commit index goes back       S1–S5  a command twice, another reply, after expiry, digests differ
//	R8   snapshot ≤ applied ≤ commit ≤ last   W1–W7  the log lost something, or found something
//	D10  a snapshot cannot be written         D14  or read
//
// The Paxos log has rules of its own in the place of R1 to R13, checked by an oracle
// that counts durable votes and so knows what is chosen before any replica does:
//
//	P1   two values chosen in a slot; a ballot used by two processes
//	P2   two values with one ballot in one slot
//	P3   a ballot that no quorum promised; another value than a lower ballot chose
//	P4   a promise taken back, a vote below it
//	P5   a message leaves before what it says is durable, or leaves a vote out
//	P6   an entry taken, or reported, for chosen that is not
//	P7   another entry applied than the chosen one, or out of order
//	P8   trimmed ≤ snapshot ≤ applied ≤ told ≤ chosen
//	P9   a promise of no acceptor, a ballot of an epoch that no SEAL has opened
//	P10  a SEAL that opens another epoch than the next
//	P11  two leases at one moment
//	P13  a ghost has effect
//	loss a replica believes that its disk has lost votes, which it has not
//
// A tree has these beside R12, R14 and S1 to S5, and in R5 that a replay of the log gives every answer:
//
//	C1   two clients count on one lock; a token not higher than all before; a holder is refused
//	C2   a session ends, or is said to, that its client counts on; one that is over acts
//	C3   an ephemeral node without its session, a container without children, a node reaped too soon
//	C4   who did not claim last ends sessions
//	C5   a session whose id is not its index
//	C6   an event that cannot be, or is missed, told twice or out of order; another tree than the events tell of
//	C7   what is refused has an event; a transaction is done whose token is no more
//
// That no session stays that nobody shows, and that every client has its signs of life confirmed, is part of R14.
//
// Reads and writes are checked by their witness: the index at which they took
// effect. Against the witness, linearizability is a comparison. R12 therefore
// trusts that a replica reports the true index, and the model checks the value.
//
// # Replay a seed
//
// A failed campaign prints the command. It is of this form:
//
//	go test ./internal/sim -run TestReplay -v -seed=49 -steps=21547 -off=loss,crash -omit=pause:7,pause:8
//
// off names classes of faults to leave out (see Fault), omit single faults by
// class and number. The transcript shows the last events: the number of the
// step, the time of the world in seconds, and what happens; at its end stands
// the state of every machine. "deliver 2 → 3" is a message of replica 2 arriving
// at replica 3; "lost" one that never will. A machine that lost its disk comes
// back as another replica: machine 3 is first replica 4, then 14, then 24.
// Shrink makes the command shorter than what failed first.
//
// A campaign over many seeds, one line of JSON as its result:
//
//	go test ./internal/sim -run TestCampaign -v -seeds=2000 -steps=40000 -timeout=60m
//	go test ./internal/sim -run TestPaxosCampaign -v -seeds=2000 -steps=40000 -timeout=60m
//	go test ./internal/sim -run TestActorPaxosCampaign -v -seeds=400 -steps=10000 -timeout=60m
//	go test ./internal/sim -run TestTreeCampaign -v -seeds=250 -steps=20000 -timeout=60m
//	go test ./internal/sim -run TestPaxosTreeCampaign -v -seeds=250 -steps=20000 -timeout=60m
//
// To keep a run for ever, put its arguments into a file of testdata, with a
// comment that tells the story; TestRegressions replays it. For actors the tests
// are TestActorReplay, TestActorCampaign and TestActorRegressions, the files lie
// in testdata/actors.
//
// # Add a fault
//
// Give it a class in plan.go (and its name in faultNames). If it comes one by
// one, add it to scheduled and write what it does in World.strike (for actors to
// actorFaults and in ActorWorld.strike); if it changes
// how something behaves all the time, ask World.has where that happens and take
// the decision from a stream of its own. Draw its strength in drawWeather, from
// a new number at the end, so that old seeds keep their weather. Count what it
// leads to in sometimes.go: a campaign fails if that is never seen.
//
// # Add a mutant
//
// Add a line to the list in mutants_list_test.go: a name, a file, a piece of it that
// stands there once, and what to put in its place. Then
//
//	go test ./internal/sim -run TestMutants -v -mutants='part of the name'
//
// builds the simulator with the bug (go test -overlay, so that no source has
// hooks) and wants a broken rule within a minute of processor time. -mutants=all hunts
// them all. A bug in a file of actors is hunted in an ActorWorld, one whose name begins
// with paxos in a Paxos group, with tree in a tree with sessions. What no seed shows soon gets a line in shownBy: a
// package and one of its tests, which must go red with the bug.
//
// # The bugs of the log
//
// Each of the fifteen that are known from systems that shipped is planted, and found:
//
//	M1   a promise leaves out what is applied, or trimmed   seeds; multipaxos, TestWhatIsTrimmedIsLearnedBeforeLeading
//	M2   the next slot only from the votes reported         seeds
//	M3   chosen without a look at the ballot of the vote    seeds
//	M4   holes are skipped                                  seeds
//	M5   chosen although an earlier slot is open            multipaxos, TestApplyIsInOrder
//	M6   a lease from the answer; forgotten by a restart    seeds; multipaxos/models
//	M7   a lease beside another leadership                  multipaxos, TestTheLeaseEndsBeforeCampaign
//	M8   trimmed without a snapshot                         seeds
//	M9   no snapshot for who is behind                      seeds
//	M10  a promise expires                                  seeds
//	M11  votes of two epochs mixed                          seeds; multipaxos/models
//	M12  who is silent is removed                           multipaxos, TestSilenceRemovesNobody
//	M13  silence in the place of a refusal                  multipaxos, TestEveryRefusalHasAReason
//	M14  an unknown outcome called a failure                actors/group, TestAProposalThatASnapshotPassedIsUnknown
//	M15  a ghost has effect                                 seeds; multipaxos/models
//
// # Source
//
// The two phases, swarm testing and the fault atlas follow TigerBeetle's VOPR
// and FoundationDB's simulator; the invariants are those of Ongaro's
// dissertation, of raft.tla and of RIFL.
//
// # Differences
//
// A World persists and drives by its own short code and not by that of
// actors/group, which is five times slower. Bits are flipped only on a disk that
// was closed in good order: damage to the very last batch of a torn log cannot be
// told from a torn tail by anyone.
package sim
