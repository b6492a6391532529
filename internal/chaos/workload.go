package chaos

import (
	"cmp"
	"context"
	"crypto/tls"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/oklog/ulid/v2"
)

// WorkloadConfig says how the clients behave.
type WorkloadConfig struct {
	Seed      uint64
	Addresses []string      // API addresses, by node number
	Names     []string      // of the nodes, in the same order
	Clients   int           // default 8: three quarters pinned to a node, the rest follow the leader
	Keys      int           // registers that are in use at a time, default 10
	Pause     time.Duration // mean time between two operations of a client, default 3 ms
	Dial      Dial          // default the network of this process
	TLS       *tls.Config   // nil: none
	Prefix    string        // of all keys
}

// Workload is a set of clients that write and read until Stop.
type Workload struct {
	config   WorkloadConfig
	recorder *Recorder
	http     []*HTTP
	epoch    atomic.Uint64
	leader   atomic.Int64 // node number that answered as the leader last
	cancel   context.CancelFunc
	done     sync.WaitGroup
}

// StartWorkload starts the clients. What they see goes to recorder.
func StartWorkload(ctx context.Context, config WorkloadConfig, recorder *Recorder) *Workload {
	config.Clients = cmp.Or(config.Clients, 8)
	config.Keys = cmp.Or(config.Keys, 10)
	config.Pause = cmp.Or(config.Pause, 3*time.Millisecond)
	ctx, cancel := context.WithCancel(ctx)
	w := &Workload{config: config, recorder: recorder, cancel: cancel}
	for n := range config.Clients {
		h := NewHTTP(config.Dial)
		if config.TLS != nil {
			h.Secure(config.TLS)
		}
		w.http = append(w.http, h)
		c := &client{
			workload: w,
			number:   n,
			http:     h,
			node:     n % len(config.Addresses),
			pinned:   n < (config.Clients*3+3)/4,
			random:   rand.New(rand.NewPCG(config.Seed, uint64(n))),
			versions: make(map[string]uint64),
		}
		w.done.Go(func() { c.run(ctx) })
	}
	return w
}

// NextEpoch moves the clients to fresh registers, so that the history of a
// register stays short enough for porcupine.
func (w *Workload) NextEpoch() { w.epoch.Add(1) }

// Epoch is the number of the registers in use.
func (w *Workload) Epoch() uint64 { return w.epoch.Load() }

// Leads tells the clients that follow the leader which node that is.
func (w *Workload) Leads(node int) { w.leader.Store(int64(node)) }

// Stop lets each client finish its present operation and waits for them.
func (w *Workload) Stop() {
	w.cancel()
	w.done.Wait()
	for _, h := range w.http {
		h.Close()
	}
}

// client runs one operation after the other. Its choices come from its own seed.
type client struct {
	workload *Workload
	number   int
	http     *HTTP
	node     int
	pinned   bool
	random   *rand.Rand
	versions map[string]uint64 // last version seen of each register
	seen     uint64            // highest index answered
	serial   int
	epoch    uint64
}

func (c *client) run(ctx context.Context) {
	for ctx.Err() == nil {
		o := c.next()
		c.execute(&o)
		c.learn(&o)
		c.workload.recorder.Add(o)
		wait := time.Duration(c.random.ExpFloat64() * float64(c.workload.config.Pause))
		if o.Outcome != Done {
			wait += 10 * time.Millisecond
		}
		select {
		case <-ctx.Done():
		case <-time.After(wait):
		}
	}
}

// next draws an operation: a fifth are keys written once, the rest registers.
func (c *client) next() Operation {
	if epoch := c.workload.Epoch(); epoch != c.epoch {
		c.epoch = epoch
		clear(c.versions)
	}
	c.serial++
	o := Operation{Client: c.number}
	value := fmt.Sprintf("%d.%d", c.number, c.serial)
	prefix := c.workload.config.Prefix
	o.Key = fmt.Sprintf("%s/register/%d/%d", prefix, c.epoch, c.random.IntN(c.workload.config.Keys))
	switch draw := c.random.IntN(100); {
	case draw < 20:
		o.Kind, o.Value = Put, value
		o.Key = fmt.Sprintf("%s/once/%d/%d", prefix, c.number, c.serial)
	case draw < 45:
		o.Kind, o.Value = Put, value
	case draw < 60:
		o.Kind, o.Value, o.Expect = CompareAndSet, value, c.versions[o.Key]
	case draw < 63:
		o.Kind = Delete
	case draw < 80:
		o.Kind, o.Level = Get, LevelLinearizable
	case draw < 92:
		o.Kind, o.Level = Get, LevelLease
	default:
		o.Kind, o.Level, o.Expect = Get, LevelSequential, c.seen
	}
	if o.write() && c.random.IntN(10) < 7 {
		o.Request = c.requestID()
	}
	return o
}

// requestID draws a ULID whose time part is now and whose rest comes from the seed.
func (c *client) requestID() string {
	var id ulid.ULID
	if err := id.SetTime(ulid.Now()); err != nil {
		panic(fmt.Sprintf("chaos: the clock does not fit a ULID: %v", err))
	}
	entropy := fmt.Appendf(nil, "%02x%08x", c.number, c.random.Uint64())
	if err := id.SetEntropy(entropy[:10]); err != nil {
		panic(fmt.Sprintf("chaos: request id: %v", err))
	}
	return id.String()
}

// maxTries bounds how often an operation with a request id is sent.
const maxTries = 4

// execute sends o, and again with the same request id while its outcome is
// unknown. Once one attempt is unknown only an answer makes it known again.
func (c *client) execute(o *Operation) {
	o.Call = c.workload.recorder.Now()
	unknown := false
	for o.Tries < maxTries {
		o.Tries++
		node := c.pick(o.Tries)
		o.Node = c.workload.config.Names[node]
		timeout := 200*time.Millisecond + time.Duration(c.random.IntN(800))*time.Millisecond
		attempt, cancel := context.WithTimeout(context.Background(), timeout)
		c.http.Do(attempt, c.workload.config.Addresses[node], o)
		cancel()
		if o.Outcome == Done {
			break
		}
		unknown = unknown || o.Outcome == Unknown
		if o.Request == "" || !unknown {
			break
		}
	}
	if o.Outcome == Refused && unknown {
		o.Outcome = Unknown
	}
	o.Return = c.workload.recorder.Now()
}

// pick chooses the node for an attempt: the pinned one first, then any.
func (c *client) pick(try int) int {
	switch {
	case try > 1:
		return c.random.IntN(len(c.workload.config.Addresses))
	case c.pinned:
		return c.node
	}
	return int(c.workload.leader.Load())
}

func (c *client) learn(o *Operation) {
	if o.Outcome != Done {
		delete(c.versions, o.Key)
		return
	}
	c.seen = max(c.seen, o.Index)
	switch {
	case o.Kind == Get && o.Level == LevelSequential:
	case o.Missed || o.Kind == Delete || o.Kind == Get && !o.Found:
		delete(c.versions, o.Key)
	default:
		c.versions[o.Key] = o.Version
	}
}
