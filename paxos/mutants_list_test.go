package paxos

import "slices"

// mutant is a planted bug: one of the twenty of the study, section 3.2, or a
// variant of one. Edits are made in the sources of the cores when the check is
// built; without any, the world itself is wrong. What is wanted of the hunt, by
// what a caller sees alone: agreement, learned only what is chosen, and that a
// choice can be reached at all.
type mutant struct {
	name  string
	edits []edit
	world func(ballots int) world
	// wants is a part of what the hunt must say.
	wants string
	// three is set if two ballots show nothing.
	three bool
	// safe is set if no number of ballots shows anything: a counter-check.
	safe bool
	// allRules lets the hunt go by all rules: the cores' own guards keep what a
	// caller sees right.
	allRules bool
}

// edit replaces old, which stands in file exactly once, by new.
type edit struct{ file, old, new string }

const (
	twoChosen  = "chose both"
	noChoice   = "nothing can be chosen"
	notChosen  = "which is not chosen"
	twoUnder   = "under ballot"
	excluded   = "a vote that the promised ballot excludes"
	unanswered = "its disk holds"
)

// noGuard takes from acceptors that they refuse a second value in one ballot (A3),
// as all but the most careful acceptors would have it.
var noGuard = []edit{
	{"acceptor.go", "	case m.Ballot == a.state.Accepted.Ballot && !vote.same(a.state.Accepted):\n", "	case false:\n"},
	{"acceptor.go", "	if a.state.Accepted.Ballot == vote.Ballot {\n", "	if a.state.Accepted.same(vote) {\n"},
}

// noOwner takes the node from ballots, and the check that it is there.
var noOwner = []edit{
	{"attempt.go", "	p.ballot = Ballot{round, p.cfg.ID}\n", "	p.ballot = Ballot{round, 9}\n"},
	{"acceptor.go", "	case b.Node != from:\n", "	case false:\n"},
}

var (
	promisedForAccepted = edit{"acceptor.go", "	out.send(from, Promise{m.Ballot, a.state.Accepted.Ballot, a.state.Accepted.Value})\n",
		"	b := a.state.Promised\n	if a.state.Accepted.IsZero() {\n		b = Ballot{}\n	}\n" +
			"	out.send(from, Promise{m.Ballot, b, a.state.Accepted.Value})\n"}
	sameRound = edit{"proposer.go", "used: cfg.Round, reserved: cfg.Round,", "used: 0, reserved: 0,"}
	sameAgain = edit{"attempt.go", "	p.deadline = now + p.cfg.Retransmit\n	p.sendToSilent(out)\n",
		"	if p.phase == accepting {\n		p.phase, p.answered, p.found = preparing, 0, Vote{}\n	}\n	p.sendToSilent(out)\n"}
)

