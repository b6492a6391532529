// Package actors is what every actor of Synod shares on top of protoactor: a
// bounded Mailbox that hands an actor everything that waits as one Batch, a
// supervision Strategy in OTP's words, a Guard around an actor's last
// messages, an actor system that logs only where it is told to, and a seeded
// dispatcher for tests that repeat.
//
// It leaves to others what the actors do: proposer, acceptor, learner,
// group, master and agent live in packages below. It knows no protocol,
// disk or network.
//
// # Use
//
//	system := actors.NewSystem(logger)
//	strategy := actors.NewStrategy(actors.StrategyConfig{OnFailStop: endTheNode})
//	props := actor.PropsFromProducer(actors.Guard(logger, newActor),
//		actor.WithMailbox(actors.MailboxConfig{MaxMessages: 4096}.Producer()),
//		actor.WithGuardian(strategy))
//	pid, err := system.Root.SpawnNamed(props, "raft/1")
//
// An actor then receives *Batch for all its messages, and protoactor's
// own Started, Stopping, Stopped, Restarting and Terminated one by one.
//
// # Source
//
// Supervision follows Erlang/OTP's supervisor behaviour: intensity, period,
// permanent, transient, temporary. Batching in the mailbox is what makes one
// disk flush and one network write serve many messages.
//
// # Differences from protoactor
//
// Of protoactor we use Props, PIDs, mailboxes and watches. We do not use its
// futures (a second reply wins), ReenterAfter (runs against the dead
// instance), bounded mailboxes (spin or block the sender), stash, scheduler,
// exponential backoff (linear, without a cap), escalation to a guardian (ends
// the process) or metrics. traps_test.go shows each of these on the pinned
// version, so that an upgrade shows what changed.
package actors
