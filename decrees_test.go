package synod

import (
	"context"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"math/rand/v2"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/synod-go/synod/actors/decree"
	"github.com/synod-go/synod/actors/proposer"
	"github.com/synod-go/synod/messages"
	"github.com/synod-go/synod/paxos"
)

// council is processes of one program, opened from one configuration.
type council struct {
	t     *testing.T
	ctx   context.Context
	local *LocalDecrees
	all   map[string]DecreesConfig
	by    map[string]*Decrees
}

func newCouncil(t *testing.T, acceptors ...string) *council {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	c := &council{t: t, ctx: ctx, local: NewLocalDecrees(), all: make(map[string]DecreesConfig), by: make(map[string]*Decrees)}
	for _, name := range acceptors {
		c.all[name] = DecreesConfig{Name: name, Acceptors: acceptors, Local: c.local}
	}
	t.Cleanup(func() {
		for _, d := range c.by {
			d.Close()
		}
	})
	return c
}

// apart makes a council whose acceptors do nothing else, with other processes that
// each have one role.
func apart(t *testing.T, change func(*DecreesConfig), roles map[string]Role) *council {
	c := newCouncil(t, "a1", "a2", "a3")
	for name, role := range roles {
		c.all[name] = DecreesConfig{Name: name, Acceptors: []string{"a1", "a2", "a3"}, Local: c.local, Roles: []Role{role}}
	}
	for name, config := range c.all {
		if len(config.Roles) == 0 {
			config.Roles = []Role{RoleAcceptor}
		}
		change(&config)
		c.all[name] = config
	}
	return c
}

func (c *council) open(names ...string) *council {
	c.t.Helper()
	for _, name := range names {
		d, err := OpenDecrees(c.ctx, c.all[name])
		if err != nil {
			c.t.Fatalf("open %s: %v", name, err)
		}
		c.by[name] = d
	}
	return c
}

func (c *council) openAll() *council {
	c.t.Helper()
	for name := range c.all {
		c.open(name)
	}
	return c
}

func (c *council) tamper(with tamper) { c.local.tamper.Store(&with) }

func (c *council) kill(name string) {
	c.local.Kill(name)
	delete(c.by, name)
}

func (c *council) decide(name, decree, value, want string) {
	c.t.Helper()
	got, err := c.by[name].Decide(c.ctx, decree, []byte(value))
	if err != nil || want != "" && string(got) != want {
		c.t.Fatalf("%s decides %s: %q, %v; want %q", name, decree, got, err, want)
	}
}

func (c *council) learn(name, decree, want string) {
	c.t.Helper()
	if got, err := c.by[name].Learn(c.ctx, decree); err != nil || string(got) != want {
		c.t.Fatalf("%s learns of %s: %q, %v; want %q", name, decree, got, err, want)
	}
}

// decideAtOnce has every proposer propose a value of its own for each decree, all at
// once, and checks that all that is chosen and learned of a decree is one value.
func (c *council) decideAtOnce(decrees int) {
	c.t.Helper()
	var all sync.WaitGroup
	for i := range decrees {
		var mu sync.Mutex
		values := make(map[string]string) // who chose or learned what
		name := fmt.Sprint("decree ", i)
		note := func(who string, value []byte, err error) {
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				c.t.Errorf("%s, %s: %v", name, who, err)
			}
			for other, had := range values {
				if had != string(value) {
					c.t.Errorf("%s: %s has %q, %s %q", name, who, value, other, had)
				}
			}
			values[who] = string(value)
		}
		for who, d := range c.by {
			if d.cfg.plays(RoleProposer) {
				all.Go(func() {
					value, err := d.Decide(c.ctx, name, []byte("of "+who))
					note(who+" proposing", value, err)
				})
			}
			if d.cfg.plays(RoleLearner) {
				all.Go(func() {
					value, err := d.Learn(c.ctx, name)
					note(who+" learning", value, err)
				})
			}
		}
	}
	all.Wait()
}

func TestEveryoneGetsTheOneValue(t *testing.T) {
	for _, names := range [][]string{{"a"}, {"a", "b", "c"}, {"a", "b", "c", "d", "e"}} {
		c := newCouncil(t, names...).openAll()
		c.decideAtOnce(20)
	}
}

