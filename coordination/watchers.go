package coordination

import "slices"

// Watchers finds who wants an event without asking everybody. Ids are the caller's.
// It does no locking, and the zero value is empty.
type Watchers struct {
	nodes, children, trees map[string][]uint64 // ids in order, by Watch.Path
	found                  []uint64
}

// Add notes a watch of id; the same one twice counts once. Its Limit is of no account.
func (w *Watchers) Add(id uint64, watch Watch) {
	table := w.table(watch.Scope)
	if *table == nil {
		*table = make(map[string][]uint64)
	}
	ids := (*table)[watch.Path]
	if i, known := slices.BinarySearch(ids, id); !known {
		(*table)[watch.Path] = slices.Insert(ids, i, id)
	}
}

// Remove takes it back.
func (w *Watchers) Remove(id uint64, watch Watch) {
	table := *w.table(watch.Scope)
	ids := table[watch.Path]
	i, known := slices.BinarySearch(ids, id)
	switch {
	case !known:
	case len(ids) == 1:
		delete(table, watch.Path)
	default:
		table[watch.Path] = slices.Delete(ids, i, i+1)
	}
}

func (w *Watchers) table(s Scope) *map[string][]uint64 {
	switch s {
	case OnTree:
		return &w.trees
	case OnChildren:
		return &w.children
	default:
		return &w.nodes
	}
}

// Interested calls f for everyone who wants e, each once, in the order of ids. f may
// call Add and Remove, but not Interested.
func (w *Watchers) Interested(e Event, f func(id uint64)) {
	w.found = append(w.found[:0], w.nodes[e.Path]...)
	if e.Kind != Changed && e.Path != Root {
		parent, _ := split(e.Path)
		w.found = append(w.found, w.children[parent]...)
		if e.Kind == Deleted {
			w.found = append(w.found, w.children[e.Path]...)
		}
	}
	for path := e.Path; len(w.trees) > 0; path, _ = split(path) {
		w.found = append(w.found, w.trees[path]...)
		if path == Root {
			break
		}
	}
	slices.Sort(w.found)
	w.found = slices.Compact(w.found)
	for _, id := range w.found {
		f(id)
	}
}
