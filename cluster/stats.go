package cluster

import (
	"sync/atomic"
)

// Refusal says why something that came in was not let in.
type Refusal uint8

const (
	// RefusedKind is a frame of a kind nobody registered.
	RefusedKind Refusal = iota
	// RefusedReceiver is a frame for a name nobody published.
	RefusedReceiver
	// RefusedBody is a body that is not a message of its kind, or one whose lists are too long or nested too deep.
	RefusedBody
	// RefusedSender is a message whose From is not the peer, or, if it also has a
	// Name, whose Name is not the one that the peer shook hands with.
	RefusedSender
	// RefusedPanic is a message whose decoding or delivery panicked.
	RefusedPanic
	// RefusedChecksum is a frame with a wrong checksum; it ends its connection.
	RefusedChecksum
	// RefusedMalformed is a frame that is none or is too large; it ends its connection.
	RefusedMalformed
	// RefusedHandshake is a connection that brought no valid Hello in time.
	RefusedHandshake
	// RefusedLimit is a connection above a limit of LinkConfig.
	RefusedLimit
	// RefusedCopy is a process that runs on a copy of a data directory.
	RefusedCopy
	refusals
)

// String returns the word that metrics carry.
func (r Refusal) String() string {
	names := [...]string{"kind", "receiver", "body", "sender", "panic", "checksum", "malformed", "handshake", "limit", "copy"}
	if int(r) < len(names) {
		return names[r]
	}
	return "unknown"
}

// Drop says why a message did not leave.
type Drop uint8

const (
	// DropDown is a message to a peer that cannot be reached at the moment, or
	// one that waited when the connection broke.
	DropDown Drop = iota
	// DropFull is a message that found its lane full.
	DropFull
	// DropKind is a message of a type nobody registered.
	DropKind
	// DropSize is a message that cannot be encoded or is above MaxFrame.
	DropSize
	// DropSystem is a system message of protoactor: those never leave.
	DropSystem
	drops
)

// String returns the word that metrics carry.
func (d Drop) String() string {
	names := [...]string{"down", "full", "kind", "size", "system"}
	if int(d) < len(names) {
		return names[d]
	}
	return "unknown"
}

// PeerStats counts what passed between this node and one peer since start.
type PeerStats struct {
	Peer      NodeID
	Name      string // as the peer calls itself; "" before its first Hello
	Up        bool
	Connects  uint64 // outgoing connections made; those after the first are reconnects
	FramesOut uint64
	BytesOut  uint64
	FramesIn  uint64
	BytesIn   uint64
	QueuedOut int    // bytes that wait to leave
	Position  uint64 // the highest that the peer has told: see LinkConfig.Position
	Dropped   map[Drop]uint64
	Refused   map[Refusal]uint64
	LastError string // of the last failed attempt to connect
}

// LinkStats is a picture of a Link.
type LinkStats struct {
	Peers   []PeerStats        // by id
	Refused map[Refusal]uint64 // of connections that never became a peer's
}

type counters struct {
	connects, framesOut, bytesOut, framesIn, bytesIn atomic.Uint64

	dropped [drops]atomic.Uint64
	refused refusedCounters
}

type refusedCounters [refusals]atomic.Uint64

func (r *refusedCounters) snapshot() map[Refusal]uint64 {
	all := map[Refusal]uint64{}
	for i := range r {
		if n := r[i].Load(); n > 0 {
			all[Refusal(i)] = n
		}
	}
	return all
}

func (c *counters) stats() PeerStats {
	dropped := map[Drop]uint64{}
	for i := range c.dropped {
		if n := c.dropped[i].Load(); n > 0 {
			dropped[Drop(i)] = n
		}
	}
	return PeerStats{
		Connects:  c.connects.Load(),
		FramesOut: c.framesOut.Load(), BytesOut: c.bytesOut.Load(),
		FramesIn: c.framesIn.Load(), BytesIn: c.bytesIn.Load(),
		Dropped: dropped, Refused: c.refused.snapshot(),
	}
}
