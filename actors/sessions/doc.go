// Package sessions runs the keeper of the sessions of one coordination group: one
// supervised actor a node, which knows who is alive and says in the log who is not.
//
//	connections ── Touch, Gone ──▶ inbox ─┐ one round at a time ── SignsOfLife ──▶ leader's keeper
//	leader's keeper ── SignsAnswered ────▶│        │ Touch returns
//	timer, group ── wakeUp ──────────────▶├─ turn ─┤
//	keepers ── SignsOfLife ──────────────▶│        │ on the leader: coordination.Tracker
//	jobs ── claimed, looked, expired ────▶┘        └─▶ jobs: claim, look, expire, reap
//
// It leaves to others what a session is (package coordination), whose connection it has
// (the HTTP API) and the log (a [Group], which package synod makes of its own). Of a
// session's life the log has its end and each new connection; signs of life are in memory
// alone, and what is known of them is lost with the leadership.
//
// # One session's life
//
// A client proposes OpenSession; the index of that operation is the session's id. It makes
// one connection to any node, whose API checks its key and calls [Handle.Touch] for each
// sign of life. The keeper of that node sends what came during the
// last round to the keeper of the leader. This one notes the time in its Tracker, reads the
// tree as it is after that moment, and if the last claim there is its own it answers; only
// then does the client hear that its sign was confirmed. If the tree does not know the
// connection yet it first proposes AttachSessions, for all new ones of a round at once. When the Tracker says that the
// session was silent for its Timeout, the leader's keeper proposes ExpireSessions, at most
// Config.ExpireSessions sessions at once and one operation at a time, so that other writes
// find their way between. From that moment a sign of life is answered with Over.
//
// A client whose connection was closed by its own side has its Linger instead ([Handle.Gone]).
// If it lives it comes back at once, at any node, with a higher number of connection. What
// comes late from the older one then counts for nothing (Moved). This holds across leaders:
// the tree has the highest number that was ever confirmed.
//
// # Why a client never believes for longer than the tree holds
//
// Let a client count its Timeout from when it sent the last sign that was confirmed. It was
// sent before the leader's keeper with epoch E noted it, and before the read that confirmed
// it began. That read sees every claim that was applied anywhere before it began, and the
// last one it saw was E. Who could have the session expired?
//
//   - The same keeper, under E: not before its Tracker has counted the whole Timeout from
//     when the sign was noted, if Touch said Alive. The end of an older connection does not
//     change that: it has a lower number, which the tree knows before the client hears.
//   - A keeper with a lower epoch: its operations are refused behind E in the log, and a
//     session that ended before E was not in the tree that the Tracker was filled from.
//   - A keeper with a higher epoch: its claim is applied after that read began, and after
//     the sign's connection was attached, since an attachment with the epoch E is refused
//     behind it. It counts the whole Timeout for every session from when it has seen its
//     claim applied, and passes over the ends of connections before the one attached.
//
// So the session stays until Timeout after the sign was sent, by the clocks of the nodes,
// which run nearly as fast as the client's. Terms and who believes to lead have no part in
// this, only the order of claims in the log; a lease has as far as the read rests on one.
// What it does not cover is who ends a session on purpose, its client or an operator, and a
// Linger shorter than the Timeout: a client whose connection somebody else has closed towards
// its node, or which cannot come back in time, believes for longer.
//
// # Three failures
//
// The leader is killed. The others' views change, each keeper sends the round that was under
// way to the new leader, whose keeper has proposed its claim; rounds that come earlier wait
// for that. Every session has its full Timeout from there (storm control): clients that live
// are not even told, and those that died unseen stay for at most one Timeout longer. Whose
// connection is seen closed by a node has its Linger from then on, but not who was seen by the
// old leader alone.
//
// The leader is paused for 30 s and wakes up. A new one has claimed meanwhile and has perhaps
// ended sessions and opened others. The old keeper's Tracker sees that time has passed
// without it and expires nobody for that; if it did, ExpireSessions with the old epoch would
// be refused. Rounds that waited in it are answered only after a read, which finds no leader,
// or shows the new epoch: so no stale sign is confirmed. Nor is one that had passed the read
// before the pause and leaves after it wrong, since the client counts from when it sent the
// sign, whenever the answer comes.
//
// The client is paused. Its connection stays open and silent, so its session has its whole
// Timeout, and not Linger. If it wakes up in time its next sign is as good as any; if not, it
// is Over, and the client's own clock has said so before.
//
// # Source
//
// Leases as in "Leases: An Efficient Fault-Tolerant Mechanism for Distributed File Cache
// Consistency" (SOSP 1989), with the client's side counting from before it asks; touches of
// sessions through the leader as in ZooKeeper, whose leader however answers from memory.
//
// # Differences
//
// ZooKeeper's leader confirms a session at once, though it may have been deposed; its servers
// rely on timeouts between them. Here a confirmation costs a read of the group, one for all
// signs that came since the last, which takes no round as long as the leader holds a lease.
package sessions
