package chaos

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

// Sessions of contenders.
const (
	sessionTimeout = 3 * time.Second
	sessionLinger  = 500 * time.Millisecond
)

// The times within which the next one must have been let in.
const (
	afterDeath   = time.Second // its connection was closed
	afterSilence = sessionTimeout + time.Second
	// afterBoth: a new leader of the cluster gives every session its whole timeout.
	afterBoth = afterSilence + 2*time.Second
)

// Where a contest takes place in the tree.
const (
	contestRoot   = "contest"
	contestQueue  = contestRoot + "/queue"
	contestTarget = contestRoot + "/target"
	contestMarker = contestRoot + "/marker/"
)

// ContestConfig is a run in which processes compete for a lock, or to lead.
type ContestConfig struct {
	RunConfig
	Election   bool
	Contenders int           // default 4
	Held       time.Duration // how long about one holds, default 2 s
}

// Contest is one such run. The clients of an ordinary run go on beside it.
type Contest struct {
	*Run
	config     ContestConfig
	guarded    *Guarded
	contenders []*Speaker
	observers  []*Speaker
	view       *contestView
	stop       context.CancelFunc // of the meter
	harms      []Harm
	nodes      []Harm                        // what was done to nodes
	next       map[FaultKind][]time.Duration // from a harm to the next one's being let in
	counts     ContestReport
	markers    int
	begin      string
	term       uint64 // before the newest harm
}

// Speaker is the process of a contender or an observer.
type Speaker struct {
	SpeakerConfig
	guest   int // its network, -1: it sits at the switch
	process *Process
}

// ExecuteContest starts a cluster and contenders, carries out the plan of the seed
// and judges what all have said.
func ExecuteContest(ctx context.Context, config ContestConfig) (Report, error) {
	if config.Contenders == 0 {
		config.Contenders = 4
	}
	if config.Held == 0 {
		config.Held = 2 * time.Second
	}
	if config.Cluster.Separate {
		config.Cluster.Guests = config.Contenders
	}
	r, err := begin(ctx, config.RunConfig)
	if err != nil {
		return Report{}, err
	}
	c := &Contest{Run: r, config: config, next: make(map[FaultKind][]time.Duration)}
	defer c.kill()
	if err := c.start(ctx); err != nil {
		r.workload.Stop()
		return Report{}, errors.Join(err, r.cluster.Close())
	}
	for _, fault := range MakePlan(r.config.Seed, r.config.Mix, r.config.Cycles) {
		if r.config.Limit > 0 && time.Since(r.report.Time) > r.config.Limit {
			break
		}
		if err := r.cycle(ctx, fault, c.inject); err != nil {
			r.fail("cycle %d (%v): %v", r.report.Cycles, fault, err)
			break
		}
	}
	if err := c.end(ctx); err != nil {
		r.fail("end of the contest: %v", err)
	}
	c.judge()
	return r.finish(ctx)
}

// start starts the guarded store, then the observers, and when these look on, the
// contenders.
func (c *Contest) start(ctx context.Context) (err error) {
	if c.guarded, err = StartGuarded(filepath.Join(c.cluster.config.Dir, "guarded"), nil); err != nil {
		return err
	}
	c.view = newContestView(c.guarded)
	ctx, c.stop = context.WithCancel(ctx)
	go c.meter(ctx)
	roles := []string{roleWatch, roleSessionWatch}
	if c.config.Election {
		roles = append(roles, roleObserve)
	}
	for n, role := range roles {
		// The observers' sessions outlive every fault.
		s := &Speaker{SpeakerConfig: c.speaker(role, strings.ReplaceAll(role, " ", "-"), n+1), guest: -1}
		s.Timeout, s.Linger = time.Minute, time.Minute
		c.observers = append(c.observers, s)
	}
	role := roleLock
	if c.config.Election {
		role = roleElect
	}
	for n := range c.config.Contenders {
		s := &Speaker{SpeakerConfig: c.speaker(role, fmt.Sprintf("c%d", n+1), n), guest: -1}
		if c.cluster.Network != nil {
			s.guest = len(c.cluster.Nodes) + n
		}
		c.contenders = append(c.contenders, s)
	}
	for _, s := range c.observers {
		if err := c.launch(s); err != nil {
			return err
		}
	}
	if err := c.awaitObservers(ctx); err != nil {
		return err
	}
	for _, s := range c.contenders {
		if err := c.launch(s); err != nil {
			return err
		}
	}
	return nil
}

// speaker is what a contender or observer is told. Each asks another node first.
func (c *Contest) speaker(role, name string, first int) SpeakerConfig {
	addresses := c.cluster.all()
	first %= len(addresses)
	return SpeakerConfig{
		Name: name, Role: role, Socket: c.guarded.Path, Addresses: slices.Concat(addresses[first:], addresses[:first]),
		Path: contestQueue, Target: contestTarget, Watch: contestRoot,
		Timeout: sessionTimeout, Linger: sessionLinger, Held: c.config.Held, Seed: c.Run.config.Seed + uint64(first),
	}
}

// launch starts the process of a speaker.
func (c *Contest) launch(s *Speaker) error {
	text, err := json.Marshal(s.SpeakerConfig)
	if err != nil {
		return fmt.Errorf("chaos: encode %s: %w", s.Name, err)
	}
	self, err := os.Executable()
	if err != nil {
		return fmt.Errorf("chaos: find own program: %w", err)
	}
	var space *os.File
	if s.guest >= 0 {
		space = c.cluster.Network.Space(s.guest)
	}
	log := filepath.Join(c.cluster.config.Dir, s.Name+".log")
	s.process, err = StartProcess(c.cluster.config.Host, space, s.Name, log, []string{"env", speakerEnvironment + "=" + string(text), self})
	return err
}

