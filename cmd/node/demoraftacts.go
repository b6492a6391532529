package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"
)

// raftRules are rules by section of the Raft paper, those with D of the dissertation and
// F3 of Figure 3, a plain sentence each.
var raftRules = map[string]string{
	"5.1":   "A newer term is taken over; who led or asked in an older one follows.",
	"5.2":   "A majority of votes makes a term's leader; one vote a node and term.",
	"5.2w":  "Candidates wait a random time, so a split vote is not split for ever.",
	"5.3":   "AppendEntries names the entry before: logs that agree there agree before it.",
	"5.3c":  "Where a follower's log differs, the leader's entries take its place.",
	"5.4.1": "Nobody votes for a log that ends before its own: later last term, then longer.",
	"5.4.2": "A leader's own entry on a majority is committed, and with it all before.",
	"8":     "A new leader begins with an empty entry; unknown to a caller is not failed.",
	"D9.6":  "Who was cut off asks before it raises the term, so it disturbs nobody.",
	"F3":    "One leader a term; leaders only append; an applied index is one command.",
}

func (t *trio) acts() []act {
	return []act{
		{"Three replicas, one leader", []string{"5.2", "8"}, t.begin},
		{"A log is replicated", []string{"5.3", "5.4.2"}, t.replicate},
		{"The leader is killed (kill -9)", []string{"5.1", "5.2", "5.4.1", "8"}, t.leaderKilled},
		{"The vote is split", []string{"5.2", "5.2w"}, t.splitVote},
		{"A minority is cut off and returns", []string{"D9.6", "5.4.2", "5.3"}, t.minority},
		{"The shorter log is refused", []string{"5.4.1"}, t.shorterLog},
		{"An old leader is cut off and returns", []string{"5.1", "5.3c", "8"}, t.oldLeader},
		{"All of it, judged", []string{"F3", "5.2"}, t.judge},
	}
}

