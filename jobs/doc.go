// Package jobs is the built-in framework as pure steps: services that are kept running, jobs
// that run once, and those that run by a timetable, on what the cluster offers.
//
//	people ── Put, Scale, Stop, Remove ──▶ Jobs ── Calls ──▶ master
//	master ── mesos.Event ───────────────▶      ── Save ───▶ registry documents
//	registry ── Loaded, Saved ───────────▶      ── Answers ─▶ people
//
// It leaves to others the clock, the log and the master: actors/jobs runs it beside the
// leading master, as a framework like any other. What it must not forget is in documents of the
// registry: each job as it is wanted, and each instance with the task that runs, or may run,
// for it.
//
// # One instance
//
// A service wants 3 instances and has none. For instance 0 an offer fits: the document of the
// instance, with the id of a task that never was, is saved first, and only then the offer is
// accepted with that task. What the task becomes is saved before its update is
// acknowledged.
//
// # Failures
//
// The master dies after the document was saved: the next one's Jobs reads it and asks for the
// task (reconciliation). As long as it may run somewhere nothing is started in its place.
// When it is known never to have started, or to have ended, the instance gets a new task.
//
// The agent cannot be reached: the task may run on. With OnUnreachable Keep the instance
// waits for it. With ReplaceAfter it is replaced that long after; the task was launched with a
// StopAfter that is shorter, so that the agent has ended it by then.
package jobs
