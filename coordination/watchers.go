package coordination

// Watchers finds who wants an event without asking everybody. Ids are the caller's.
// It does no locking.
type Watchers struct{}

// Add notes a watch of id; the same one twice counts once.
func (w *Watchers) Add(id uint64, watch Watch) {}

// Remove takes it back.
func (w *Watchers) Remove(id uint64, watch Watch) {}

// Interested calls f for everyone who wants e, each once.
func (w *Watchers) Interested(e Event, f func(id uint64)) {}
