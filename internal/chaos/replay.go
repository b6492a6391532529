package chaos

// register replays one key. Writes whose effect nobody saw may have happened
// anywhere; each is a budget of one version step or one removal that the replay
// may spend once.
type register struct {
	w       *witness
	key     string
	writer  *Operation // of the present value; nil: absent or overwritten unseen
	exists  bool
	version uint64 // exact when the last event was exact
	puts    int    // unseen writes that may still be spent
	deletes int    // unseen deletes that may have happened: they are not spent
	changed *Operation
}

// replay checks every answer about one key against the writes in index order.
func (w *witness) replay(key string, events []event) {
	r := &register{w: w, key: key}
	for _, e := range events {
		if e.rank == 2 && e.op.write() && e.op.Outcome == Unknown {
			if e.op.Kind == Delete {
				r.deletes++
			} else {
				r.puts++
			}
		}
	}
	for _, e := range events {
		switch {
		case e.last:
			r.end(e)
		case e.rank == 2:
		case e.op.write() && e.rank == 0:
			r.write(e.op)
		case e.op.Kind == Get:
			r.read(e.op)
		default:
			r.miss(e.op)
		}
	}
}

// write applies a write that took effect.
func (r *register) write(o *Operation) {
	before, existed := r.version, r.exists
	r.changed = o
	if o.Kind == Delete {
		r.exists, r.version, r.writer = false, 0, nil
		return
	}
	if o.Kind == CompareAndSet {
		// Expect 0 asks that the key be absent.
		r.advance(o.Expect, o)
	}
	r.exists, r.writer = true, o
	switch {
	case o.Outcome != Done: // placed by a sighting; its version is not known
		r.version++
	case o.Version > 0:
		r.version++
		r.advance(o.Version, o)
	default:
		r.w.report(Disorder, "acknowledged without a version (was %d, existed %t): %v", before, existed, o)
	}
}

// advance moves to an observed version. Steps beyond the replayed version must be
// paid by unseen writes; a lower version needs an unseen delete.
func (r *register) advance(observed uint64, o *Operation) {
	switch {
	case observed == r.version:
	case observed > r.version:
		r.spend(int(observed-r.version), o)
	case r.deletes > 0:
		r.spend(int(observed), o)
	default:
		r.w.report(LostWrite, "key %q went from version %d back to %d: %v, last change %v", r.key, r.version, observed, o, r.changed)
	}
	r.version = observed
}

func (r *register) spend(steps int, o *Operation) {
	if r.deletes > 0 {
		// After an unseen delete the count starts again; nothing exact is left.
		return
	}
	r.puts -= steps
	if r.puts < 0 {
		r.w.report(Duplicate, "key %q was written more often than asked (%d unexplained): %v, last change %v", r.key, -r.puts, o, r.changed)
		r.puts = 0
	}
}

// read checks what a Get returned at its index.
func (r *register) read(o *Operation) {
	switch {
	case o.Found && r.w.byValue[o.Value] != r.writer:
		r.w.report(StaleRead, "read at index %d returned %q, the last write before is %v: %v", o.Index, o.Value, r.changed, o)
	case o.Found:
		r.advance(o.Version, o)
	case r.exists && r.deletes == 0:
		r.w.report(StaleRead, "read at index %d found nothing, the last write before is %v: %v", o.Index, r.changed, o)
	}
}

// miss checks that a condition that was said not to hold did not hold.
func (r *register) miss(o *Operation) {
	exact := r.puts == 0 && r.deletes == 0
	switch {
	case !exact:
	case o.Kind == CompareAndSet && o.Expect == r.version:
		r.w.report(StaleRead, "compare-and-set missed although the version was %d: %v, last change %v", r.version, o, r.changed)
	case o.Kind == Delete && r.exists:
		r.w.report(StaleRead, "delete found nothing at index %d: %v, last change %v", o.Index, o, r.changed)
	}
}

// end checks the final state of the key: the last known write is there.
func (r *register) end(e event) {
	switch {
	case e.final == nil && r.exists && r.deletes == 0:
		r.w.report(LostWrite, "key %q is gone, the last write is %v", r.key, r.changed)
	case e.final == nil:
	case r.w.byValue[e.final.Value] != r.writer:
		r.w.report(LostWrite, "final state holds %+v, the last write is %v", *e.final, r.changed)
	default:
		r.finalVersion(e.final)
	}
}

func (r *register) finalVersion(e *Entry) {
	if r.deletes > 0 {
		return
	}
	switch {
	case e.Version < r.version:
		r.w.report(LostWrite, "key %q ended at version %d, %d was acknowledged: %v", r.key, e.Version, r.version, r.changed)
	case e.Version > r.version+uint64(r.puts):
		r.w.report(Duplicate, "key %q ended at version %d, at most %d writes were asked for after the last known one: %v",
			r.key, e.Version, r.puts, r.changed)
	}
}
