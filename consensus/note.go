package consensus

// Note is what an engine tells of an election, so that people learn why it was as it was.
// Nothing depends on it.
type Note struct {
	Kind  NoteKind
	Peer  ID   // who is refused
	Term  Term // of the election that is about; the ballot with Paxos, 0 if there is none yet
	Why   Why
	Other ID   // of whom Why speaks, None if of nobody
	For   Time // since when Why holds

	// Where the logs end, with WhyLog: Paxos has no terms of entries, and tells what is chosen.
	Index, OwnIndex         Index
	IndexTerm, OwnIndexTerm Term
	OwnTerm                 Term // with WhyTerm and WhyPromised: what is higher
}

// NoteKind says what happened.
type NoteKind uint8

const (
	// NoteAsks: this replica asks whether it could win an election.
	NoteAsks NoteKind = iota + 1
	// NoteElection: it begins one.
	NoteElection
	// NoteRefusal: it refuses Peer what that asks for its election.
	NoteRefusal
)

// Why says why.
type Why uint8

const (
	// WhyNoLeader: no leader is known.
	WhyNoLeader Why = iota + 1
	// WhySilence: the leader Other was not heard for For.
	WhySilence
	// WhyConnection: the connection to the leader Other has closed.
	WhyConnection
	// WhyTransfer: the leader hands over.
	WhyTransfer
	// WhyAsked: somebody wants this replica to lead.
	WhyAsked

	// WhyTerm: the election's term is no later than OwnTerm.
	WhyTerm
	// WhyLeads: this replica leads itself.
	WhyLeads
	// WhyLease: the leader Other was heard For ago.
	WhyLease
	// WhyLeader: Other leads that term already.
	WhyLeader
	// WhyVoted: this replica has voted for Other in that term.
	WhyVoted
	// WhyLog: the candidate's log ends before ours.
	WhyLog
	// WhyYields: this replica asks at the same moment, and goes first.
	WhyYields
	// WhyPromised: the higher ballot OwnTerm is promised.
	WhyPromised
	// WhyEpoch: the candidate and this replica are in different epochs.
	WhyEpoch
	// WhyVoter: this replica has no vote, or the candidate may not lead.
	WhyVoter
)
