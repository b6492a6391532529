package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// minority: a follower that is cut off asks, raises no term, and returns as a follower.
func (t *trio) minority(ctx context.Context) (string, error) {
	leader, term, err := t.leads(ctx)
	if err != nil {
		return "", err
	}
	mark, lone, third := t.hub.mark(), t.without(leader)[0], t.without(leader)[1]
	if err := t.cut(ctx, lone); err != nil {
		return "", err
	}
	before := len(t.hub.since(0).by(lone).own("appended"))
	if _, err := t.done(ctx, leader, "a=1"); err != nil {
		return "", err
	}
	index, err := t.done(ctx, leader, "b=2")
	if err != nil {
		return "", err
	}
	s, err := t.hub.await(ctx, mark, lone+" asking twice whether it could win", func(s raftEvents) bool {
		return len(s.by(lone).sent("PreVote").with(leader)) >= 2
	})
	if err != nil {
		return "", err
	}
	had := len(t.hub.since(0).by(lone).own("appended"))
	if err := t.heal(ctx, t.names()...); err != nil {
		return "", err
	}
	_, err = t.equal(ctx, index)
	all := t.hub.since(mark)
	newer := all.filter(func(e raftEvent) bool { return e.Direction == "self" && e.Term > term })
	return fmt.Sprintf("%s was cut off. %s and %[7]s are 2 of 3: a=1 and b=2 were done, entries up to %[3]d. %[1]s asked %[4]d times whether it could win "+
			"term %[5]d, reached nobody, and stayed in term %[6]d without a new entry. When the link was back it followed %[2]s, which sent what it had missed.",
			lone, leader, index, len(s.by(lone).sent("PreVote").with(leader)), term+1, term, third),
		errors.Join(err, expect(len(newer) == 0, "the term went on: %v", newer), expect(had == before, "%s had new entries while it was cut off", lone),
			expect(len(all.own("leader")) == 0, "the leader changed: %v", all.own("leader")))
}

// shorterLog: who misses a committed entry gets no vote from who has it (5.4.1).
func (t *trio) shorterLog(ctx context.Context) (string, error) {
	old, term, err := t.leads(ctx)
	if err != nil {
		return "", err
	}
	short, long := t.without(old)[0], t.without(old)[1]
	if err := t.cut(ctx, short); err != nil {
		return "", err
	}
	mark := t.hub.mark()
	index, err := t.done(ctx, old, "c=3")
	if err != nil {
		return "", err
	}
	if _, err := t.hub.await(ctx, mark, long+" having c=3", func(s raftEvents) bool {
		return slices.ContainsFunc(s.by(long).own("appended"), func(e raftEvent) bool { return e.covers(index) })
	}); err != nil {
		return "", err
	}
	t.kill(old)
	asked, err := t.refused(ctx, mark, short, long)
	if err != nil {
		return "", err
	}
	e, err := t.elected(ctx, mark, term, t.without(old)...)
	if err := errors.Join(err, t.start(ctx, old)); err != nil {
		return "", err
	}
	list, err := t.equal(ctx, index)
	return fmt.Sprintf("c=3, entry %d of term %d, was done without %s, which was cut off. Then %s was killed, and %[5]s kept from asking first. %[3]s asked %[5]s for its vote with a log that ends at "+
			"%[6]d of term %[7]d and got none, since %[5]s's ends at %[1]d: else c=3 would be lost. %[8]s leads term %[9]d, and %[3]s has the entry from it.",
			index, term, short, old, long, asked.Last, asked.EntryTerm, e.Name, e.Term),
		errors.Join(err, expect(e.Name == long, "%s leads, which lacked c=3", e.Name),
			expect(asked.EntryTerm < term || asked.EntryTerm == term && asked.Last < index, "%s asked with a log that ends at %d of term %d", short, asked.Last, asked.EntryTerm),
			expect(slices.Contains(commands(list), "c=3"), "c=3 is lost: %v", list))
}