var mutants = []mutant{
	{name: "B1 accept only above the promise", world: standard, wants: noChoice, edits: []edit{
		{"acceptor.go", "	case m.Ballot.Less(a.state.Promised):\n", "	case !a.state.Promised.Less(m.Ballot):\n"}}},
	{name: "B2 prepare takes an equal ballot while ballots have no owner", world: standard, wants: twoChosen,
		edits: slices.Concat(noOwner, noGuard)},
	{name: "B2 without owners, but each ballot granted once", world: standard, safe: true, edits: slices.Concat([]edit{
		{"acceptor.go", "	if m.Ballot.Less(a.state.Promised) {\n", "	if !a.state.Promised.Less(m.Ballot) {\n"}}, noOwner, noGuard)},
	{name: "B3 ballot used again after a restart", world: crashing, wants: twoChosen, edits: slices.Concat([]edit{sameRound}, noGuard)},
	{name: "B3 against acceptors that refuse a second value", world: crashing, wants: twoUnder, allRules: true, edits: []edit{sameRound}},
	{name: "B4 prepare repeated with the same ballot after accept", world: standard, wants: twoChosen, edits: slices.Concat([]edit{sameAgain}, noGuard)},
	{name: "B4 against acceptors that refuse a second value", world: standard, wants: excluded, allRules: true, edits: []edit{sameAgain}},
	{name: "B5 promise not durable", world: crashing, wants: twoChosen, edits: []edit{
		{"acceptor.go", "	a.state.Promised = b\n	a.save(out)\n", "	a.state.Promised = b\n"}}},
	{name: "B6 vote not durable", world: crashing, wants: twoChosen, edits: []edit{
		{"acceptor.go", "	a.state.Accepted = vote\n	a.save(out)\n", "	a.state.Accepted = vote\n"}}},
	{name: "B7 acceptor restarts empty", world: crashing, wants: twoChosen, edits: []edit{
		{"acceptor.go", "told: told, state: state}", "told: told}"}}},
	{name: "B8 value of the first vote reported, not the highest", world: standard, wants: twoChosen, three: true, edits: []edit{
		{"attempt.go", "	if p.found.Ballot.Less(vote.Ballot) {\n", "	if p.found.IsZero() {\n"}}},
	{name: "B9 votes reported in phase 1 ignored", world: standard, wants: twoChosen, edits: []edit{
		{"attempt.go", "	if p.found.IsZero() {\n", "	if true {\n"}}},
	{name: "B10 promises counted, not acceptors", world: standard, wants: twoChosen, edits: []edit{
		{"attempt.go", " || acceptor == 0 || p.answered&acceptor != 0 {\n", " || acceptor == 0 {\n"},
		{"attempt.go", "	p.answered |= acceptor\n	if p.found", "	p.answered = p.answered<<1 | 1\n	if p.found"}}},
	{name: "B10 votes counted, not acceptors", world: standard, wants: notChosen, edits: []edit{
		{"attempt.go", "	p.answered |= acceptor\n	if p.answered", "	p.answered = p.answered<<1 | 1\n	if p.answered"}}},
	{name: "B11 the promised ballot reported as that of the vote", world: standard, wants: twoChosen, three: true, edits: []edit{
		promisedForAccepted,
		{"attempt.go", "	case !m.Accepted.Less(p.ballot):\n", "	case false:\n"},
		{"attempt.go", "	case m.Accepted == p.found.Ballot && !vote.same(p.found):\n", "	case false:\n"}}},
	{name: "B11 against proposers that look", world: standard, wants: unanswered, allRules: true,
		edits: []edit{promisedForAccepted}},
	{name: "B12 accept compares with the last vote only", world: standard, wants: twoChosen, edits: []edit{
		{"acceptor.go", "	case m.Ballot.Less(a.state.Promised):\n", "	case m.Ballot.Less(a.state.Accepted.Ballot):\n"}}},
	{name: "B13 a vote is no promise", world: standard, wants: twoChosen, three: true, edits: []edit{
		{"acceptor.go", "	a.state.Promised = vote.Ballot\n", ""},
		{"acceptor.go", "	if a.state.Promised.Less(a.state.Accepted.Ballot) {\n", "	if false {\n"}}},
	{name: "B14 promise not recorded where there is a vote", world: standard, wants: twoChosen, three: true, edits: []edit{
		{"acceptor.go", "	if a.state.Promised == b {\n", "	if a.state.Promised == b || !a.state.Accepted.IsZero() {\n"}}},
	{name: "B15 learner adds votes of different ballots", world: standard, wants: notChosen, edits: []edit{
		{"learner.go", "		if v.Ballot == vote.Ballot {\n", "		if !v.IsZero() {\n"}}},
	{name: "B16 promises of an older own ballot counted", world: standard, wants: twoChosen, three: true, edits: []edit{
		{"attempt.go", "p.phase != preparing || m.Ballot != p.ballot || acceptor", "p.phase != preparing || acceptor"}}},
	{name: "B17 two views of the membership", wants: twoChosen, world: func(int) world {
		return fourAcceptors(mustMajority(1, 2, 3), mustMajority(2, 3, 4))
	}},
	{name: "B18 disk lost, votes again when nobody else has voted", world: losing(rejoinEmpty), wants: twoChosen},
	{name: "B19 disk lost, votes again with the others' highest promise", world: losing(rejoinPromise), wants: twoChosen},
	{name: "B20 quorums that do not meet", wants: twoChosen, world: func(int) world {
		q := Quorums{acceptors: []ID{1, 2, 3, 4}, prepare: 2, accept: 2}
		return fourAcceptors(q, q)
	}},
	{name: "answer before the promise is durable", world: crashing, wants: unanswered, allRules: true, edits: []edit{
		{"acceptor.go", "	a.state.Promised = b\n	a.save(out)\n", "	a.state.Promised = b\n"}}},
}

func crashing(ballots int) world {
	w := standard(ballots)
	w.crashes = 1
	return w
}

func losing(l loss) func(int) world {
	return func(ballots int) world {
		w := crashing(ballots)
		w.loss = l
		return w
	}
}
