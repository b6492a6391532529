// Package framework is the Go API of a scheduler: a program that is offered what agents have
// and says which tasks run there.
//
//	                    ┌─ Session: one subscription ─┐
//	Scheduler ◀─ Run ───┤  Next ◀── offers, updates ──├─── any node ─── leading master
//	Scheduler ◀─ StandBy┤  Accept, Kill, … ──────────▶│
//	                    └─────────────────────────────┘
//
// [Connect] is one subscription and nothing more. [Run] keeps a Scheduler subscribed under
// one framework id: after the death of a master it subscribes to the next one, asks what has
// become of the tasks, and acknowledges each update when the Scheduler has dealt with it.
// [StandBy] is Run for a scheduler of which several processes are started: one is elected
// and runs, and when it dies or is cut off the next one takes its tasks over.
//
// It leaves to others which tasks there should be and what of them is kept where: a
// scheduler that must know after its death what it had started writes that down before it
// accepts an offer. It is the face of the cluster manager in Go, in the place of package
// synod, which cannot import the HTTP client.
//
// # One takeover
//
// All schedulers of StandBy campaign at one path of the tree (package recipes). The one that
// is elected reads the framework's id, which the first of all has chosen and put there under
// its election, so that there never are two; it subscribes with it and with the token of its
// election. From then on the one before gets nothing and can do nothing: its stream ends,
// its calls are refused (F-2, F-6), and the registry refuses its subscription, since its
// token is lower. Its callbacks' context ends as soon as it notices. Tasks run on meanwhile.
//
// # Failures
//
// The master dies: the stream breaks off, and Run subscribes again, at any node, for as long
// as it takes. What an Accept has become that was under way nobody knows until the tasks
// are reconciled, which Run does: an answer to each of them comes sooner or later, by Update.
//
// The scheduler dies between dealing with an update and its acknowledgement: the update
// comes again, to whoever runs then. So a Scheduler must bear an update twice.
//
// # Containers
//
// A task with Docker is a container of its agent's engine, on agents that offer the attribute
// mesos.DockerAttribute: the example "docker" makes one.
//
// # Source
//
// The scheduler API and its high-availability guide for frameworks, of Apache Mesos.
// Difference: who takes over is elected here, not by the framework's own means.
package framework