// refused heals short and waits until long refuses it a vote although it hears no leader any
// more. It returns what short asked. So that short asks first, long's questions are lost.
func (t *trio) refused(ctx context.Context, mark int, short, long string) (asked raftEvent, err error) {
	killed := time.Now()
	if err := errors.Join(t.fault(ctx, long, fault{Do: "lose", Kind: "PreVote"}), t.fault(ctx, short)); err != nil {
		return asked, err
	}
	_, err = t.hub.await(ctx, mark, long+" refusing "+short+" when it hears no leader any more", func(s raftEvents) bool {
		asked = s.by(long).received("PreVote").with(short).last()
		return s.by(long).sent("PreVoteReply").with(short).refused(true).last().Time.After(killed.Add(raftLease + 200*time.Millisecond))
	})
	return asked, errors.Join(err, t.heal(ctx, long))
}

// oldLeader: what a leader that is cut off takes into its log is committed nowhere, and
// replaced by what the others have agreed on.
func (t *trio) oldLeader(ctx context.Context) (string, error) {
	old, term, err := t.leads(ctx)
	if err != nil {
		return "", err
	}
	mark := t.hub.mark()
	if err := t.cut(ctx, old); err != nil {
		return "", err
	}
	gaveUp, waits, err := t.proposeInVain(ctx, mark, old, "lost=1", "lost=2")
	if err != nil {
		return "", err
	}
	e, err := t.elected(ctx, mark, term, t.without(old)...)
	if err != nil {
		return "", err
	}
	var index uint64
	for _, command := range []string{"kept=1", "kept=2"} {
		if index, err = t.done(ctx, e.Name, command); err != nil {
			return "", err
		}
	}
	unknown := <-gaveUp
	healed := t.hub.mark()
	if err := t.heal(ctx, t.names()...); err != nil {
		return "", err
	}
	list, err := t.equal(ctx, index)
	late := <-waits
	if err != nil {
		return "", err
	}
	lost := t.hub.since(mark).by(old).own("appended").ofTerm(term)
	// What it has done is asked for on another way than it tells it.
	since, err := t.hub.await(ctx, healed, old+" dropping what it took alone", func(s raftEvents) bool {
		return len(s.by(old).own("truncated")) > 0
	})
	truncated := since.by(old).own("truncated").last()
	return fmt.Sprintf("%s, leader of term %d, was cut off and took lost=1 and lost=2 into its log; alone it could commit neither. One caller was told: "+
			"unknown. The others elected %s in term %d and did kept=1 and kept=2. Back again %[1]s heard of term %[4]d, followed, and its log was put "+
			"right: %[5]s. The caller that had waited was told: %[6]s.", old, term, e.Name, e.Term, t.overwritten(old, truncated, lost), late.Fate),
		errors.Join(err, expect(unknown.err == nil && unknown.Fate == fateUnknown, "the first caller was told %+v", unknown),
			expect(late.err == nil && (late.Fate == fateSurelyNot || late.Fate == fateUnknown), "the second caller was told %+v", late),
			expect(len(lost) > 0 && truncated.First == lost[0].First && truncated.Last == lost.last().Last, "%s appended %v alone and dropped %v", old, lost, truncated),
			expect(!strings.Contains(strings.Join(commands(list), " "), "lost"), "what nobody had acknowledged was applied: %v", list),
			expect(len(t.hub.since(mark).by(old).own("committed").ofTerm(term)) == 0, "%s committed something alone", old))
}

// told is what a caller that waits beside the story comes to.
type told struct {
	commandFate
	err error
}

// proposeInVain has a leader that is cut off take two commands: the first caller gives up
// soon, the second waits for what becomes of it.
func (t *trio) proposeInVain(ctx context.Context, mark int, leader, first, second string) (gaveUp, waits <-chan told, err error) {
	var ends []<-chan told
	for i, patience := range []time.Duration{raftElection / 2, actTime / 2} {
		end := make(chan told, 1)
		go func() {
			f, err := t.propose(ctx, leader, []string{first, second}[i], patience)
			end <- told{f, err}
		}()
		ends = append(ends, end)
		if _, err := t.hub.await(ctx, mark, leader+" appending in vain", func(s raftEvents) bool {
			return len(s.by(leader).own("appended")) > i
		}); err != nil {
			return nil, nil, err
		}
	}
	return ends[0], ends[1], nil
}

