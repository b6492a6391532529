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
// with its own ([SetTime]). Sending digests to other replicas and comparing
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
// carries the time at which it was made. Results are kept for
// [Limits.RequestRetention] of log time, fewer if a bound in count or bytes is
// reached. An id from before what is still kept is refused with
// [ErrRequestExpired], which says that the outcome is unknown, and one too far
// in the future with [ErrRequestFuture]: its result could not be kept long
// enough.
//
// A refusal is not the reply of a command: it says that this entry changed
// nothing. If the same command is in the log a second time, that one may still
// run.
//
// # Log time
//
// Log time is the highest stamp that any leader has given. It stands still while
// nothing is appended, and after a long silence it jumps: sessions that could
// not be kept alive meanwhile have expired by then. A leader whose clock is far
// ahead moves log time for good: sessions expire at once, and until the clocks
// catch up, request ids made by right clocks count as old. Nothing runs twice
// because of it.
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
// are our own.
package replica
