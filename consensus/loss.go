package consensus

// Loss tells that a replica's log ends before what it had acknowledged: its disk
// has lost it.
type Loss struct {
	Term         Term
	Leader       ID    // who has proved it
	Acknowledged Index // in this term, to this leader
	Last         Index // the last entry that is left
}
