// Package agent runs tasks on one machine for the leading master: the actors around
// mesos.Agent, its checkpoint on disk, and the containers under their shims.
//
//	master ◀──── link ──────▶ agent (actor) ── records ──▶ checkpoint
//	                           mesos.Agent  ── StartContainer, StopContainer ──▶ container (actor, one each)
//	                                        ◀─ ContainerEvent ─────────────────  shim, health, fetcher
//
// It leaves to others the decisions (package mesos), the process, its logs and its exit
// (internal/shim), the bytes on the wire (internal/mesoswire) and HTTP (the API).
//
// # The work directory
//
//	checkpoint                   records of mesos.Agent, in frames with a length and a CRC-32C
//	lock                         held while the agent runs
//	docker                       whose the containers in the engine are, and where it listens
//	home                         where the directory is, so that a copy of it is known
//	containers/<container>/      one start of one task, for ever
//	    task                     its TaskInfo, for what the checkpoint does not keep
//	    run/                     the shim's run directory: stdout, stderr, exit; of a container of an engine: docker,
//	                             started, exit, each durable before what it stands for, and its logs once it has ended
//	    sandbox/                 where the task starts, and what was fetched for it
//	retired/<agent>-<time>/      checkpoints of agents that a master sent away
//
// # One task
//
// A Launch comes over the link; the core says: save the record, start the container. The
// record is flushed, then the container's actor writes the task file, fetches what the task
// needs, and starts the shim. What the shim tells comes back as a ContainerEvent, becomes a
// record and, once that is flushed, a StatusUpdate.
//
// # Failures
//
// The agent is killed: its shims and tasks go on. A new one reads the checkpoint, looks at
// each container that is not done, and takes up by its shim's socket what runs. A container's
// actor that panics is restarted and takes up its task in the same way; if the agent's own does,
// it goes on from the checkpoint. What lives in a container of which the checkpoint says
// nothing is ended.
//
// The disk is full or breaks: a record that is not durable is followed by nothing. The agent
// ends with an error that says so; its tasks go on, and the next start goes on from there. A
// checkpoint that is torn at its end is cut; one that is damaged is not guessed at (DamageError).
//
// The Docker engine does not answer: its tasks stay as they were told to be until it does, and nothing is started. What was
// found not to run is barred first, so that nothing of this agent's starts it later.
//
// The sandbox is the task's: whatever is in it, no file outside of it is read or written for it.
// A task that runs as the agent's own user is not kept from anything that the agent may do.
package agent
