package paxos

import "fmt"

// Output is what one input asks the host to do, in the order of its fields. The
// zero Output asks for nothing.
type Output struct {
	// Alarms are for the operator. They change nothing by themselves.
	Alarms []Alarm
	// Save replaces the acceptor's saved state, unless nil.
	Save *AcceptorState
	// SaveRound replaces the proposer's saved round (ProposerConfig.Round),
	// unless 0.
	SaveRound uint64
	// Send leaves when Save and SaveRound, and all saves that this core asked
	// for before, are durable (A4).
	Send []Envelope
	// Chosen is set once by each core, when it gets to know the chosen value.
	Chosen *Vote
	// Result ends the caller's Propose or Finish.
	Result *Result
}

// Envelope is a message and the node it is for. A host that has many decrees
// adds the name of the decree, its cluster and group, and its own ID (A6).
type Envelope struct {
	To      ID
	Message Message
}

func (o *Output) send(to ID, m Message) { o.Send = append(o.Send, Envelope{to, m}) }

func (o *Output) alarm(kind AlarmKind, from ID, b Ballot) {
	o.Alarms = append(o.Alarms, Alarm{kind, from, b})
}

// Result tells the caller of Propose or Finish what has become of it (P10).
type Result struct {
	Fate Fate
	// Value is the chosen one, if it is known: with SurelyNot it is another's,
	// and the caller's own may be proposed for the next decree (P9).
	Value Value
}

// Fate is what is known of a proposed value.
type Fate uint8

const (
	// Unknown: the value may be chosen, now or later.
	Unknown Fate = iota
	// ChosenValue: the value is chosen.
	ChosenValue
	// SurelyNot: the value is not chosen and never will be, unless somebody else
	// proposes the same: another one is chosen, or it never left this node.
	SurelyNot
	// Undecided ends only Finish: when it was asked, nothing was chosen.
	Undecided
)

// String returns the fate as a caller is told it.
func (f Fate) String() string {
	switch f {
	case Unknown:
		return "unknown"
	case ChosenValue:
		return "chosen"
	case SurelyNot:
		return "surely not"
	case Undecided:
		return "undecided"
	default:
		return fmt.Sprintf("fate %d", uint8(f))
	}
}

// Alarm reports a message that no honest node sends. It was not acted upon.
type Alarm struct {
	Kind   AlarmKind
	From   ID     // the sender, who may only have passed it on
	Ballot Ballot // of the message
}

// AlarmKind says what is wrong.
type AlarmKind uint8

const (
	// TwoValues: a second value under one ballot (A3, P3).
	TwoValues AlarmKind = iota + 1
	// TwoChosen: a second value is said to be chosen.
	TwoChosen
	// ForeignBallot: a proposer uses the ballot of another (P1).
	ForeignBallot
	// ImpossibleVote: a promise tells of a vote in its own or a later ballot.
	ImpossibleVote
)

// String says what has happened.
func (k AlarmKind) String() string {
	switch k {
	case TwoValues:
		return "two values under one ballot"
	case TwoChosen:
		return "two values chosen"
	case ForeignBallot:
		return "the ballot of another proposer"
	case ImpossibleVote:
		return "a vote that the promised ballot excludes"
	default:
		return fmt.Sprintf("alarm %d", uint8(k))
	}
}
