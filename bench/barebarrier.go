package main

import "sync"

// bareBarriers batches linearizable reads: all that arrive during one round trip
// to the followers share the next one. The first answer makes two of three.
type bareBarriers struct {
	mutex    sync.Mutex
	open     chan struct{} // the next round's end; nil when nobody waits
	opened   chan struct{}
	highest  uint64
	progress chan struct{} // says that highest grew
}

func (b *bareBarriers) init() {
	b.opened, b.progress = make(chan struct{}, 1), make(chan struct{}, 1)
}

// wait returns after a round that began after the call.
func (b *bareBarriers) wait(closed <-chan struct{}) error {
	b.mutex.Lock()
	if b.open == nil {
		b.open = make(chan struct{})
	}
	round := b.open
	b.mutex.Unlock()
	notify(b.opened)
	select {
	case <-round:
		return nil
	case <-closed:
		return errStopped
	}
}

func (b *bareBarriers) take() chan struct{} {
	b.mutex.Lock()
	defer b.mutex.Unlock()
	round := b.open
	b.open = nil
	return round
}

func (b *bareBarriers) answered(sequence uint64) {
	b.mutex.Lock()
	b.highest = max(b.highest, sequence)
	b.mutex.Unlock()
	notify(b.progress)
}

func (b *bareBarriers) reached(sequence uint64) bool {
	b.mutex.Lock()
	defer b.mutex.Unlock()
	return b.highest >= sequence
}

// runBarriers is the leader's goroutine that asks for one round after the other.
func (e *bareEngine) runBarriers() {
	b := &e.barriers
	for sequence := uint64(1); e.await(b.opened); sequence++ {
		round := b.take()
		if round == nil {
			continue
		}
		f := newBareFrame()
		f.seal(bareBarrier, sequence, 0)
		f.retain(int32(len(e.peers)) - 1)
		for _, p := range e.peers {
			p.enqueue(f)
		}
		for !b.reached(sequence) {
			if !e.await(b.progress) {
				return
			}
		}
		close(round)
	}
}
