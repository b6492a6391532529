package main

import (
	"context"
	"crypto/rand"
	"fmt"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

// A coordCell is one kind of load on a coordination service.
type coordCell struct {
	Operation   string `json:"operation"`
	Sessions    int    `json:"sessions"`
	Outstanding int    `json:"outstanding"` // calls under way, of each session
}

// The operations.
const (
	setOperation              = "set"
	createOperation           = "create ephemeral sequential"
	localReadOperation        = "local read"
	linearizableReadOperation = "linearizable read"
	// Sessions are opened and stay open until the load ends. The cell's own session
	// does nothing.
	openOperation = "open session"
)

func (c coordCell) String() string { return c.Operation + ", " + c.shape() }

func (c coordCell) shape() string { return fmt.Sprintf("%d × %d", c.Sessions, c.Outstanding) }

// A coordRun is one service in one cell of one round.
type coordRun struct {
	coordCell
	Service string      `json:"service"`
	Round   int         `json:"round"`
	Error   string      `json:"error,omitempty"` // the run is void
	Result  *loadResult `json:"result,omitempty"`
}

const (
	coordKeys    = 1000
	coordValue   = 100 // bytes
	coordTimeout = 10 * time.Second
	coordKeyRoot = "bench"
	// openMost is how many sessions are opened at the same time.
	openMost = 64
)

// coordLoad is one execution of a cell: closed-loop callers on a few sessions.
type coordLoad struct {
	coordCell
	ensemble *ensemble
	phase    atomic.Int32
	errors   atomic.Int64
	first    atomic.Pointer[string]
	next     atomic.Int64 // server for a session
	mutex    sync.Mutex
	opened   []session // guarded by mutex
}

// runCoordLoad opens the cell's sessions, loads the service and closes them.
func runCoordLoad(ctx context.Context, e *ensemble, c coordCell, warm, window time.Duration) (*loadResult, error) {
	l := &coordLoad{coordCell: c, ensemble: e}
	sessions, err := openSessions(ctx, e, c.Sessions, coordTimeout)
	defer closeSessions(sessions)
	if err != nil {
		return nil, err
	}
	defer l.closeOpened()
	histograms := make([]histogram, c.Sessions*c.Outstanding)
	var callers sync.WaitGroup
	for i := range histograms {
		callers.Go(func() { l.caller(ctx, sessions[i%c.Sessions], uint64(i), &histograms[i]) })
	}
	time.Sleep(warm)
	result, err := l.measure(window)
	if !waitFor(&callers, finishPatience) {
		return nil, fmt.Errorf("%v: callers hang", c)
	}
	if err != nil {
		return nil, err
	}
	summary := load{}
	summary.summarize(result, histograms)
	result.Errors = l.errors.Load()
	if first := l.first.Load(); first != nil {
		result.FirstError = *first
	}
	return result, nil
}

// measure opens and closes the window and reads the meters of the servers.
func (l *coordLoad) measure(window time.Duration) (*loadResult, error) {
	pids := append(l.ensemble.pids(), os.Getpid())
	before, err := readMeters(pids)
	if err != nil {
		return nil, err
	}
	begun := time.Now()
	l.phase.Store(measuring)
	time.Sleep(window)
	l.phase.Store(finished)
	elapsed := time.Since(begun)
	after, err := readMeters(pids)
	if err != nil {
		return nil, err
	}
	r := &loadResult{Seconds: elapsed.Seconds()}
	others := after.busy - before.busy
	for i := range pids {
		used := after.cpu[i] - before.cpu[i]
		others -= used
		r.CPUSeconds = append(r.CPUSeconds, used.Seconds())
	}
	r.OtherCores = max(0, others.Seconds()/elapsed.Seconds())
	return r, nil
}

func (l *coordLoad) caller(ctx context.Context, s session, seed uint64, h *histogram) {
	value := make([]byte, coordValue)
	rand.Read(value)
	random := seed*0x9E3779B97F4A7C15 + 1
	for ctx.Err() == nil {
		random ^= random << 13
		random ^= random >> 7
		random ^= random << 17
		begun := time.Now()
		err := l.call(ctx, s, coordKey(random%coordKeys), value)
		switch l.phase.Load() {
		case finished:
			return
		case measuring:
			if err == nil {
				h.record(time.Since(begun))
			} else {
				l.count(err)
			}
		}
		if err != nil {
			time.Sleep(errorPause)
		}
	}
}

func (l *coordLoad) call(ctx context.Context, s session, key string, value []byte) error {
	switch l.Operation {
	case setOperation:
		return s.set(ctx, key, value)
	case createOperation:
		_, err := s.create(ctx, coordKeyRoot+"/queue/n-", value, ephemeralSequential)
		return err
	case openOperation:
		return l.open(ctx)
	case localReadOperation:
		return s.get(ctx, key, local)
	default:
		return s.get(ctx, key, linearizable)
	}
}

func (l *coordLoad) open(ctx context.Context) error {
	s, err := l.ensemble.open(ctx, l.ensemble.clientsFrom(int(l.next.Add(1)%replicaCount)), coordTimeout)
	if err != nil {
		return err
	}
	l.mutex.Lock()
	defer l.mutex.Unlock()
	l.opened = append(l.opened, s)
	return nil
}

func (l *coordLoad) closeOpened() {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	closeSessions(l.opened)
}

func (l *coordLoad) count(err error) {
	l.errors.Add(1)
	text := err.Error()
	l.first.CompareAndSwap(nil, &text)
}

func coordKey(n uint64) string { return coordKeyRoot + "/k" + strconv.FormatUint(n, 10) }

// fillKeys creates what the cells use.
func fillKeys(ctx context.Context, e *ensemble) error {
	s, err := e.open(ctx, e.clients(), coordTimeout)
	if err != nil {
		return err
	}
	defer s.close()
	for _, path := range []string{coordKeyRoot, coordKeyRoot + "/queue"} {
		if _, err := s.create(ctx, path, nil, persistent); err != nil {
			return fmt.Errorf("create %s: %w", path, err)
		}
	}
	value := make([]byte, coordValue)
	return inParallel(openMost, coordKeys, func(i int) error {
		_, err := s.create(ctx, coordKey(uint64(i)), value, persistent)
		return err
	})
}

// openSessions opens n sessions, spread over the servers; a single one is with
// the leader. It returns those that it could open with the first error.
func openSessions(ctx context.Context, e *ensemble, n int, timeout time.Duration) ([]session, error) {
	leader, err := e.whole(ctx)
	if err != nil {
		return nil, err
	}
	sessions := make([]session, n)
	err = inParallel(openMost, n, func(i int) (err error) {
		ctx, cancel := context.WithTimeout(ctx, holdTry)
		defer cancel()
		sessions[i], err = e.open(ctx, e.clientsFrom((leader+i)%replicaCount), timeout)
		return err
	})
	return sessions, err
}

func closeSessions(sessions []session) {
	_ = inParallel(openMost, len(sessions), func(i int) error {
		if sessions[i] != nil {
			sessions[i].close()
		}
		return nil
	})
}

// inParallel calls f with 0 to n-1, at most so many at a time, and returns the first
// error, after which no more are begun.
func inParallel(most, n int, f func(int) error) error {
	var next atomic.Int64
	var failure atomic.Pointer[error]
	var workers sync.WaitGroup
	for range min(most, n) {
		workers.Go(func() {
			for failure.Load() == nil {
				i := int(next.Add(1) - 1)
				if i >= n {
					return
				}
				if err := f(i); err != nil {
					failure.CompareAndSwap(nil, &err)
				}
			}
		})
	}
	workers.Wait()
	if err := failure.Load(); err != nil {
		return *err
	}
	return nil
}
