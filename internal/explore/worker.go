package explore

// worker expands states. It reads the table of known states, which nobody
// changes meanwhile, and keeps what it finds for the merge.
type worker[S any] struct {
	search      *search[S]
	buffer      []byte // for keys
	found       []found[S]
	transitions int
	failed      *failure // the first; nothing is expanded after it
}

func newWorker[S any](s *search[S]) *worker[S] { return &worker[S]{search: s} }

func (w *worker[S]) expand(part []frontierState[S]) {
	var (
		from    frontierState[S]
		ordinal uint32
		check   = w.search.config.CheckStep
	)
	take := func(_ Label, to S) {
		if w.failed != nil {
			return
		}
		w.offer(to, from.id, ordinal)
		if check != nil && w.failed == nil {
			w.fail(check(from.state, to), from.id, ordinal)
		}
		ordinal++
	}
	for _, from = range part {
		ordinal = 0
		w.search.model.Next(from.state, take)
		w.transitions += int(ordinal)
		if ordinal == 0 && w.search.config.Terminal != nil {
			if err := w.search.config.Terminal(from.state); err != nil && w.failed == nil {
				w.failed = &failure{err: err, parent: from.id}
			}
		}
		if w.failed != nil {
			return
		}
	}
}

// offer keeps the state if it is not known, and checks it.
func (w *worker[S]) offer(state S, parent, ordinal uint32) {
	w.buffer = w.search.model.Key(state, w.buffer[:0])
	print := fingerprint(w.buffer)
	if w.search.seen.has(print) {
		return
	}
	w.found = append(w.found, found[S]{print, parent, ordinal, state})
	w.fail(w.search.model.Check(state), parent, ordinal)
}

func (w *worker[S]) fail(err error, parent, ordinal uint32) {
	if err != nil && w.failed == nil {
		w.failed = &failure{err: err, parent: parent, ordinal: ordinal, isStep: true}
	}
}
