package paxos

import (
	"math/rand/v2"
	"slices"
)

// ProposerConfig of a Proposer. The zero value of each field but ID and Quorums
// means its default. Durations are on the host's clock, in nanoseconds.
type ProposerConfig struct {
	// ID of this node. Required.
	ID ID
	// Quorums of the decree's acceptors. Required.
	Quorums Quorums
	// Round is the last Output.SaveRound that may have become durable: no round
	// up to it is used again (P2). Default 0, for a node that never proposed.
	Round uint64
	// ReserveRounds is how many rounds one SaveRound reserves. Default 64.
	ReserveRounds uint64
	// Retransmit is how long an acceptor may be silent before it is asked again.
	// Default 100 ms.
	Retransmit Time
	// Backoff is the base of the random delay after an attempt that was outbid:
	// from [0, Backoff*2^n) after n attempts, at most MaxBackoff (P7). Twice what
	// a round trip and a flush take in bad times. Defaults 20 ms and 2 s.
	Backoff    Time
	MaxBackoff Time
	// HoldBack is how long the distinguished proposer may leave a forwarded value
	// unanswered before this one proposes it itself. Default 1 s.
	HoldBack Time
	// MaxValueBytes bounds a value. The same at all nodes. Default 1 MiB.
	MaxValueBytes int
	// Rand is the source of the delays. Default: seeded from ID.
	Rand *rand.Rand
}

func (c ProposerConfig) withDefaults() ProposerConfig {
	def(&c.ReserveRounds, 64)
	def(&c.Retransmit, 100*millisecond)
	def(&c.Backoff, 20*millisecond)
	def(&c.MaxBackoff, max(2000*millisecond, c.Backoff))
	def(&c.HoldBack, 1000*millisecond)
	def(&c.MaxValueBytes, defaultMaxValueBytes)
	if c.Rand == nil {
		c.Rand = rand.New(rand.NewPCG(uint64(c.ID), 0))
	}
	return c
}

func (c ProposerConfig) check() error {
	switch {
	case c.ID == None:
		return &ConfigError{"ID", "is missing"}
	case len(c.Quorums.acceptors) == 0:
		return &ConfigError{"Quorums", "is missing"}
	case c.Round > MaxRound:
		return &ConfigError{"Round", "is beyond MaxRound"}
	case c.ReserveRounds > 1<<32:
		return &ConfigError{"ReserveRounds", "is more than 2^32"}
	case !sane(c.Retransmit):
		return &ConfigError{"Retransmit", "is not within (0, 100 days]"}
	case !sane(c.Backoff) || !sane(c.MaxBackoff) || c.MaxBackoff < c.Backoff:
		return &ConfigError{"Backoff", "is not within (0, MaxBackoff], or MaxBackoff is more than 100 days"}
	case !sane(c.HoldBack):
		return &ConfigError{"HoldBack", "is not within (0, 100 days]"}
	case c.MaxValueBytes < 0:
		return &ConfigError{"MaxValueBytes", "is negative"}
	}
	return nil
}

// phase is what a proposer is doing.
type phase uint8

const (
	idle       phase = iota // nothing is wanted of it, or it knows the chosen value
	forwarding              // the distinguished proposer has the value
	preparing               // phase 1: Prepare is sent
	accepting               // phase 2: Accept is sent
	backingOff              // outbid; the next attempt begins at deadline
)

// call is what the caller waits for.
type call uint8

const (
	noCall call = iota
	proposeCall
	finishCall
)

// maxAsking bounds the nodes that wait for the chosen value; the rest asks again.
const maxAsking = 256

// Proposer tries to get a value chosen. All methods are called from one
// goroutine; now is read from the host's clock before each.
type Proposer struct {
	cfg ProposerConfig
	// used is the last round of this proposer, reserved the last one it may use
	// without another save, seen the highest round it has met.
	used, reserved, seen uint64

	call   call
	own    Value // of the caller
	sent   bool  // own has left this node, so it may be chosen
	handed Value // by another proposer, because this one is distinguished
	asking []ID  // who is told the chosen value, in order of asking

	phase    phase
	deadline Time // unless idle
	ballot   Ballot
	answered set  // has promised or voted in this phase
	refused  set  // has promised a higher ballot, or does not vote
	found    Vote // the highest reported by a promise of this ballot
	value    Value
	outbid   int  // attempts in sequence
	fresh    bool // the attempt was begun after Finish was called

	distinguished ID
	patience      Time // forwarding ends then
	impatient     bool // it has ended so
	chosen        Vote
}

// NewProposer starts a proposer; it returns a *ConfigError. After a restart the
// host proposes again what it still wants.
func NewProposer(cfg ProposerConfig) (*Proposer, error) {
	cfg = cfg.withDefaults()
	if err := cfg.check(); err != nil {
		return nil, err
	}
	return &Proposer{cfg: cfg, used: cfg.Round, reserved: cfg.Round, deadline: never}, nil
}

