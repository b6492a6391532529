// Package founding fixes who the acceptors are, once and for ever, before any
// decree is passed. Two proposers with two sets of acceptors choose two values
// (B17), so no set may come from gossip, which tells everybody something else.
//
// # What it is
//
// The operator names the acceptors, on every process. A name is no identity: an
// acceptor that lost its disk has its old name, and has forgotten its promises. So
// a Set pairs each name with the identity of its disk, and a set is founded when
// all its members have durably pinned it. A Pin is the acceptor's side, a Founder
// the side of a proposer or learner, which finds out or founds. Both are pure: no
// clock, disk or network.
//
// # Why no two sets are founded
//
// A pin is for ever: a member pins one set, the first that it is asked for. Two
// founded sets therefore share no member. Both have the same names, so the second
// needs all acceptors under new identities: only if every one of them has lost its
// disk since the first. As long as one disk is left, its owner answers for the
// first set and pins no other. A proposer works with a set only after all members
// said that they had pinned it, or one of them that it has seen a proposer which
// knew so. Every later message carries the digest of the set, and an acceptor
// refuses any other. So an acceptor with a new disk, which is in no founded set,
// never votes (B18, B19).
//
// Nothing of this depends on what the identities are taken from: a wrong one is
// never pinned by its owner, because there is none, and then nothing is founded.
//
// # What it leaves to others
//
// It tells no one apart by itself: the host says who has sent what, and has a
// State on disk before the answer leaves. Replacing an acceptor is not possible:
// a decree is passed by the acceptors it began with. If a disk is lost
// before all have pinned, no set is ever founded: Founder.Waiting says so, and the
// operator empties the directories, in which there are no votes yet.
//
// # Source
//
// Own. That configurations must be agreed on before they count is the lesson of
// every replicated log; a single decree has none before it to agree by, so it asks
// for unanimity, which needs no agreement.
package founding
