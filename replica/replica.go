package replica

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
)

// Replica applies a group's log to a [StateMachine]. All methods may be called
// from any goroutine; entries must come in order, so one goroutine should own
// Apply and Restore.
type Replica struct {
	config  Config
	machine StateMachine
	applied atomic.Uint64 // written under mu, as now and skew; read without, to be told at once
	now     atomic.Int64  // log time
	skew    atomic.Int64  // Limits.RequestSkew in milliseconds

	mu       sync.RWMutex // for writing: to apply; for reading: to view
	digest   uint64
	history  history
	sessions *sessions
	requests *requests
	stopped  *StoppedError
}

// New returns a replica that has applied nothing. The machine must be in its
// initial state; from now on only the replica changes it.
func New(c Config, m StateMachine) (*Replica, error) {
	c = c.withDefaults()
	if err := c.check(); err != nil {
		return nil, err
	}
	if m == nil {
		return nil, errors.New("replica: no state machine")
	}
	r := &Replica{
		config:   c,
		machine:  m,
		digest:   initialDigest(c.Limits),
		history:  history{max: c.DigestHistory},
		sessions: newSessions(c.Limits),
		requests: newRequests(c.Limits),
	}
	r.skew.Store(c.Limits.RequestSkew.Milliseconds())
	return r, nil
}

