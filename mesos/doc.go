// Package mesos is the cluster manager after Apache Mesos as pure steps: what resources
// are and who is offered them, what becomes of a task, what a master and an agent do when
// something happens.
//
//	scheduler ── Call ──▶ Master ── Launch, Kill, Acknowledge ──▶ Agent ── Start, Stop ──▶ container
//	scheduler ◀─ Event ── Master ◀─ Register, StatusUpdate ────── Agent ◀─ Observed ────── container
//	                        │  ▲                                    │
//	               RegistryOperation, Committed                   Record
//	                        ▼  │                                    ▼
//	                     registry log                           checkpoint
//
// It leaves to others the clock, the disk, the network and the processes: a step gets what
// has happened and the time, and returns an Output, whose fields are carried out in their
// order. The actors are in actors/master and actors/agent.
//
// # Who owns what
//
// The registry, a replicated log, has which agents are admitted, unreachable or gone, the
// frameworks with their failover timeouts, quotas and weights; no tasks. An agent owns its
// tasks: it checkpoints each before anything is done about it, and brings them along when
// it registers again. A scheduler owns what should run. So a master has nothing of its own
// but what it can be told again, and a new one starts with the registry and an empty table.
//
// # One task's life
//
// The master offers what an agent has left to a framework. The scheduler accepts with a
// task; the master mints a ContainerID, which is used for one start and never again, notes
// the task as STAGING and sends Launch. The agent refuses a master of an earlier Term and
// says again what it knows of a container it has seen. Otherwise it checkpoints the task,
// and only then Starts the container: the shim that does it holds a lock named by the
// container, and writes that it has started before it does. From then on the agent tells what it sees by
// status updates, each checkpointed before it is sent, one of a task at a time, sent again
// until the scheduler has acknowledged it. When the terminal one is acknowledged the agent
// forgets the task.
//
// # Failures
//
// The agent is killed. It reads its checkpoint and looks at each container that is not done:
// [Decide] says from what it finds whether the task never started (DROPPED: somebody else
// may start it), runs on, or has ended and how. Nothing is started by a recovery, so nothing
// can run twice.
//
// The master is killed. The next one knows from the registry which agents there should be.
// Each registers again and brings its tasks and their frameworks. A launch that was on its
// way may arrive or not: if the agent does not bring the task, nobody knows of it any more
// but the scheduler, whose reconciliation is answered only when the agent is back.
//
// The agent is cut off. The master marks it unreachable, in the registry first, and tells
// the schedulers that its tasks are UNREACHABLE, which is not an end. They run on; when the agent is back
// its tasks are taken up again. Who replaces a task that must not run twice waits for longer
// than the agent lets it run without a master.
//
// A master that another one has replaced does not know it until its next operation of the
// registry is refused. Until then an agent that it reaches takes it for the leader, and tasks
// with a StopAfter run on. The next master marks such an agent RegisterTimeout after its
// own election. So the host drops a master within that time of the last moment at which it
// was sure to lead the registry log, whether or not the master has something to commit.
//
// # Source
//
// "Mesos: A Platform for Fine-Grained Resource Sharing in the Data Center" (NSDI 2011),
// "Dominant Resource Fairness" (NSDI 2011), and the v1 API of Apache Mesos, whose names and
// numbers of states, reasons and fields are kept.
//
// # Differences
//
// Frameworks and their failover timeouts are in the registry. Every framework's tasks are
// checkpointed. A master mints a container for each launch and has a Term, which fences the
// one before it at the agents. An agent's recovery ends when all its containers were looked
// at, not after a fixed time.
package mesos
