// Package explore visits every state that a small model can reach, breadth
// first, and says by which shortest way a wrong one is reached.
//
// # What it is
//
// A Model has initial states, successors, a key that tells states apart, and an
// invariant. Run visits each state once. It is for protocols: an acceptor, a
// network that is a set of messages, a few ballots. The same model may be an
// abstract sketch of a protocol or drive the real core of one.
//
// A state is remembered by 128 bits of hash of its key and by the state that it
// was first reached from: about 40 bytes each. The states themselves live only as
// long as they are in the frontier. A trace is derived again, by calling Next
// along the way. With 10 million states the chance that two keys have the same
// hash, so that a state is missed, is about 1 in 10^24 for a random function;
// the one here is not cryptographic, but no model is made against it.
//
// # What it leaves to others
//
// Symmetry: let Key write the same bytes for states that differ only in names.
// Liveness, but for two questions: is a state reachable (Config.Sometimes), and
// what is it like where nothing more can happen (Config.Terminal). A model that
// only forbids is satisfied by a protocol that does nothing, so a check without
// Sometimes proves little.
//
// # How to use it
//
// See the example: two processes that both read a counter and then write it.
//
// # Determinism
//
// The result depends on nothing but the model, not on the number of workers:
// they expand batches of the frontier side by side, and what they find is taken
// in the order of the frontier. So Next, Key, Check and CheckStep must not change
// the state that they are given, nor anything shared.
package explore
