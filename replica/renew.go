package replica

import "fmt"

// Renew makes this state the first one of a new cluster, at a higher index: that of a
// backup, or of the only replica that was left. The old cluster may have gone on behind
// what is here, so index is to be beyond whatever it can have reached: indexes are
// fencing tokens and ids of sessions, and must not be given twice.
//
// Sessions and request ids stay, so that a command which was repeated runs once. A
// machine that is a [Renewer] ends what only the old cluster could keep. It returns a
// [*StoppedError], or an error if index is none that the replica can go on from.
func (r *Replica) Renew(index uint64) (err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.stopped != nil {
		return r.stopped
	}
	if applied := r.applied.Load(); index <= applied {
		return fmt.Errorf("replica: renew at index %d, applied %d", index, applied)
	}
	defer func() {
		if err != nil {
			r.stop(ErrFailed, err)
		}
	}()
	defer catch(&err)
	if m, ok := r.machine.(Renewer); ok {
		m.Renew(index, r.now.Load())
	}
	r.digest = mix(r.digest, index)
	r.history = history{max: r.config.DigestHistory}
	r.applied.Store(index)
	return nil
}