// mark writes a key that all observers are to be told of.
func (c *Contest) mark(ctx context.Context) (key string, err error) {
	leader, err := c.cluster.WaitLeader(ctx, recoverLimit)
	if err != nil {
		return "", err
	}
	err = poll(recoverLimit, func() error {
		limited, cancel := context.WithTimeout(ctx, requestLimit)
		defer cancel()
		c.markers++
		o := Operation{Kind: Put, Key: fmt.Sprint(contestMarker, c.markers), Value: "m"}
		c.cluster.HTTP.Do(limited, c.cluster.Nodes[leader].API, &o)
		if key = o.Key; o.Outcome != Done {
			return fmt.Errorf("chaos: %v", &o)
		}
		return nil
	})
	return key, err
}

// awaitObservers writes markers until one has come to all who watch.
func (c *Contest) awaitObservers(ctx context.Context) error {
	deadline := time.Now().Add(recoverLimit)
	for time.Now().Before(deadline) {
		key, err := c.mark(ctx)
		if err != nil {
			return err
		}
		c.begin = key
		if c.awaitMarker(key, time.Second) == nil {
			return nil
		}
	}
	return fmt.Errorf("chaos: the observers were told nothing in %v", recoverLimit)
}

// awaitMarker waits until all observers have been told of key, or of a leader.
func (c *Contest) awaitMarker(key string, limit time.Duration) error {
	return c.view.await(limit, func(v *contestView) error {
		for _, s := range c.observers {
			if !v.told[s.Name][key] && s.Role != roleObserve || v.lines[s.Name] == 0 {
				return fmt.Errorf("chaos: %s was not told of %s", s.Name, key)
			}
		}
		return nil
	})
}

// end waits until all is calm, ends the contenders, one half of them by force, and looks
// at what they leave behind.
func (c *Contest) end(ctx context.Context) error {
	if err := c.await(ctx, afterBoth, "a key for each contender", c.oneKeyEach); err != nil {
		return err
	}
	for n, s := range c.contenders {
		if n%2 == 0 {
			s.process.Signal(syscall.SIGTERM)
		} else {
			s.process.Signal(syscall.SIGKILL)
		}
	}
	for n, s := range c.contenders {
		if code, err := s.process.Ended(2*lateCall + time.Second); err != nil || n%2 == 0 && code != 0 {
			return fmt.Errorf("chaos: %s was asked to end: code %d, %w, see %s", s.Name, code, err, s.process.Log)
		}
	}
	// A leader that has just changed gives each session its whole time.
	if err := c.await(ctx, afterBoth, "an empty queue", c.noKeys); err != nil {
		return err
	}
	key, err := c.mark(ctx)
	if err != nil {
		return err
	}
	if err := c.awaitMarker(key, recoverLimit); err != nil {
		return err
	}
	for _, s := range c.observers {
		s.process.Signal(syscall.SIGTERM)
	}
	for _, s := range c.observers {
		if code, err := s.process.Ended(2*lateCall + time.Second); err != nil || code != 0 {
			return fmt.Errorf("chaos: %s was asked to end: code %d, %w, see %s", s.Name, code, err, s.process.Log)
		}
	}
	return c.await(ctx, afterBoth, "no session", c.noSessions)
}

// await polls a state of the tree.
func (c *Contest) await(ctx context.Context, limit time.Duration, what string, look func(context.Context) error) error {
	began := Now()
	err := poll(limit, func() error { return look(ctx) })
	c.logf("%s after %v", what, (Now() - began).Round(time.Millisecond))
	if err != nil {
		return fmt.Errorf("chaos: %s: %w", what, err)
	}
	return nil
}

// queue returns the values of all keys in the queue, as some node has them now.
func (c *Contest) queue(ctx context.Context) (values []string, err error) {
	limited, cancel := context.WithTimeout(ctx, requestLimit)
	defer cancel()
	list, err := c.cluster.HTTP.List(limited, c.cluster.Nodes[0].API, contestQueue, LevelLinearizable)
	if err != nil && !strings.Contains(err.Error(), "E-NOTFOUND") {
		return nil, err
	}
	for _, e := range list.Entries {
		values = append(values, e.Value)
	}
	slices.Sort(values)
	return values, nil
}

func (c *Contest) oneKeyEach(ctx context.Context) error {
	var want []string
	for _, s := range c.contenders {
		want = append(want, s.Name)
	}
	return c.keys(ctx, want)
}

func (c *Contest) noKeys(ctx context.Context) error { return c.keys(ctx, nil) }

func (c *Contest) keys(ctx context.Context, want []string) error {
	values, err := c.queue(ctx)
	if err == nil && !slices.Equal(values, want) {
		err = fmt.Errorf("chaos: keys of %v stand in the queue, not of %v", values, want)
	}
	return err
}

func (c *Contest) noSessions(ctx context.Context) error {
	limited, cancel := context.WithTimeout(ctx, requestLimit)
	defer cancel()
	var list struct {
		Sessions []json.RawMessage `json:"sessions"`
	}
	if err := c.cluster.HTTP.JSON(limited, c.cluster.Nodes[0].API, "/v1/sessions", &list); err != nil {
		return err
	}
	if len(list.Sessions) > 0 {
		return fmt.Errorf("chaos: sessions are left: %s", list.Sessions)
	}
	return nil
}

// kill ends what is left of the speakers.
func (c *Contest) kill() {
	for _, s := range slices.Concat(c.contenders, c.observers) {
		if s.process != nil {
			s.process.Kill()
		}
	}
	if c.guarded != nil {
		c.stop()
		if err := c.guarded.Close(); err != nil {
			c.logf("%v", err)
		}
	}
}
