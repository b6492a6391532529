package main

import (
	"context"
	"sync"
	"time"
)

// A prober is a client that writes all the time, and knows for how long it could
// not.
type prober struct {
	session session
	cancel  context.CancelFunc
	ended   sync.WaitGroup

	mutex sync.Mutex
	last  time.Time     // the last acknowledgement
	worst time.Duration // the longest time without one
}

// probePause is between two writes: a clock for pauses, no load.
const probePause = 5 * time.Millisecond

func startProber(ctx context.Context, e *ensemble, timeout time.Duration) (*prober, error) {
	s, err := e.open(ctx, e.clients(), timeout)
	if err != nil {
		return nil, err
	}
	for _, path := range []string{holdRoot, coordKeyRoot, coordKey(0)} {
		if _, err := s.create(ctx, path, nil, persistent); err != nil {
			s.close()
			return nil, err
		}
	}
	ctx, cancel := context.WithCancel(ctx)
	p := &prober{session: s, cancel: cancel, last: time.Now()}
	p.ended.Go(func() { p.write(ctx) })
	return p, nil
}

func (p *prober) write(ctx context.Context) {
	value := make([]byte, coordValue)
	for ctx.Err() == nil {
		if p.session.set(ctx, coordKey(0), value) == nil {
			p.acknowledged(time.Now())
		}
		select {
		case <-time.After(probePause):
		case <-ctx.Done():
		}
	}
}

func (p *prober) acknowledged(now time.Time) {
	p.mutex.Lock()
	defer p.mutex.Unlock()
	p.worst = max(p.worst, now.Sub(p.last))
	p.last = now
}

// longest is the longest time without an acknowledgement since it was last asked
// for. One that goes on now counts.
func (p *prober) longest() time.Duration {
	p.mutex.Lock()
	defer p.mutex.Unlock()
	worst := max(p.worst, time.Since(p.last))
	p.worst = 0
	return worst
}

func (p *prober) stop() {
	p.cancel()
	p.ended.Wait()
	p.session.close()
}

// An adriftWatch counts the sessions that no server has lately called alive.
type adriftWatch struct {
	holder *holder
	begun  time.Time
	quit   chan struct{}
	ended  sync.WaitGroup

	most      int
	half, all time.Duration
}

// adriftInterval is between two counts. To ask 10,000 sessions costs a millisecond or two of
// the same cores.
const adriftInterval = 50 * time.Millisecond

func watchAdrift(h *holder, begun time.Time) *adriftWatch {
	w := &adriftWatch{holder: h, begun: begun, quit: make(chan struct{})}
	w.ended.Go(w.look)
	return w
}

func (w *adriftWatch) look() {
	for {
		w.note(time.Since(w.begun))
		select {
		case <-time.After(adriftInterval):
		case <-w.quit:
			return
		}
	}
}

// note counts at a time since the begin. A session that shows a sign of life this
// moment waits for the word too, so that one in a thousand is as good as none.
func (w *adriftWatch) note(at time.Duration) {
	n := w.holder.adrift()
	w.most = max(w.most, n)
	if n > w.most/2 {
		w.half = at
	}
	if n > max(1, len(w.holder.sessions)/1000) {
		w.all = at
	}
}

func (w *adriftWatch) stop() (most int, halfMillis, allMillis float64) {
	close(w.quit)
	w.ended.Wait()
	return w.most, float64(w.half) / 1e6, float64(w.all) / 1e6
}
