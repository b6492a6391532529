package group

// Direction tells where a recorded message went. Self is a change of the replica.
type Direction uint8

// The directions.
const (
	In Direction = iota
	Out
	Self
)

// String returns the direction for people.
func (d Direction) String() string { return [...]string{"in", "out", "self"}[d] }

// DefaultFlightEvents is how many events the flight recorders of engines keep.
const DefaultFlightEvents = 4096

// Recorder keeps the newest events of an engine in a ring: its flight recorder. It is
// used in turns of the group's actor alone.
type Recorder[E any] struct {
	ring []E
	next int // where the next event goes
	full bool
	tell func(E)
}

// NewRecorder returns a recorder of so many events, at least 1. tell, if not nil, is
// told of each event as it is added; it must not block.
func NewRecorder[E any](events int, tell func(E)) Recorder[E] {
	return Recorder[E]{ring: make([]E, events), tell: tell}
}

// Add keeps e in the place of the oldest event.
func (r *Recorder[E]) Add(e E) {
	r.ring[r.next] = e
	if r.next++; r.next == len(r.ring) {
		r.next, r.full = 0, true
	}
	if r.tell != nil {
		r.tell(e)
	}
}

// Events returns a copy of what is kept, oldest first.
func (r *Recorder[E]) Events() []E {
	var events []E
	if r.full {
		events = append(events, r.ring[r.next:]...)
	}
	return append(events, r.ring[:r.next]...)
}
