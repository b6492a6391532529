package sim

import "github.com/synod-go/synod/consensus"

// eventKind says what happens when an event is due.
type eventKind uint8

const (
	evDeliver   eventKind = iota // a message arrives at a node's mailbox
	evWake                       // a node drains its mailbox
	evTimer                      // a node's deadline
	evKeep                       // a store looks after its files
	evFlush                      // a disk finishes a flush
	evApply                      // a state machine applies a batch
	evTake                       // a snapshot of the own state machine reaches the disk
	evInstall                    // a received snapshot reaches the disk and the state machine
	evReadChunk                  // a chunk of a snapshot was read, to be sent
	evStart                      // a crashed node starts again
	evRetire                     // a disk that was found damaged is given up
	evClient                     // a client decides what to do next
	evRequest                    // a client's request arrives at a node
	evReply                      // a reply arrives at a client
	evTimeout                    // a client has waited long enough
	evLeaseRead                  // a node reads the clock after a lease read was evaluated
	evFault                      // the next fault of a class
	evHeal                       // a partition ends
	evProbe                      // liveness phase: look whether all is well
	evRestart                    // a supervisor starts an actor again
	evReady                      // a mailbox gets its turn late
	evTask                       // something else that a process does
	evOutside                    // something that happens outside the processes
)

var eventNames = [...]string{
	"deliver", "wake", "timer", "keep", "flush", "apply", "take-snapshot", "install-snapshot", "read-chunk", "start", "retire",
	"client", "request", "reply", "timeout", "lease-read", "fault", "heal", "probe", "restart", "ready", "task", "outside",
}

func (k eventKind) String() string { return eventNames[k] }

// event is one thing that will happen.
type event struct {
	kind  eventKind
	slot  int
	life  uint32 // of the process meant, if the event dies with it
	from  consensus.ID
	to    consensus.ID
	a     uint64
	msg   message
	op    *operation
	ask   consensus.SnapshotRequest
	reply reply
	run   func() // for evTask and evOutside
}

// entry of the heap: the events lie in a slab, so that only small values move.
type due struct {
	at   int64
	seq  uint64
	slot int32 // in the slab
}

// agenda is the heap of coming events, ordered by time and then by the order
// in which they were added.
type agenda[E any] struct {
	heap []due
	slab []E
	free []int32
	seq  uint64
}

func (a *agenda[E]) add(at int64, e E) {
	var place int32
	if n := len(a.free); n > 0 {
		place = a.free[n-1]
		a.free = a.free[:n-1]
		a.slab[place] = e
	} else {
		place = int32(len(a.slab))
		a.slab = append(a.slab, e)
	}
	a.seq++
	a.heap = append(a.heap, due{at: at, seq: a.seq, slot: place})
	a.up(len(a.heap) - 1)
}

// next takes out the earliest event.
func (a *agenda[E]) next() (at int64, e E) {
	first := a.heap[0]
	last := len(a.heap) - 1
	a.heap[0] = a.heap[last]
	a.heap = a.heap[:last]
	if last > 0 {
		a.down(0)
	}
	e = a.slab[first.slot]
	var none E
	a.slab[first.slot] = none
	a.free = append(a.free, first.slot)
	return first.at, e
}

func (a *agenda[E]) empty() bool { return len(a.heap) == 0 }

func (x due) before(y due) bool {
	if x.at != y.at {
		return x.at < y.at
	}
	return x.seq < y.seq
}

func (a *agenda[E]) up(i int) {
	x := a.heap[i]
	for i > 0 {
		parent := (i - 1) / 4
		if !x.before(a.heap[parent]) {
			break
		}
		a.heap[i] = a.heap[parent]
		i = parent
	}
	a.heap[i] = x
}

func (a *agenda[E]) down(i int) {
	x := a.heap[i]
	for {
		child := 4*i + 1
		if child >= len(a.heap) {
			break
		}
		least := child
		for c := child + 1; c < min(child+4, len(a.heap)); c++ {
			if a.heap[c].before(a.heap[least]) {
				least = c
			}
		}
		if !a.heap[least].before(x) {
			break
		}
		a.heap[i] = a.heap[least]
		i = least
	}
	a.heap[i] = x
}
