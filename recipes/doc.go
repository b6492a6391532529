// Package recipes has what people build on a coordination service: locks, elections,
// barriers, and groups whose members are numbered.
//
// # Which one do I want
//
//	one of us at a time does something short        Lock, TryLock, Held.Release
//	one of us does it for as long as it lives       Campaign; the others Observe who it is
//	who is there, and in which order                Join and Membership.Watch, Members
//	work is divided among n of us                   Join: member number Rank takes the parts that
//	                                                are Rank modulo the number of members
//	nobody goes on until somebody says so           RaiseBarrier, AwaitBarrier, LiftBarrier
//	n of us begin together and end together         Enter, Rendezvous.Leave
//	the thing that only the holder may touch        Fence, or Held.Check in a transaction
//	work that looks at no token and must not be     Held.TakeOver, which ends what the holder before
//	done by two                                     has left
//
// Each but the plain barrier stands on ephemeral keys of an [api.Session], so what its holder
// has ends with the session: at once when it is closed, after its Linger when its process
// dies, after its Timeout when it is cut off or stands still. A change of the leader and a lost
// connection cost time alone. What was asked for when an answer was lost is asked again until it
// is known; only the end of the session makes all void.
//
// # What a lock cannot do
//
// A process can be paused between looking whether it holds a lock and doing what the lock
// protects; when it wakes up, another may hold it. No lock service can prevent that, this one
// neither. Therefore every lock and every leadership comes with a fencing token: a number
// that is higher for each later holder. Whatever is protected must look at it: a store that
// remembers the highest token it has seen and refuses lower ones ([Fence]), or a transaction
// in the tree that checks that the lock's key is still the one created at the token
// ([Held.Check]). What can look at nothing, such as a program that somebody else wrote, is begun only
// when the work of the holder before is known to have ended ([Held.TakeOver]).
//
// # Where this departs from ZooKeeper's recipes
//
// Who queues up makes an ephemeral key below the path, and waits for the one before it to
// vanish, not for the holder: a release wakes one, not all. There the keys are sequential, and
// their numbers are the order. Here a key is named by a [api.RequestID] of its own, and the order
// is that of creation, [api.Entry].Created: log indices, which are never used twice. So nothing
// ends after 2,147,483,647 entries, nothing is mistaken when the queue's path vanishes and comes
// again, and whoever does not know whether its key was made can look for it by name. The path
// itself is a container, which vanishes with the last in the queue, unless it was there before.
//
// ZooKeeper's double barrier says nothing about more entrants than places, nor about the next
// use. Here a start is one transaction, which checks that all who start are there, and nobody
// starts before all of the round before have left: see [Enter].
package recipes