// Propose asks for value to be chosen. The Result comes with this or a later
// Output, unless the proposer crashes: then the value's fate is unknown. It
// returns ErrBusy, ErrNoValue or ErrTooLarge.
func (p *Proposer) Propose(now Time, value Value) (Output, error) {
	switch {
	case p.call != noCall:
		return Output{}, ErrBusy
	case len(value) == 0:
		return Output{}, ErrNoValue
	case len(value) > p.cfg.MaxValueBytes:
		return Output{}, ErrTooLarge
	}
	p.own, p.sent = value, p.phase == accepting && value.equal(p.value)
	return p.begin(now, proposeCall), nil
}

// Finish asks what is chosen: it completes whatever an acceptor of a quorum has
// voted for, and is Undecided if none has (L5). That answer is true of a moment
// after the call; a value may be chosen since. It returns ErrBusy.
func (p *Proposer) Finish(now Time) (Output, error) {
	if p.call != noCall {
		return Output{}, ErrBusy
	}
	p.fresh = false
	return p.begin(now, finishCall), nil
}

func (p *Proposer) begin(now Time, c call) Output {
	var out Output
	p.call = c
	switch {
	case !p.chosen.IsZero():
		p.end(&out, p.fate())
	case p.phase == idle:
		p.attempt(&out, now)
	}
	return out
}

// GiveUp ends the caller's Propose or Finish: SurelyNot if the value has never
// left this node, Unknown otherwise. Nothing happens if there is none.
func (p *Proposer) GiveUp(now Time) Output {
	var out Output
	if p.call == noCall {
		return out
	}
	p.end(&out, p.fate())
	if p.phase == forwarding || p.phase != idle && len(p.handed) == 0 && len(p.asking) == 0 {
		p.rest()
	}
	return out
}

// Distinguish says which proposer should propose: the others forward to it (P8).
// None lets everyone propose. It is a hint: no two nodes need the same.
func (p *Proposer) Distinguish(now Time, id ID) Output {
	var out Output
	if id == p.distinguished {
		return out
	}
	p.distinguished, p.impatient = id, false
	if p.phase == forwarding {
		p.attempt(&out, now)
	}
	return out
}

// Deadline is when Tick is to be called next, if nothing happens before.
func (p *Proposer) Deadline() Time { return p.deadline }

// Chosen returns the chosen value, if this proposer knows it.
func (p *Proposer) Chosen() (Value, bool) { return p.chosen.Value, !p.chosen.IsZero() }

// Ballot returns that of the last attempt, zero before the first.
func (p *Proposer) Ballot() Ballot { return p.ballot }

// Tick lets time pass.
func (p *Proposer) Tick(now Time) Output {
	var out Output
	switch {
	case now < p.deadline:
	case p.phase == preparing || p.phase == accepting:
		p.remind(&out, now)
	case p.phase == forwarding && now < p.patience:
		p.hand(&out, now)
	default:
		p.impatient = p.impatient || p.phase == forwarding
		p.attempt(&out, now)
	}
	return out
}

// Step takes a message. What is not for a proposer is ignored.
func (p *Proposer) Step(now Time, from ID, m Message) Output {
	var out Output
	switch m := m.(type) {
	case Promise:
		p.onPromise(&out, now, from, m)
	case Accepted:
		p.onAccepted(&out, from, m)
	case Nack:
		p.onNack(now, from, m)
	case Chosen:
		p.onChosen(&out, from, m)
	case Propose:
		p.onPropose(&out, now, from, m)
	case Finish:
		p.onFinish(&out, now, from)
	case Ask:
		if !p.chosen.IsZero() {
			out.send(from, Chosen(p.chosen))
		}
	}
	return out
}

// onPropose makes another proposer's value this one's, if it has none from
// another yet. It is not forwarded again, whoever is distinguished by now: two
// proposers might send it to and fro.
func (p *Proposer) onPropose(out *Output, now Time, from ID, m Propose) {
	if len(m.Value) == 0 || len(m.Value) > p.cfg.MaxValueBytes || !p.await(out, from) {
		return
	}
	if len(p.handed) == 0 {
		p.handed = m.Value
	}
	if p.phase == idle || p.phase == forwarding {
		p.attempt(out, now)
	}
}

// onFinish runs a round for a learner that waits (L4), unless one is under way.
func (p *Proposer) onFinish(out *Output, now Time, from ID) {
	if p.await(out, from) && p.phase == idle {
		p.attempt(out, now)
	}
}

// await reports whether from has to wait for the chosen value. If it is known,
// from is told.
func (p *Proposer) await(out *Output, from ID) bool {
	if !p.chosen.IsZero() {
		out.send(from, Chosen(p.chosen))
		return false
	}
	if slices.Contains(p.asking, from) {
		return true
	}
	if len(p.asking) == maxAsking {
		return false
	}
	p.asking = append(p.asking, from)
	return true
}