// overwritten tells index by index what was dropped and what is there instead.
func (t *trio) overwritten(old string, truncated raftEvent, lost raftEvents) string {
	s := t.hub.since(0)
	var lines []string
	for i := truncated.First; i <= truncated.Last && i > 0; i++ {
		is := func(e raftEvent) bool { return e.covers(i) }
		was, now := lost.filter(is).last(), s.by(old).own("appended").filter(is).last()
		lines = append(lines, fmt.Sprintf("%d was of term %d (lost=%d), is of term %d (%s)", i, was.EntryTerm, i-truncated.First+1, now.EntryTerm,
			cmp.Or(t.asked[i], "the empty entry")))
	}
	return strings.Join(lines, "; ")
}

// judge holds everything that was seen against Figure 3.
func (t *trio) judge(ctx context.Context) (string, error) {
	list, err := t.equal(ctx, 0)
	if err != nil {
		return "", err
	}
	s := t.hub.since(0)
	leaders, votes, err := elections(s)
	entries, wrong := committedTerms(s)
	var lost []string
	for index, command := range t.asked {
		if !slices.Contains(list, listCommand{index, command}) {
			lost = append(lost, command)
		}
	}
	return fmt.Sprintf("%s events: %d terms with a leader, each with one; %d votes, one a replica and term; no leader dropped an entry; %d committed entries, each "+
			"of one term wherever it was; all %d commands that were told \"done\" are applied at their index by all three.",
			counted(uint64(len(s))), leaders, votes, entries, len(t.asked)),
		errors.Join(err, wrong, expect(len(lost) == 0, "acknowledged and lost: %v", lost), expect(leaders >= 4, "%d leaders", leaders))
}

// elections counts leaders and votes. It is an error that a term has two leaders, that a
// replica votes twice in one, or that a leader drops entries.
func elections(s raftEvents) (leaders, votes int, err error) {
	led, voted := map[uint64]string{}, map[string]string{}
	for _, e := range s {
		voter := fmt.Sprintf("%s in term %d", e.Name, e.Term)
		switch {
		case e.Direction == "self" && e.Kind == "leader":
			err = errors.Join(err, single(led, e.Term, e.Name, "term %v is led by %s and %s"))
		case e.Direction == "out" && e.Kind == "Vote" && !e.Refused:
			err = errors.Join(err, single(voted, voter, e.PeerName, "the vote of %v went to %s and %s"))
		case e.Direction == "self" && e.Kind == "candidate":
			err = errors.Join(err, single(voted, voter, e.Name, "the vote of %v went to %s and %s"))
		case e.Direction == "self" && e.Kind == "truncated":
			err = errors.Join(err, expect(e.PeerName != e.Name, "%s leads term %d and drops entries", e.Name, e.Term))
		}
	}
	return len(led), len(voted), err
}

// single notes who has something that only one may have.
func single[K comparable](owners map[K]string, what K, owner, format string) error {
	if other, ok := owners[what]; ok && other != owner {
		return expect(false, format, what, other, owner)
	}
	owners[what] = owner
	return nil
}

// committedTerms compares the terms of committed entries, as each replica has them, and
// counts them.
func committedTerms(s raftEvents) (int, error) {
	view, terms := newRaftView(), map[uint64]uint64{}
	var err error
	for _, e := range s {
		view.learn(e)
		if e.Direction != "self" || e.Kind != "committed" {
			continue
		}
		for i := e.First; i <= e.Last; i++ {
			term, known := view.of(e.Name).log[i]
			if !known {
				continue // it has it from a process before its events began
			}
			if other, ok := terms[i]; ok && other != term {
				err = errors.Join(err, expect(false, "entry %d is of term %d, at %s of term %d", i, other, e.Name, term))
			}
			terms[i] = term
		}
	}
	return len(terms), err
}
