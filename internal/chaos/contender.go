package chaos

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"os/signal"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/synod-go/synod/api"
	"github.com/synod-go/synod/recipes"
)

// speakerEnvironment makes a process of this program a contender or an observer.
const speakerEnvironment = "SYNOD_CHAOS_SPEAKER"

// SpeakerConfig says what a contender or an observer does.
type SpeakerConfig struct {
	Name      string
	Role      string // one of the roles below
	Socket    string // of the guarded store
	Addresses []string
	Path      string // of the lock or the election
	Target    string // the key that contenders write in transactions
	Watch     string // what observers watch, with all below it
	Timeout   time.Duration
	Linger    time.Duration
	// Held is how long a contender holds about, until it gives the lock back.
	Held time.Duration
	Seed uint64
}

// Roles of speakers.
const (
	roleLock         = "lock"          // a contender that calls recipes.Lock
	roleElect        = "elect"         // a contender that calls recipes.Campaign
	roleWatch        = "watch"         // an observer that calls Client.Watch
	roleSessionWatch = "session watch" // an observer that calls Session.Watch
	roleObserve      = "observe"       // an observer that calls recipes.Observe
)

// SpeakerMain turns this process into a contender or an observer if it was started
// as one, and returns at once otherwise. Call it early in main or TestMain.
func SpeakerMain() {
	text, ok := os.LookupEnv(speakerEnvironment)
	if !ok {
		return
	}
	var config SpeakerConfig
	if err := json.Unmarshal([]byte(text), &config); err != nil {
		fatalf("%s: %v", speakerEnvironment, err)
	}
	speaker, err := dialGuarded(config.Socket, config.Name)
	if err != nil {
		fatalf("%v", err)
	}
	client, err := api.NewClient(api.ClientConfig{Addrs: config.Addresses})
	if err != nil {
		fatalf("%v", err)
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	c := &contender{speaker: speaker, config: config, client: client, random: rand.New(rand.NewPCG(config.Seed, uint64(os.Getpid())))}
	go c.meter()
	go c.obey()
	switch config.Role {
	case roleLock, roleElect:
		c.contend(ctx)
	default:
		c.observe(ctx)
	}
	os.Exit(0)
}

func fatalf(format string, args ...any) {
	fmt.Fprintf(os.Stderr, "chaos: "+format+"\n", args...)
	os.Exit(1)
}

// contender is a process that wants a lock or to lead, as a program of a user
// would, or one that looks on.
type contender struct {
	*speaker
	config SpeakerConfig
	client *api.Client
	random *rand.Rand
	stays  atomic.Bool // what it holds it holds until it has lost it
}

// Signals to a contender.
const (
	signalStay = syscall.SIGUSR1 // hold until it is lost, so that it does not end by itself
	signalGo   = syscall.SIGUSR2 // no longer
)

// obey hears these signals.
func (c *contender) obey() {
	heard := make(chan os.Signal, 4)
	signal.Notify(heard, signalStay, signalGo)
	for s := range heard {
		if c.stays.Store(s == signalStay); s == signalStay {
			c.say(Said{Kind: SaidStays})
		}
	}
}

const (
	meterTick = 5 * time.Millisecond
	// stoodLeast is the least time for which a process is said to have stood still.
	stoodLeast = 25 * time.Millisecond
	// lateCall bounds calls of a contender that is about to end, or that knows that
	// they are in vain.
	lateCall = 2 * time.Second
)

// meter tells whenever the process had no time for its timers: after a SIGSTOP, or
// on a machine that is too busy.
func (c *contender) meter() {
	last := Now()
	for range time.Tick(meterTick) {
		now := Now()
		if now-last > meterTick+stoodLeast {
			c.say(Said{Kind: SaidStood, From: last, At: now})
		}
		last = now
	}
}

func (c *contender) sayError(doing string, err error) {
	c.say(Said{Kind: SaidError, Text: doing + ": " + err.Error()})
}

// rest waits for about d.
func (c *contender) rest(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d/2 + time.Duration(c.random.Int64N(int64(d)))):
	}
}

// contend opens one session after the other and competes in each until it is over.
func (c *contender) contend(ctx context.Context) {
	for ctx.Err() == nil {
		session, err := c.client.OpenSession(ctx, api.SessionOptions{Timeout: c.config.Timeout, Linger: c.config.Linger})
		if err != nil {
			c.sayError("open", err)
			c.rest(ctx, 50*time.Millisecond)
			continue
		}
		c.say(Said{Kind: SaidOpened, Session: session.ID()})
		for ctx.Err() == nil && session.Err() == nil {
			c.compete(ctx, session)
		}
		if session.Err() != nil {
			c.say(Said{Kind: SaidOver, Session: session.ID(), Text: session.Err().Error()})
		}
		end, cancel := context.WithTimeout(context.Background(), lateCall)
		if err := session.Close(end); err != nil {
			c.sayError("close", err)
		}
		cancel()
	}
}

