// Package docker runs the containers of one agent through the API of a Docker engine: by names
// that are never used twice, watched by the engine's events, and by labels that say whose they are.
//
//	agent ── Create, Start ──▶ Engine ── HTTP on a socket ──▶ dockerd: container PREFIX-ID
//	      ◀─ Changed ────────         ◀─ events, lists ─────
//
// It leaves to others (actors/agent) what a container is for, and what to tell of it.
//
// # Never twice
//
// The name of a container is made of the id of one start of one task. Create answers
// ErrExists when there is one of that name: it is the same start, adopt it. No container is ever started by
// the engine itself (restart policy "no") or removed by it (AutoRemove false): how it ended
// is there until Remove.
//
// A container that is in state Created runs only if somebody calls Start, and only the process
// that has made it does. So of a container that is not there, and of one in state Created that was
// removed (which the engine refuses if it was started meanwhile), nobody will ever see anything run
// whose agent is dead.
//
// # Whose
//
// Every container has the labels synod.cluster and synod.owner: the second is a random number of
// one work directory. What lacks one of them or has others is not listed, not watched and not touched.
//
// # When the engine is away
//
// All calls answer ErrNoEngine while nobody answers on the socket, also before a daemon that is being
// restarted is ready. Of what was asked for then nothing is known: it may have been done, and may yet be. What
// has been answered is a *RefusedError. Events are followed by one connection. When that breaks it is made
// again within a second of the engine's return, and then everything counts as Changed: what happened
// meanwhile is found by looking.
package docker