// Apply applies committed entries and writes how each ended to results, which
// is either as long as entries or nil if nobody wants to know. It takes the
// lock once for all of them: readers wait meanwhile, so a batch should take
// milliseconds, not seconds.
//
// Entries at or below [Replica.Applied] were applied before: they are skipped
// and get CodeUnavailable, because their results are no longer known. A gap
// between entries is a bug of the caller and panics.
//
// The error is nil or a [*StoppedError]; entries that were not applied because
// of it have CodeUnavailable.
func (r *Replica) Apply(entries []Entry, results []Result) error {
	if results != nil && len(results) != len(entries) {
		panic(fmt.Sprintf("replica: room for %d results of %d entries", len(results), len(entries)))
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for i, e := range entries[:len(results)] {
		results[i] = Result{Index: e.Index, Code: CodeUnavailable}
	}
	if r.stopped == nil {
		r.applyBatch(entries, results)
	}
	return r.stoppedError()
}

// stoppedError avoids the error that holds a nil pointer. The lock is held.
func (r *Replica) stoppedError() error {
	if r.stopped == nil {
		return nil
	}
	return r.stopped
}

// applyBatch is where a panic of the state machine ends: the replica stops
// before the entry that caused it, whatever the machine had done to its state.
func (r *Replica) applyBatch(entries []Entry, results []Result) {
	finished := false
	defer func() {
		if !finished { // also if the machine ended the goroutine
			r.stop(ErrFailed, newPanicError(recover()))
		}
	}()
	for i, e := range entries {
		applied := r.applied.Load()
		if e.Index <= applied {
			continue
		}
		if e.Index != applied+1 {
			finished = true
			panic(fmt.Sprintf("replica: entry %d handed over after entry %d", e.Index, applied))
		}
		result, err := r.applyEntry(e)
		if err != nil {
			r.stop(ErrFailed, err)
			break
		}
		r.advance(e, result)
		if results != nil {
			results[i] = result
		}
	}
	finished = true
}

// advance makes e the last entry applied.
func (r *Replica) advance(e Entry, result Result) {
	r.digest = entryDigest(r.digest, e, result)
	if e.Index%r.config.Limits.DigestEvery == 0 {
		if m, ok := r.machine.(Digester); ok {
			r.digest = mix(r.digest, m.Digest())
		}
		r.history.add(Checkpoint{Index: e.Index, Digest: r.digest})
	}
	r.applied.Store(e.Index)
}

// applyEntry returns an error only if the replica must stop.
func (r *Replica) applyEntry(e Entry) (Result, error) {
	if len(e.Data) == 0 {
		return Result{Index: e.Index}, nil
	}
	env, err := Decode(e.Data)
	if errors.Is(err, ErrUnknownKind) {
		return Result{}, fmt.Errorf("entry %d: %w", e.Index, err)
	}
	if err != nil {
		return Result{Index: e.Index, Code: CodeMalformed}, nil
	}
	now := max(r.now.Load(), env.Time)
	r.now.Store(now)
	r.sessions.expire(now)
	r.requests.expire(now)
	return r.applyEnvelope(e.Index, now, env), nil
}

func (r *Replica) applyEnvelope(index uint64, now int64, env Envelope) Result {
	result := Result{Index: index}
	switch env.Kind {
	case KindPlain:
		result.Value = r.machine.Apply(index, now, env.Command)
	case KindSession:
		return r.applySession(index, now, env)
	case KindRequest:
		return r.applyRequest(index, now, env)
	case KindRegister:
		result.Code = r.sessions.register(index, now, env.Timeout)
	case KindKeepAlive:
		if r.sessions.touch(env.Session, now, env.AckedBelow) == nil {
			result.Code = CodeSessionExpired
		}
	case KindClose:
		result.Code = r.sessions.close(env.Session)
	}
	return result
}

func (r *Replica) applySession(index uint64, now int64, env Envelope) Result {
	s := r.sessions.touch(env.Session, now, env.AckedBelow)
	if s == nil {
		return Result{Index: index, Code: CodeSessionExpired}
	}
	earlier, code := r.sessions.admit(s, env.Sequence)
	if code == CodeDuplicate {
		return Result{Index: earlier.index, Code: code, Value: earlier.value}
	}
	if code != CodeApplied {
		return Result{Index: index, Code: code}
	}
	value := r.machine.Apply(index, now, env.Command)
	r.sessions.keep(s, env.Sequence, index, value)
	return Result{Index: index, Value: value}
}

func (r *Replica) applyRequest(index uint64, now int64, env Envelope) Result {
	earlier, code := r.requests.admit(env.Request)
	if code == CodeDuplicate {
		return Result{Index: earlier.index, Code: code, Value: earlier.value}
	}
	if code != CodeApplied {
		return Result{Index: index, Code: code}
	}
	value := r.machine.Apply(index, now, env.Command)
	r.requests.keep(env.Request, index, value, now)
	return Result{Index: index, Value: value}
}

// View calls f while nothing is applied, so that f may read the state machine;
// index is the last one applied. Many views run at the same time; f must not
// change the machine, and must not call a method of r. The error is nil or a
// [*StoppedError]; then f was not called.
func (r *Replica) View(f func(index uint64)) error {
	r.mu.RLock()
	defer r.mu.RUnlock()
	if r.stopped != nil {
		return r.stopped
	}
	f(r.applied.Load())
	return nil
}

// Applied is the index of the last entry applied. It never waits.
func (r *Replica) Applied() uint64 { return r.applied.Load() }

// LogTime is log time in Unix milliseconds, 0 before the first command. It never
// waits.
func (r *Replica) LogTime() int64 { return r.now.Load() }

// Future reports whether data is a command whose request id is more than
// [Limits.RequestSkew] ahead of now, the latest of the leader's clocks. A leader
// refuses it with [ErrRequestFuture] instead of appending it. It never waits.
func (r *Replica) Future(data []byte, now int64) bool {
	return len(data) >= requestSize && Kind(data[0]) == KindRequest &&
		timeAt(data[headerSize:]) > now+r.skew.Load()
}

// Quarantine stops the replica for good: nothing is applied or answered until a
// Restore. The host calls it when the digest differs from that of the other
// replicas. The first reason to stop is kept.
func (r *Replica) Quarantine(reason error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.stop(ErrQuarantined, reason)
}

func (r *Replica) stop(state, cause error) {
	if r.stopped == nil {
		r.stopped = &StoppedError{Index: r.applied.Load(), State: state, Cause: cause}
	}
}

// Digest returns the last index applied and the digest of everything up to it.
func (r *Replica) Digest() Checkpoint {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return Checkpoint{Index: r.applied.Load(), Digest: r.digest}
}

// DigestAt returns the digest as it was at index, a multiple of
// [Limits.DigestEvery]. It is known for the last [Config.DigestHistory]
// multiples that this replica itself has applied.
func (r *Replica) DigestAt(index uint64) (digest uint64, ok bool) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	for _, c := range r.history.ring {
		if c.Index == index {
			return c.Digest, true
		}
	}
	return 0, false
}

// Checkpoints returns what DigestAt knows, oldest first.
func (r *Replica) Checkpoints() []Checkpoint {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.history.all()
}

// Status is what a replica looks like from outside.
type Status struct {
	Applied uint64
	// LogTime is in Unix milliseconds.
	LogTime int64
	Digest  uint64
	// Sessions, and the cost in bytes of the replies they hold.
	Sessions   int
	ReplyBytes int64
	// Requests whose results are kept, and their cost in bytes.
	Requests     int
	RequestBytes int64
	// Limits are those in force.
	Limits Limits
	// Stopped is nil or a [*StoppedError].
	Stopped error
}

// Status waits for a batch being applied.
func (r *Replica) Status() Status {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return Status{
		Applied: r.applied.Load(), LogTime: r.now.Load(), Digest: r.digest,
		Sessions: len(r.sessions.byID), ReplyBytes: r.sessions.bytes,
		Requests: len(r.requests.byID), RequestBytes: r.requests.bytes,
		Limits: r.config.Limits, Stopped: r.stoppedError(),
	}
}
