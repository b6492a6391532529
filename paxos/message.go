package paxos

import "fmt"

// Message is what the roles of one decree send to each other. A message is a
// value: the receiver may keep it, nobody may change what it points to.
//
//	proposer                        acceptors
//	   │── Prepare ───────────────────▶│   phase 1: promise me this ballot
//	   │◀──────────────────── Promise ──│   after it is on disk; tells the last vote
//	   │── Accept ────────────────────▶│   phase 2: vote for this value
//	   │◀─────────────────── Accepted ──│   after the vote is on disk
//	   │◀─────────────────────── Nack ──│   instead of either: a higher ballot is promised
//	   │── Chosen ────────────────────▶│   so that it can tell whoever asks later
//
//	acceptors        distinguished learners        learners
//	   │── Accepted ───────▶│                          │   schemes 2 and 3
//	   │                    │── Chosen ───────────────▶│
//	   │── Accepted ──────────────────────────────────▶│   scheme 1
//	   │                    │◀────────────────────Ask ──│   on time-out: is it chosen?
//	   │                    │── Chosen ───────────────▶│
//	   │◀─────────────────────────────────────────Ask ──│   then: what have you voted for?
//	   │── Accepted or Chosen ────────────────────────▶│
//
//	learner          proposer          distinguished proposer
//	   │── Finish ─────▶│                     │   then: complete the round
//	   │                │── Propose ─────────▶│   of a value to be proposed
//	   │◀────── Chosen ──│◀─────────── Chosen ──│
//
// A node may play several roles under its one ID, and the type of a message says
// who takes it: the host hands it to each of the receivers that live at Envelope.To.
//
//	Prepare, Accept    the acceptor
//	Promise, Nack      the proposer
//	Propose, Finish    the proposer
//	Accepted           the proposer and the learner
//	Chosen             the proposer, the acceptor and the learner
//	Ask                the acceptor, the learner and the proposer
//
// A role ignores a message that is not for it.
type Message interface{ message() }

// Prepare asks for a promise to take part in no lower ballot (phase 1a).
type Prepare struct{ Ballot Ballot }

// Promise answers Prepare once the promise is durable (phase 1b). Accepted is the
// ballot of the acceptor's last vote, not the one just promised (A8), and Value is
// what it voted for; both are zero if it has not voted.
type Promise struct {
	Ballot   Ballot
	Accepted Ballot
	Value    Value
}

// Accept asks for a vote (phase 2a).
type Accept struct {
	Ballot Ballot
	Value  Value
}

// Accepted tells the proposer, and the learners that the Scheme names, of a
// durable vote (phase 2b). As an answer to Ask it tells the last vote; a zero
// Ballot then says that there is none.
type Accepted struct {
	Ballot Ballot
	Value  Value
}

// Nack answers a Prepare or an Accept that was refused. Ballot is the refused
// one and Promised the acceptor's promise, the ballot to beat. An acceptor that
// knows the chosen value answers Chosen instead.
type Nack struct {
	Ballot   Ballot
	Promised Ballot
	Reason   Reason
}

// Chosen tells that a quorum voted for Value in Ballot. An empty Value leaves it
// to the receiver's own vote, which counts only if it has exactly this Ballot (L3).
type Chosen struct {
	Ballot Ballot
	Value  Value
}

// Ask comes from a learner that still waits (L4), or from whoever was told Chosen
// without a value that it needs (L3). Who knows the value answers Chosen; an
// acceptor that does not tells its last vote.
type Ask struct{}

// Finish asks a proposer to run a round that completes what was voted for (L4). It
// answers Chosen when it knows the value; if no vote was cast, it is silent.
type Finish struct{}

// Propose hands a value to the distinguished proposer (P8), which answers Chosen
// when any value is chosen.
type Propose struct{ Value Value }

func (Prepare) message()  {}
func (Promise) message()  {}
func (Accept) message()   {}
func (Accepted) message() {}
func (Nack) message()     {}
func (Chosen) message()   {}
func (Ask) message()      {}
func (Finish) message()   {}
func (Propose) message()  {}

// Reason says why an acceptor refuses.
type Reason uint8

const (
	// Outbid: a higher ballot is promised.
	Outbid Reason = iota
	// NotVoting: the acceptor's disk has failed; it says nothing of its promise (A5, A7).
	NotVoting
	// Refused: the request itself is wrong. It has a second value for its
	// ballot, or one that is too large.
	Refused
)

// String returns the reason as logs show it.
func (r Reason) String() string {
	switch r {
	case Outbid:
		return "outbid"
	case NotVoting:
		return "not voting"
	case Refused:
		return "refused"
	default:
		return fmt.Sprintf("reason %d", uint8(r))
	}
}
