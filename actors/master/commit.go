package master

import (
	"context"
	"fmt"
	"time"

	"github.com/synod-go/synod/mesos"
)

// propose has what waits committed, one command at a time: what comes meanwhile is the next
// one.
func (l *leader) propose() {
	if l.committing || len(l.commits) == 0 {
		return
	}
	command, n := cut(l.core.Term(), l.commits)
	l.commits = l.commits[n:]
	if len(l.commits) == 0 {
		l.commits = nil
	}
	l.committing = true
	began, lead := l.cfg.Clock(), l.lead
	l.beside(func(ctx context.Context) any {
		m := committed{began: began}
		m.results, m.err = l.commit(ctx, command, n)
		return m
	})
	if lead != nil {
		l.handle.metrics.operations.Add(uint64(n))
	}
}

// cut encodes as many operations as one command takes, at least one.
func cut(term mesos.Term, operations []mesos.RegistryOperation) (command []byte, n int) {
	bytes := 0
	var one []byte
	for n < min(len(operations), mesos.MaxRegistryOperations) {
		one = mesos.RegistryCommand{Operations: operations[n : n+1]}.Append(one[:0])
		if bytes += len(one); n > 0 && bytes > maxCommandBytes {
			break
		}
		n++
	}
	return mesos.RegistryCommand{Term: term, Operations: operations[:n]}.Append(nil), n
}

// commit proposes a command until it is known what has become of it. While surely nothing
// has, it is proposed again, as long as the node leads.
func (l *leader) commit(ctx context.Context, command []byte, n int) ([]mesos.RegistryResult, error) {
	for pause := 5 * time.Millisecond; ; pause = min(2*pause, 500*time.Millisecond) {
		answer, err := l.cfg.Group.Propose(ctx, command)
		if err == nil {
			r, err := mesos.DecodeRegistryResults(answer)
			if err == nil && len(r.Results) != n {
				err = fmt.Errorf("master: %d results of %d operations, code %v", len(r.Results), n, r.Code)
			}
			return r.Results, err
		}
		if !l.cfg.Group.SurelyNot(err) || !l.cfg.Group.Leads() {
			return nil, err
		}
		l.cfg.Logger.Debug("registry not committed", "term", uint64(l.term()), "error", err)
		select {
		case <-ctx.Done():
			return nil, err
		case <-time.After(pause):
		}
	}
}

// onCommitted gives the results of a command to the master, in whose table nothing of it has
// happened yet.
func (l *leader) onCommitted(now time.Duration, m committed) string {
	l.committing = false
	if m.err != nil {
		return "what became of a commit is not known: " + m.err.Error()
	}
	l.handle.metrics.commits.Add(1)
	l.surely(m.began)
	l.core.Committed(now, m.results...)
	if l.lead == nil && m.results[0].Code == mesos.CodeOK {
		l.readRegistry()
	}
	return ""
}

// readRegistry reads it as it is after this master's election.
func (l *leader) readRegistry() {
	l.beside(func(ctx context.Context) any {
		var m registryRead
		l.handle.cloning.Lock()
		defer l.handle.cloning.Unlock()
		m.err = l.cfg.Group.Read(ctx, false, func(r *mesos.Registry) { m.registry = r.Clone() })
		return m
	})
}

// surely notes that the node led for sure at some time.
func (l *leader) surely(at time.Duration) {
	l.sure = max(l.sure, at)
	l.confirmAt = max(l.confirmAt, at+l.cfg.ConfirmEvery)
}

// confirm makes sure that the node still leads, if nothing has shown it for a while.
func (l *leader) confirm(now time.Duration) {
	if l.confirming || l.committing || now < l.confirmAt {
		return
	}
	l.confirming = true
	l.beside(func(ctx context.Context) any {
		m := confirmed{began: now}
		m.err = l.cfg.Group.Read(ctx, true, func(r *mesos.Registry) { m.term = r.Master().Term })
		return m
	})
}

// onConfirmed: as long as nobody else was elected when the read began, this master leads.
func (l *leader) onConfirmed(now time.Duration, m confirmed) string {
	l.confirming = false
	switch {
	case m.err != nil:
		l.confirmAt = now + l.cfg.ConfirmEvery/4
	case m.term != l.core.Term():
		return fmt.Sprintf("the master of term %d was elected", m.term)
	default:
		l.surely(m.began)
	}
	return ""
}