func TestMessagesMayBeLostDoubledLateAndReordered(t *testing.T) {
	for seed := range uint64(3) {
		c := newCouncil(t, "a", "b", "c")
		var mu sync.Mutex
		random := rand.New(rand.NewPCG(seed, 0))
		c.tamper(func(_ *messages.DecreeMessage, send func()) {
			mu.Lock()
			fate, late := random.IntN(10), time.Duration(random.IntN(10))*time.Millisecond
			mu.Unlock()
			switch {
			case fate < 2: // lost
			case fate < 4: // doubled, the second one late
				send()
				time.AfterFunc(late, send)
			case fate < 7:
				time.AfterFunc(late, send)
			default:
				send()
			}
		})
		for name, config := range c.all {
			config.Retransmit = 20 * time.Millisecond
			c.all[name] = config
		}
		c.openAll()
		c.decideAtOnce(10)
		if t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
}

func TestDuellingProposersEnd(t *testing.T) { // P7
	c := newCouncil(t, "a", "b", "c", "d", "e")
	var nacks atomic.Int64
	for name, config := range c.all {
		config.Backoff = time.Millisecond
		c.all[name] = config
	}
	c.tamper(func(m *messages.DecreeMessage, send func()) {
		if m.GetNack() != nil {
			nacks.Add(1)
		}
		if m.GetPromise() != nil { // the more time between the phases, the more duels
			time.AfterFunc(2*time.Millisecond, send)
			return
		}
		send()
	})
	c.openAll()
	c.decideAtOnce(10)
	if nacks.Load() == 0 {
		t.Error("nobody was outbid: that was no duel")
	}
}

func TestOneRoundBeyondReasonCostsOneDecreeAlone(t *testing.T) {
	c := newCouncil(t, "a", "b", "c")
	digest, promised := make(chan uint64, 1), make(chan struct{}, 64)
	c.tamper(func(m *messages.DecreeMessage, send func()) {
		if m.GetAcceptors() != 0 { // it is about a decree
			select {
			case digest <- m.GetAcceptors():
			default:
			}
		}
		if m.GetDecree() == "x" && m.GetPromise() != nil {
			promised <- struct{}{}
		}
		send()
	})
	c.openAll()
	c.decide("b", "warm", "up", "up")
	evil, set := c.by["a"], <-digest
	ballot := paxos.Ballot{Round: paxos.MaxRound, Node: paxos.ID(evil.ID())}
	for _, name := range []string{"b", "c"} {
		o := decree.Outgoing{To: paxos.ID(c.by[name].ID()), Message: decree.Encode(paxos.Prepare{Ballot: ballot})}
		evil.send(o.To, o.Fill(paxos.ID(evil.ID()), "x", set).Message)
		select {
		case <-promised:
		case <-c.ctx.Done():
			t.Fatalf("%s promises nothing", name)
		}
	}
	if got, err := c.by["b"].Decide(c.ctx, "x", []byte("1")); !errors.Is(err, ErrNotChosen) || !errors.Is(err, proposer.ErrRefused) {
		t.Fatalf("beyond the last round b decides %q, %v", got, err)
	}
	c.decide("b", "y", "2", "2")
	c.kill("b")
	c.open("b")
	c.decide("b", "z", "3", "3")
}

func TestRolesMayLiveApart(t *testing.T) {
	c := apart(t, func(*DecreesConfig) {}, map[string]Role{
		"p1": RoleProposer, "p2": RoleProposer, "l1": RoleLearner, "l2": RoleLearner}).openAll()
	c.decideAtOnce(10)
	if _, err := c.by["a1"].Decide(c.ctx, "x", []byte("v")); !errors.Is(err, ErrRole) {
		t.Errorf("an acceptor alone decides: %v", err)
	}
	if _, err := c.by["p1"].Learn(c.ctx, "x"); !errors.Is(err, ErrRole) {
		t.Errorf("a proposer alone learns: %v", err)
	}
}

func TestEachLearnerSchemeSurvivesItsDistinguishedLearner(t *testing.T) { // L2, L4
	for _, scheme := range []LearnerScheme{AllLearners, OneLearner, SomeLearners} {
		t.Run(scheme.String(), func(t *testing.T) {
			c := apart(t, func(config *DecreesConfig) {
				config.Scheme, config.LearnTimeout = scheme, 50*time.Millisecond
				config.Distinguished = []string{"l1", "l2"}
			}, map[string]Role{"p": RoleProposer, "l1": RoleLearner, "l2": RoleLearner, "l3": RoleLearner}).openAll()
			c.decide("p", "x", "1", "1")
			for _, learner := range []string{"l1", "l2", "l3"} {
				c.learn(learner, "x", "1")
			}
			c.kill("l1")
			c.decide("p", "y", "2", "2")
			c.learn("l2", "y", "2")
			c.learn("l3", "y", "2")
			c.open("l1")
			c.learn("l1", "x", "1") // L6: from its disk
			c.learn("l1", "y", "2")
		})
	}
}

// L2: A*L, A+L, at most A*D+D*L: a distinguished learner that is told before it has
// counted tells nobody.
func TestTheSchemesSendWhatTheyCost(t *testing.T) {
	for scheme, want := range map[LearnerScheme][3]int{AllLearners: {9, 0, 0}, OneLearner: {3, 2, 2}, SomeLearners: {6, 2, 4}} {
		founded := make(chan struct{}, 16)
		c := apart(t, func(config *DecreesConfig) {
			config.Scheme, config.Distinguished, config.LearnTimeout = scheme, []string{"l1", "l2"}, time.Minute
			config.Event = func(e DecreeEvent) {
				if e.Role == RoleLearner && e.Kind == "founded" {
					founded <- struct{}{}
				}
			}
		}, map[string]Role{"p": RoleProposer, "l1": RoleLearner, "l2": RoleLearner, "l3": RoleLearner})
		var mu sync.Mutex
		var accepted, chosen int
		learners := make(map[uint64]bool)
		settled := make(chan struct{}, 32)
		c.tamper(func(m *messages.DecreeMessage, send func()) {
			mu.Lock()
			if learners[m.GetTo()] {
				switch m.GetBody().(type) {
				case *messages.DecreeMessage_Accepted:
					accepted++
				case *messages.DecreeMessage_Chosen:
					chosen++
				}
				if accepted >= want[0] && chosen >= want[1] {
					settled <- struct{}{}
				}
			}
			mu.Unlock()
			send()
		})
		c.openAll()
		for range 3 {
			<-founded
		}
		mu.Lock()
		for _, name := range []string{"l1", "l2", "l3"} {
			learners[c.by[name].ID()] = true
		}
		mu.Unlock()
		c.decide("p", "x", "1", "1")
		for _, learner := range []string{"l1", "l2", "l3"} {
			c.learn(learner, "x", "1")
		}
		select {
		case <-settled:
		case <-c.ctx.Done():
		}
		mu.Lock()
		if accepted != want[0] || chosen < want[1] || chosen > want[2] {
			t.Errorf("scheme %v: %d accepted and %d chosen reached the learners, want %v", scheme, accepted, chosen, want)
		}
		mu.Unlock()
	}
}

func TestAnAcceptorRemembersItsVoteThroughAPowerCut(t *testing.T) { // A4, B6, B7
	c := newCouncil(t, "a", "b", "c").openAll()
	c.decide("a", "warm", "up", "up") // founds the acceptors
	c.local.Cut("a", "c")
	c.local.Cut("b", "c")
	c.decide("a", "x", "old", "old") // a and b have voted
	c.kill("a")
	c.kill("b")
	c.open("b")
	c.local.Heal()
	c.decide("c", "x", "new", "old")
}

func TestEverythingIsThereAfterAPowerCutOfAll(t *testing.T) {
	c := newCouncil(t, "a", "b", "c").openAll()
	c.decide("a", "x", "1", "1")
	before := lastBallot(t, c.by["a"])
	for _, name := range []string{"a", "b", "c"} {
		c.learn(name, "x", "1")
	}
	for _, name := range []string{"a", "b", "c"} {
		c.kill(name)
	}
	c.openAll()
	c.learn("b", "x", "1")
	c.decide("a", "x", "2", "1")
	c.decide("a", "y", "2", "2")
	for _, e := range c.by["a"].Recording() { // P2, B3
		if e.Role == RoleProposer && e.Kind == "prepare" && !before.Less(e.Ballot) {
			t.Errorf("ballot %v after the restart, %v was used before it", e.Ballot, before)
		}
	}
}

// lastBallot is the highest that the process has prepared.
func lastBallot(t *testing.T, d *Decrees) (last paxos.Ballot) {
	t.Helper()
	for _, e := range d.Recording() {
		if e.Role == RoleProposer && e.Kind == "prepare" && last.Less(e.Ballot) {
			last = e.Ballot
		}
	}
	if last.IsZero() {
		t.Fatalf("%s has prepared nothing", d.Name())
	}
	return last
}

func TestACrashedActorIsRestartedAndRecovers(t *testing.T) {
	c := newCouncil(t, "a", "b", "c")
	recovered := make(chan Role, 64)
	for name, config := range c.all {
		config.Event = func(e DecreeEvent) {
			if e.Kind == "recovered" {
				recovered <- e.Role
			}
		}
		c.all[name] = config
	}
	c.openAll()
	c.decide("a", "x", "1", "1")
	for _, d := range c.by {
		d.acceptor.Do(func() { panic("planted") })
		d.proposer.Do(func() { panic("planted") })
		d.learner.Do(func() { panic("planted") })
	}
	_, err := c.by["b"].Decide(c.ctx, "x", []byte("2"))
	for errors.Is(err, ErrUnknownOutcome) && errors.Is(err, decree.ErrRestarted) { // it was lost in the panic
		_, err = c.by["b"].Decide(c.ctx, "x", []byte("2"))
	}
	c.decide("b", "x", "2", "1")
	c.decide("b", "y", "2", "2")
	c.learn("c", "y", "2")
	for n := range 18 { // each role of each process, at the start and after the panic
		select {
		case <-recovered:
		case <-c.ctx.Done():
			t.Fatalf("%d recoveries, want 18", n)
		}
	}
}

func TestALostDiskNeverVotes(t *testing.T) { // B18, B19
	c := newCouncil(t, "a", "b", "c").openAll()
	c.decide("a", "x", "1", "1")
	c.kill("c")
	c.kill("b")
	c.local.LoseDisk("c")
	c.open("c")
	ctx, cancel := context.WithTimeout(c.ctx, 500*time.Millisecond)
	defer cancel()
	if got, err := c.by["a"].Decide(ctx, "y", []byte("2")); err == nil {
		t.Fatalf("a alone, beside a new disk, decides %q", got)
	}
	if _, err := c.by["c"].Decide(ctx, "y", []byte("3")); !errors.Is(err, ErrNotChosen) && !errors.Is(err, ErrUnknownOutcome) {
		t.Fatalf("the new disk decides: %v", err)
	}
	c.open("b")
	c.decide("a", "y", "2", "2")
	c.decide("c", "y", "3", "2") // as a proposer it goes on, with the set that it has learned
	for _, e := range c.by["c"].Recording() {
		if e.Role == RoleAcceptor && (e.Kind == "promise" || e.Kind == "accepted" || e.Kind == "nack") && !e.Received {
			t.Errorf("the new disk votes: %v", e)
		}
	}
}

func TestTwoValuesUnderOneBallotAreRefusedAndReported(t *testing.T) { // A3
	c := newCouncil(t, "a", "b", "c").openAll()
	c.decide("a", "warm", "up", "up")
	evil, honest := c.by["a"], c.by["b"]
	reported := make(chan DecreeEvent, 64)
	digest := make(chan uint64, 1)
	c.tamper(func(m *messages.DecreeMessage, send func()) {
		if m.GetAcceptors() != 0 {
			select {
			case digest <- m.GetAcceptors():
			default:
			}
		}
		if m.GetFrom() == honest.ID() {
			reported <- decree.Message(RoleAcceptor, m, false)
		}
		send()
	})
	c.decide("a", "probe", "1", "1")
	set := <-digest
	ballot := paxos.Ballot{Round: 1 << 40, Node: paxos.ID(evil.ID())}
	for _, value := range []string{"one", "two"} {
		o := decree.Outgoing{To: paxos.ID(honest.ID()), Message: decree.Encode(paxos.Accept{Ballot: ballot, Value: paxos.Value(value)})}
		evil.send(o.To, o.Fill(paxos.ID(evil.ID()), "x", set).Message)
	}
	var answers []string
	for len(answers) == 0 || answers[len(answers)-1] != "nack" {
		select {
		case e := <-reported:
			if e.Decree == "x" && e.Ballot == ballot && e.To == paxos.ID(evil.ID()) {
				answers = append(answers, e.Kind)
			}
		case <-c.ctx.Done():
			t.Fatalf("b answers %v, want accepted and then nack", answers)
		}
	}
	if answers[0] != "accepted" {
		t.Fatalf("b answers %v, want accepted first", answers)
	}
	if !slices.ContainsFunc(honest.Recording(), func(e DecreeEvent) bool {
		return e.Kind == "alarm" && e.Decree == "x" && e.Note == paxos.TwoValues.String() && e.FromName == "a"
	}) {
		t.Errorf("no alarm in b's recording: %v", honest.Recording())
	}
}

func TestAnAcceptorRefusesWhatIsTooMuch(t *testing.T) {
	c := newCouncil(t, "a", "b", "c")
	for name, config := range c.all {
		config.MaxDecrees, config.MaxValueBytes = 2, 8
		c.all[name] = config
	}
	c.openAll()
	c.decide("a", "x", "1", "1")
	c.decide("b", "y", "2", "2")
	_, err := c.by["a"].Decide(c.ctx, "z", []byte("3"))
	if !errors.Is(err, ErrNotChosen) || !strings.Contains(err.Error(), "as many decrees as it may") {
		t.Fatalf("a third decree: %v", err)
	}
	c.decide("c", "x", "3", "1") // those that are there go on
	if _, err := c.by["a"].Decide(c.ctx, "x", []byte("123456789")); !errors.Is(err, ErrTooLarge) {
		t.Fatalf("a value that is too large: %v", err)
	}
	for _, name := range []string{"", "\xff", strings.Repeat("x", 256)} {
		if _, err := c.by["a"].Decide(c.ctx, name, []byte("1")); !errors.Is(err, ErrNotChosen) {
			t.Fatalf("a decree named %q: %v", name, err)
		}
		if _, err := c.by["a"].Learn(c.ctx, name); !errors.Is(err, ErrNotLearned) {
			t.Fatalf("learned of a decree named %q: %v", name, err)
		}
	}
}

func TestWithoutAllAcceptorsNothingBeginsAndTheErrorNamesWhoIsMissing(t *testing.T) {
	c := newCouncil(t, "a", "b", "c").open("a", "b")
	ctx, cancel := context.WithTimeout(c.ctx, 300*time.Millisecond)
	defer cancel()
	if _, err := c.by["a"].Decide(ctx, "x", []byte("1")); !errors.Is(err, ErrNotChosen) || !strings.Contains(err.Error(), "c is not known") {
		t.Fatalf("decided without c: %v", err)
	}
	if _, err := c.by["b"].Learn(ctx, "x"); !errors.Is(err, ErrNotLearned) || !strings.Contains(err.Error(), "c is not known") {
		t.Fatalf("learned without c: %v", err)
	}
	c.open("c")
	c.decide("a", "x", "1", "1")
}

func TestAnAcceptorOfOtherNamesIsNoneOfThese(t *testing.T) {
	c := newCouncil(t, "a", "b", "c")
	c.all["c"] = DecreesConfig{Name: "c", Acceptors: []string{"a", "b", "c", "d", "e"}, Local: c.local}
	c.openAll()
	for deadline := time.Now().Add(30 * time.Second); ; { // until it is heard of
		ctx, cancel := context.WithTimeout(c.ctx, 500*time.Millisecond)
		_, err := c.by["a"].Decide(ctx, "x", []byte("1"))
		cancel()
		if errors.Is(err, ErrNotChosen) && strings.Contains(err.Error(), "c configured with other acceptors") {
			break
		}
		if err == nil || time.Now().After(deadline) {
			t.Fatalf("decided with an acceptor of another council: %v", err)
		}
	}
}

func TestADistinguishedProposerIsLeftTheValuesUntilItDies(t *testing.T) { // P8
	c := apart(t, func(config *DecreesConfig) { config.Proposer = "p1" },
		map[string]Role{"p1": RoleProposer, "p2": RoleProposer}).openAll()
	c.decide("p2", "x", "1", "1")
	for _, e := range c.by["p2"].Recording() {
		if e.Kind == "prepare" {
			t.Errorf("p2 proposes beside the distinguished proposer: %v", e)
		}
	}
	c.kill("p1")
	c.decide("p2", "y", "2", "2")
}

func TestWhatIsUnderWayWhenTheProcessEndsIsUnknownOrSurelyNot(t *testing.T) { // P10
	c := newCouncil(t, "a", "b", "c").openAll()
	c.decide("a", "warm", "up", "up")
	c.local.Cut("a", "b")
	c.local.Cut("a", "c")
	ended := make(chan error, 1)
	started := make(chan struct{}, 1)
	c.tamper(func(m *messages.DecreeMessage, send func()) {
		if m.GetDecree() == "x" {
			select {
			case started <- struct{}{}:
			default:
			}
		}
		send()
	})
	go func() {
		_, err := c.by["a"].Decide(c.ctx, "x", []byte("1"))
		ended <- err
	}()
	<-started
	c.by["a"].Close()
	if err := <-ended; !errors.Is(err, ErrUnknownOutcome) || !errors.Is(err, ErrStopped) {
		t.Fatalf("the call under way ends with %v", err)
	}
	if _, err := c.by["a"].Decide(c.ctx, "x", []byte("1")); !errors.Is(err, ErrNotChosen) || !errors.Is(err, ErrStopped) {
		t.Fatalf("a call after the end: %v", err)
	}
}

func TestProcessesFindEachOtherByGossip(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	names := []string{"a", "b", "c"}
	var seeds []string
	var processes []*Decrees
	dirs := make(map[string]string)
	open := func(name string) *Decrees {
		listen := Addresses{Link: freeAddress(t), Gossip: freeAddress(t)}
		d, err := OpenDecrees(ctx, DecreesConfig{Name: name, ClusterName: "decrees", Acceptors: names, Data: dirs[name], Join: seeds, Listen: listen})
		if err != nil {
			t.Fatal(err)
		}
		seeds = append(seeds, listen.Gossip)
		return d
	}
	for _, name := range names {
		dirs[name] = t.TempDir()
		processes = append(processes, open(name))
	}
	defer func() {
		for _, d := range processes {
			d.Close()
		}
	}()
	if got, err := processes[0].Decide(ctx, "x", []byte("1")); err != nil || string(got) != "1" {
		t.Fatalf("a decides %q, %v", got, err)
	}
	if got, err := processes[2].Learn(ctx, "x"); err != nil || string(got) != "1" {
		t.Fatalf("c learns %q, %v", got, err)
	}
	processes[1].Close()
	processes[1] = open("b") // at another address
	if got, err := processes[1].Decide(ctx, "x", []byte("2")); err != nil || string(got) != "1" {
		t.Fatalf("b decides %q, %v", got, err)
	}
}

// freeAddress is of a port that was free a moment ago.
func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

func TestDecreesConfigSaysWhatIsWrong(t *testing.T) {
	for wrong, config := range map[string]DecreesConfig{
		"Acceptors has":       {Name: "a", Acceptors: []string{"a", "b"}},
		"names one twice":     {Name: "a", Acceptors: []string{"a", "b", "b"}},
		"Roles":               {Name: "a", Acceptors: []string{"a"}, Roles: []Role{RoleLearner}},
		"needs Distinguished": {Name: "a", Acceptors: []string{"a"}, Scheme: OneLearner},
		"Config.Name":         {Acceptors: []string{"a"}},
		"no role":             {Name: "b", Acceptors: []string{"a"}, Roles: []Role{"king"}},
		"not loopback":        {Name: "a", Acceptors: []string{"a"}, Listen: Addresses{Link: "192.0.2.1:1"}},
	} {
		if d, err := OpenDecrees(t.Context(), config); err == nil || !strings.Contains(err.Error(), wrong) {
			t.Errorf("%+v: %v, %v; want an error about %q", config, d, err, wrong)
		}
	}
}

func TestTheExampleOfDecreesHasAtMost25Lines(t *testing.T) {
	files := token.NewFileSet()
	file, err := parser.ParseFile(files, "example_decrees_test.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	for _, declared := range file.Decls {
		if f, ok := declared.(*ast.FuncDecl); ok && strings.HasPrefix(f.Name.Name, "Example") {
			if lines := files.Position(f.End()).Line - files.Position(f.Pos()).Line + 1; lines > 25 {
				t.Errorf("%s has %d lines", f.Name.Name, lines)
			}
		}
	}
}
