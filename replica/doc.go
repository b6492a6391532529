// Package replica is what both engines share above the log: it applies
// committed commands to a state machine exactly once, keeps the client
// sessions, and frames snapshots.
//
// A [Replica] is fed with the entries of a replicated log, in order, and does
// four things with them that no state machine should have to do by itself:
//
//   - It keeps log time, a clock that only the log moves, so that whatever
//     depends on time has the same outcome on every replica.
//   - It recognizes a command that is in the log twice, because a client
//     repeated it after a lost reply, and answers the second one with the
//     first one's result. See Exactly once.
//   - It keeps a rolling digest of all commands and results. Two replicas that
//     have applied the same log have the same digest; if they differ, one of
//     them must not go on. See [Replica.DigestAt] and [Replica.Quarantine].
//   - It writes and reads snapshots in which the sessions, the request ids, log
//     time and the digest travel with the machine's own bytes.
//
// # What it leaves to others
//
// Agreement, durability and the order of entries belong to the engine; deciding
// when a read is linearizable does too. A clock: the leader stamps each command
// by one ([LogClock], [SetTime]). Sending digests to other replicas and comparing
// them. Files: a [Snapshot] writes to any io.Writer.
//
// # How to use it
//
// Implement [StateMachine]: three methods that mention no type of this package.
// Wrap each command in an [Envelope] before it is proposed, hand the committed
// entries to [Replica.Apply], read through [Replica.View]. See the example.
//
// # Exactly once
//
// There are two ways to make a repeated command harmless.
//
// A session is registered through the log; its id is the index of the entry
// that registered it. Commands of a session are numbered from 1 and may be
// under way in any number up to [Limits.SessionWindow]. The result of each is
// kept until the client acknowledges it, and a session ends when log time has
// passed its timeout since its last command. After that every command of it is
// refused with [ErrSessionExpired]; none is ever run again.
//
// A request id is for clients without a session, such as a person with curl. It
// carries the time at which its client made it. Results are kept for
// [Limits.RequestRetention] of log time after the command ran, shorter if a bound
// in count or bytes is reached. What is forgotten leaves its time behind: an id
// of a time among those of forgotten ones is refused with [ErrRequestExpired],
// which says that the outcome is unknown. Whether an id runs depends on nothing
// else: it does not matter how far the clocks of clients and leaders are apart,
// and an id that was refused as expired is refused for ever.
//
// A client's clock that is ahead would leave times behind that right clocks reach
// later. Therefore ids ahead of log time are kept longer, and a leader refuses
// those that are more than [Limits.RequestSkew] ahead of both log time and its
// own wall clock with [ErrRequestFuture], before they are in the log.
//
// What remains: when the clocks of clients are set back by more than the
// retention, their ids lie among forgotten ones, and are refused until the time
// at which the clocks were set back is reached again; they were surely not
// executed then, if they were never sent before.
//
// A refusal is not the reply of a command: it says that this entry changed
// nothing. If the same command is in the log a second time, that one may still
// run.
//
// # Log time
//
// Log time is the highest stamp that any leader has given. It stands still while
// nothing is appended. A leader goes on from the last stamp it has seen by its
// monotonic clock, and leans towards its wall clock by at most as much again: see
// [LogClock]. So log time never runs faster than twice real time, and a session
// lives for at least half its timeout of real time after its last command, however
// wall clocks are set and leaders change. Time during which no node runs counts
// only when log time, at twice the speed, has caught up with it.
//
// # When a machine fails
//
// A machine that panics in Apply leaves a state nobody can vouch for. The
// replica catches the panic, applies nothing further and answers everything
// with an error that matches [ErrFailed]. Since machines are deterministic, the
// same command will most likely fail on every replica and again after a
// restart: the way out is a program without the bug, or a snapshot from beyond
// the command.
//
// # Source
//
// Sessions follow section 6.3 of Ongaro's dissertation "Consensus: Bridging
// Theory and Practice" (2014), and expiry by log time the same section. The
// window of outstanding commands and the acknowledgement are from "Implementing
// Linearizability at Large Scale and Low Latency" (RIFL, SOSP 2015).
//
// # Differences
//
// The dissertation removes the least recently used session when there are too
// many; here the registration of the new one is refused, because removal would
// turn a client's retry into an error that it could not foresee. Request ids
// are our own, and so is log time that does not follow a wall clock at once.
package replica
