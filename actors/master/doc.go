// Package master runs the master of a cluster: every node that has the registry runs a
// standby, and the one whose node leads the registry's log leads.
//
//	agents ── AgentLink ──────┐                     ┌─▶ registry log: ElectMaster, then the core's commits
//	schedulers ── Subscribe ──┤                     │
//	              Call ───────┼─▶ leader (actor) ───┼─▶ AgentLink.Next
//	operators ── Operate ─────┤   mesos.Master      ├─▶ Subscription.Next
//	timer ── tick ────────────┘                     └─▶ View: a read copy
//	group ── LeadershipChanged ──▶ standby (actor), the leader's parent
//
// It leaves to others the decisions (package mesos), the log (a [Group], which package
// synod makes of its own) and the connections (the API).
//
// # One mastership
//
// The node comes to lead the registry's log, which it does by a Prepare that no leader
// before it survives. Its standby starts the leader, which reads the registry, proposes
// ElectMaster with the next term, and tells its core the registry as it is then. From now on
// it answers calls. Everything that is decided about agents and frameworks is committed
// before it is said.
//
// # Failures
//
// The node loses the leadership: the standby stops the leader and all below it at once.
// Whoever waits is told so ([NotLeadingError]) and looks for the next one. What a proposal
// under way has become is not asked: the next master reads it.
//
// The node is cut off and does not know it. Its commits do not end, and it makes sure every
// Config.ConfirmEvery that it still leads; when it could not for Config.ConfirmWithin it
// stops the leader. Config.ConfirmWithin is less than the time after which the next master marks an
// agent unreachable.
//
// The leader panics: its supervisor starts a new one, with a new term, which is what a
// failover to the same node is.
package master