// begin: the founder elects itself, and the others get votes through the log.
func (t *trio) begin(ctx context.Context) (string, error) {
	for _, c := range t.fleet.nodes {
		if err := t.fleet.start(c); err != nil {
			return "", err
		}
	}
	var looks []raftLook
	err := t.retry(ctx, "three voters did not come together", func() error {
		looks = nil
		for _, name := range t.names() {
			l, err := t.look(ctx, name)
			if err != nil {
				return err
			}
			looks = append(looks, l)
			if err := expect(l.Voters == 3 && l.Leader == looks[0].Leader && l.Term == looks[0].Term, "%s: %+v", name, l); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return "", err
	}
	leader, term := looks[0].Leader, looks[0].Term
	first := t.hub.since(0).by(leader).own("appended").ofTerm(term)
	if len(first) == 0 {
		return "", expect(false, "%s leads and has appended nothing", leader)
	}
	return fmt.Sprintf("n1 was alone at first, so that its own vote was a majority. The entries that it has written since made n2 and n3 voters, one after "+
			"the other: who votes is in the log too. All three know %s as the leader of term %d.", leader, term),
		expect(first[0].First > 0, "%s led in term %d without an entry", leader, term)
}

// replicate: entries are sent, stored by a majority, committed, applied (5.3).
func (t *trio) replicate(ctx context.Context) (string, error) {
	mark := t.hub.mark()
	leader, term, err := t.leads(ctx)
	if err != nil {
		return "", err
	}
	var indexes []uint64
	for _, command := range []string{"x=1", "y=2", "x=3"} {
		index, err := t.done(ctx, leader, command)
		if err != nil {
			return "", err
		}
		indexes = append(indexes, index)
	}
	last := indexes[len(indexes)-1]
	list, err := t.equal(ctx, last)
	if err != nil {
		return "", err
	}
	s, err := t.hub.await(ctx, mark, "all of them committing", func(s raftEvents) bool {
		return len(s.own("committed").filter(func(e raftEvent) bool { return e.Last >= last }).names()) == 3
	})
	for _, i := range indexes {
		err = errors.Join(err, s.by(leader).answeredBeforeCommitted(i))
	}
	got := list[max(0, len(list)-3):]
	return fmt.Sprintf("x=1, y=2, x=3 became entries %d, %d and %d of term %d at %s. It told callers \"done\" when it and one follower, 2 of 3, had each on "+
			"disk, and followers of the commit index with the next message. All three have applied %v.", indexes[0], indexes[1], last, term, leader, commands(got)),
		errors.Join(err, expect(len(got) == 3 && strings.Join(commands(got), " ") == "x=1 y=2 x=3", "applied %v", list))
}

func commands(list []listCommand) (names []string) {
	for _, c := range list {
		names = append(names, c.Command)
	}
	return names
}

// answeredBeforeCommitted: of three replicas a follower has stored an entry before its
// leader, whose events these are, commits it.
func (s raftEvents) answeredBeforeCommitted(index uint64) error {
	answered := false
	for _, e := range s {
		switch {
		case e.Direction == "in" && e.Kind == "AppendReply" && !e.Refused && e.Last >= index:
			answered = true
		case e.Direction == "self" && e.Kind == "committed" && e.covers(index):
			return expect(answered, "%s committed %d before a follower had it", e.Name, index)
		}
	}
	return expect(false, "entry %d was not committed by its leader", index)
}

// leaderKilled: the others elect one of them, whose log has all that was acknowledged.
func (t *trio) leaderKilled(ctx context.Context) (string, error) {
	old, term, err := t.leads(ctx)
	if err != nil {
		return "", err
	}
	mark, killed := t.hub.mark(), time.Now()
	t.kill(old)
	e, err := t.elected(ctx, mark, term, t.without(old)...)
	if err != nil {
		return "", err
	}
	s := t.hub.since(mark)
	votes := s.by(e.Name).received("Vote").ofTerm(e.Term).refused(false)
	asked := s.by(e.Name).sent("RequestVote").ofTerm(e.Term).last()
	empty := s.by(e.Name).own("appended").ofTerm(e.Term)
	if len(votes) == 0 || len(empty) == 0 {
		return "", expect(false, "%s leads term %d with votes %v and entries %v", e.Name, e.Term, votes, empty)
	}
	index, err := t.done(ctx, e.Name, "after=kill")
	if err := errors.Join(err, t.start(ctx, old)); err != nil {
		return "", err
	}
	_, err = t.equal(ctx, index)
	return fmt.Sprintf("%s, leader of term %d, was killed. %s asked whether it could win, then asked for votes in term %d with a log that ends at %d of "+
			"term %d, and led with 2 of 3 votes, its own and %s's, after %.1f s. Its first entry, %d, is empty. %s came back, follows, and has all of it.",
			old, term, e.Name, e.Term, asked.Last, asked.EntryTerm, votes[0].PeerName, e.Time.Sub(killed).Seconds(), empty[0].First, old),
		errors.Join(err, expect(empty[0].First == asked.Last+1, "the empty entry is %d, the log ended at %d", empty[0].First, asked.Last))
}

// splitTime is how long a split vote may take to come about.
const splitTime = 10 * time.Second

// splitVote: two candidates in one term, each with its own vote, and nobody wins it. The
// pre-vote and random waits make that rare, so the demo holds messages back.
func (t *trio) splitVote(ctx context.Context) (string, error) {
	var errs error
	for range 4 { // a busy machine may be too slow for it
		old, term, err := t.leads(ctx)
		if err != nil {
			return "", err
		}
		mark := t.hub.mark()
		split, err := t.split(ctx, old, term)
		if err == nil {
			return t.unsplit(ctx, mark, old, split)
		}
		errs = errors.Join(errs, err)
		if err := errors.Join(t.heal(ctx, t.without(old)...), t.start(ctx, old)); err != nil {
			return "", err
		}
	}
	return "", errs
}

// split kills the leader and has both others ask for votes in one term, which it returns.
func (t *trio) split(ctx context.Context, old string, term uint64) (uint64, error) {
	ctx, cancel := context.WithTimeout(ctx, splitTime)
	defer cancel()
	mark, both := t.hub.mark(), t.without(old)
	holdVote := fault{Do: "hold", Kind: "RequestVote"}
	for _, name := range both {
		if err := t.fault(ctx, name, holdVote, fault{Do: "hold", Kind: "PreVoteReply"}); err != nil {
			return 0, err
		}
	}
	t.kill(old)
	if _, err := t.hub.await(ctx, mark, "both asking whether they could win", func(s raftEvents) bool {
		for i, name := range both {
			granted := s.by(both[1-i]).sent("PreVoteReply").with(name).ofTerm(term + 1).refused(false)
			if s.role(name).Kind != "pre-candidate" || len(granted) == 0 {
				return false
			}
		}
		return true
	}); err != nil {
		return 0, err
	}
	if err := t.together(both, func(name string) error { return t.fault(ctx, name, holdVote) }); err != nil {
		return 0, err
	}
	if _, err := t.hub.await(ctx, mark, "two candidates in one term", func(s raftEvents) bool {
		return len(s.own("candidate").ofTerm(term+1).names()) == 2
	}); err != nil {
		return 0, err
	}
	if err := t.together(both, func(name string) error { return t.fault(ctx, name) }); err != nil {
		return 0, err
	}
	_, err := t.hub.await(ctx, mark, "both refusing each other", func(s raftEvents) bool {
		return len(s.received("Vote").ofTerm(term+1).refused(true).names()) == 2
	})
	return term + 1, err
}

// together does something for all names at once.
func (t *trio) together(names []string, do func(name string) error) (err error) {
	done := make(chan error, len(names))
	for _, name := range names {
		go func() { done <- do(name) }()
	}
	for range names {
		err = errors.Join(err, <-done)
	}
	return err
}

// unsplit waits for the end of a split vote and brings the killed one back.
func (t *trio) unsplit(ctx context.Context, mark int, old string, split uint64) (string, error) {
	e, err := t.elected(ctx, mark, split, t.without(old)...)
	if err != nil {
		return "", err
	}
	index, err := t.done(ctx, e.Name, "after=split")
	if err := errors.Join(err, t.start(ctx, old)); err != nil {
		return "", err
	}
	_, err = t.equal(ctx, index)
	s := t.hub.since(0)
	both := t.without(old)
	granted := s.received("Vote").ofTerm(split).refused(false)
	return fmt.Sprintf("%s was killed, and messages held until %s and %s asked for votes in term %d in the same moment. Each had voted for itself and refused "+
			"the other: 1 vote each of 3, 2 are needed, so term %[4]d has no leader. Both waited a random time; %s was first, and leads term %d.",
			old, both[0], both[1], split, e.Name, e.Term),
		errors.Join(err, expect(len(granted) == 0, "in term %d votes were granted: %v", split, granted),
			expect(len(s.own("leader").ofTerm(split)) == 0, "term %d has a leader", split))
}