// compete queues up once, holds for a while and gives the lock back.
func (c *contender) compete(ctx context.Context, session *api.Session) {
	queue := recipes.Lock
	if c.config.Role == roleElect {
		queue = recipes.Campaign
	}
	c.stays.Store(false)
	c.say(Said{Kind: SaidWaits, Session: session.ID()})
	held, err := queue(ctx, session, c.config.Path, []byte(c.config.Name))
	if err != nil {
		if ctx.Err() == nil {
			c.sayError("queue", err)
			c.rest(ctx, 20*time.Millisecond)
		}
		return
	}
	if at := Now(); !isClosed(held.Lost()) {
		c.say(Said{Kind: SaidHolds, At: at, Token: held.Token(), Key: held.Path(), Session: session.ID()})
		c.hold(ctx, session, held)
	}
	if isClosed(held.Lost()) {
		c.say(Said{Kind: SaidLost, Token: held.Token(), Session: session.ID()})
		c.actLate(ctx, held)
	}
	c.say(Said{Kind: SaidReleases, Token: held.Token(), Session: session.ID()})
	end, cancel := context.WithTimeout(context.Background(), lateCall)
	defer cancel()
	if err := held.Release(end); err != nil {
		c.sayError("release", err)
	}
}

func isClosed(ch <-chan struct{}) bool {
	select {
	case <-ch:
		return true
	default:
		return false
	}
}

// hold acts again and again, for about as long as configured, while it believes to
// hold: on the guarded store, and beside that in transactions of the tree.
func (c *contender) hold(ctx context.Context, session *api.Session, held *recipes.Held) {
	ctx, cancel := context.WithCancel(ctx)
	end := time.Now().Add(c.config.Held/2 + time.Duration(c.random.Int64N(int64(c.config.Held))))
	seed := c.random.Uint64()
	var beside sync.WaitGroup
	beside.Go(func() { c.commits(ctx, session, held, rand.New(rand.NewPCG(seed, 0))) })
	defer beside.Wait()
	defer cancel()
	for ctx.Err() == nil && (c.stays.Load() || time.Now().Before(end)) {
		// The time is taken before the look: at that time it was not lost.
		at := Now()
		if isClosed(held.Lost()) {
			return
		}
		c.act(Said{Kind: SaidActs, At: at, Token: held.Token(), Session: session.ID()})
		select {
		case <-ctx.Done():
		case <-held.Lost():
		case <-time.After(time.Duration(1+c.random.IntN(20)) * time.Millisecond):
		}
	}
}

// commits writes the tree's target while the lock is held, in transactions that
// fail if it is not.
func (c *contender) commits(ctx context.Context, session *api.Session, held *recipes.Held, random *rand.Rand) {
	for n := 0; ctx.Err() == nil; n++ {
		at := Now()
		if isClosed(held.Lost()) {
			return
		}
		value := fmt.Sprintf("%d %s %d", held.Token(), c.config.Name, n)
		said := c.commit(value, held, session.Commit)
		said.At, said.Session = at, session.ID()
		c.say(said)
		select {
		case <-ctx.Done():
		case <-held.Lost():
		case <-time.After(time.Duration(20+random.IntN(100)) * time.Millisecond):
		}
	}
}

// commitFunc is Client.Commit or Session.Commit.
type commitFunc func(context.Context, []api.TxnOperation, api.RequestID) (api.Committed, error)

// commit writes value to the tree's target if the lock is held.
func (c *contender) commit(value string, held *recipes.Held, commit commitFunc) Said {
	ctx, cancel := context.WithTimeout(context.Background(), lateCall)
	defer cancel()
	said := Said{Kind: SaidCommits, Token: held.Token(), Value: value, Outcome: Done}
	operations := []api.TxnOperation{held.Check(), {Op: "put", Path: c.config.Target, Value: []byte(value)}}
	done, err := commit(ctx, operations, api.NewRequestID())
	switch code := api.CodeOf(err); {
	case err == nil:
		said.Index = done.Index
	case codesWithoutAnswer[string(code)]:
		said.Outcome, said.Text = Unknown, err.Error()
	default:
		said.Outcome, said.Text = Refused, err.Error()
	}
	return said
}

// actLate does what a process does that has not noticed yet that its lock is lost:
// it acts on the guarded store and commits, without its session.
func (c *contender) actLate(ctx context.Context, held *recipes.Held) {
	c.act(Said{Kind: SaidLate, Token: held.Token()})
	said := c.commit(fmt.Sprintf("%d %s late", held.Token(), c.config.Name), held, c.client.Commit)
	said.Kind = SaidError
	c.say(said)
	c.act(Said{Kind: SaidLate, Token: held.Token()})
}
