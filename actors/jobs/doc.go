// Package jobs runs the built-in framework (package jobs) as an actor below the leading
// master: it subscribes like any scheduler, saves its documents in the registry through the
// master, and ends with it.
//
//	people ── Handle ──▶ host (actor) ── saves, one batch at a time ──▶ Master.Operate
//	                     jobs.Jobs    ── calls, in their order ───────▶ Master.Calls
//	                                  ◀─ events ─────────────────────── Stream.Next
//
// It leaves to others what is decided (package jobs), the master (a [Master], which package
// synod makes of its own) and HTTP (the API).
//
// # Failures
//
// The mastership ends: the actor ends with it, and whoever waits for an answer is told that
// it may have happened or not. The next master's reads the documents.
//
// The actor panics: its supervisor starts another one in the same mastership. That waits
// until what the one before was saving has come out, and begins with the documents as they
// are then: those of the registry when the mastership began, and what was saved since. What
// the one before still wanted to call for is dropped, and its stream is over.
package jobs
