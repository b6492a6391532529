package actors

import (
	"cmp"
	"fmt"
	"runtime/debug"
	"sync"

	"github.com/asynkron/protoactor-go/actor"
)

// Mailbox is a bounded actor.Mailbox that hands everything that waits to its
// actor as one *Batch. A post never blocks and, once the buffers have grown,
// never allocates: a full mailbox refuses. System messages come before the next batch,
// a suspended mailbox keeps its messages, posts before Start wait for it. A
// PoisonPill, a Touch and other messages that protoactor itself answers are
// handed over alone and in their order.
//
// When the actor has stopped, whatever still waits is refused, and so is
// everything after it.
type Mailbox struct {
	config MailboxConfig
	stats  *MailboxStats

	mu        sync.Mutex
	user      []Item // waiting, oldest first
	bytes     int    // sum of QueuedBytes over user
	singles   int    // how many of user must be handed over alone
	system    []any  // waiting system messages, oldest first
	started   bool   // Start was called: the dispatcher may run us
	running   bool   // run is queued at the dispatcher or running
	suspended bool   // the actor failed and waits for its supervisor
	stopped   bool   // the actor is gone
	failures  failures

	invoker    actor.MessageInvoker
	dispatcher actor.Dispatcher
	run        func() // m.process, bound once: a method value allocates
	maxBatch   int
	simulated  bool // the dispatcher alone decides whose turn it is

	// Of the goroutine in process alone:
	batch   Batch
	spare   []Item // the buffer that user becomes next
	current any    // the message being handled, for EscalateFailure
}

var _ actor.Mailbox = (*Mailbox)(nil)

// NewMailbox makes a mailbox for one actor.
func NewMailbox(c MailboxConfig) *Mailbox {
	c.MaxMessages = cmp.Or(c.MaxMessages, DefaultMaxMessages)
	m := &Mailbox{config: c, stats: c.Stats, maxBatch: c.MaxBatch}
	if m.stats == nil {
		m.stats = new(MailboxStats)
	}
	m.run = m.process
	return m
}

// PostUserMessage queues message, or refuses it. It never blocks.
func (m *Mailbox) PostUserMessage(message any) {
	m.mu.Lock()
	taken := m.queue(message)
	wake := m.wake()
	m.mu.Unlock()
	if !taken {
		m.refuse(message)
	}
	if wake {
		m.dispatcher.Schedule(m.run)
	}
}

// Deliver queues messages as PostUserMessage does and, if the actor is idle,
// gives it one turn on the caller's goroutine, which would otherwise have to wake
// another: for callers that have nothing to do until the actor has answered, or
// that wait for the next message. Call it without a lock that the actor takes.
// The slice stays the caller's.
func (m *Mailbox) Deliver(messages ...any) {
	var refused []any
	m.mu.Lock()
	for _, message := range messages {
		if !m.queue(message) {
			refused = append(refused, message)
		}
	}
	wake := m.wake()
	m.mu.Unlock()
	for _, message := range refused {
		m.refuse(message)
	}
	switch {
	case wake && m.simulated:
		m.dispatcher.Schedule(m.run)
	case wake:
		m.processAtMost(1)
	}
}

// queue takes a message, or reports false if there is no room for it.
func (m *Mailbox) queue(message any) bool {
	item := Item{Message: message}
	if e, ok := message.(*actor.MessageEnvelope); ok {
		item = Item{Message: e.Message, Sender: e.Sender}
	}
	size, alone := m.sizeOf(item.Message), handedAlone(item.Message)
	if m.stopped || m.isFull(size) && !alone && !isControl(item.Message) {
		return false
	}
	m.user = append(m.user, item)
	m.bytes += size
	if alone {
		m.singles++
	}
	return true
}

// PostSystemMessage queues a message of protoactor's own; they are never refused.
func (m *Mailbox) PostSystemMessage(message any) {
	m.mu.Lock()
	m.system = append(m.system, message)
	wake := m.wake()
	m.mu.Unlock()
	if wake {
		m.dispatcher.Schedule(m.run)
	}
}

// RegisterHandlers is called once by protoactor's spawn.
func (m *Mailbox) RegisterHandlers(invoker actor.MessageInvoker, dispatcher actor.Dispatcher) {
	m.register(invoker, dispatcher)
	m.enrol()
}

func (m *Mailbox) register(invoker actor.MessageInvoker, dispatcher actor.Dispatcher) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.invoker, m.dispatcher = invoker, dispatcher
	if d, ok := dispatcher.(interface{ MaxBatch() int }); ok {
		m.simulated = true
		if d.MaxBatch() > 0 {
			m.maxBatch = d.MaxBatch()
		}
	}
}

// Start lets the dispatcher run the mailbox. An actor's name can be found
// before this, so messages may already wait; protoactor has put Started
// among the system messages, which come first.
func (m *Mailbox) Start() {
	m.mu.Lock()
	m.started = true
	wake := m.wake()
	m.mu.Unlock()
	if wake {
		m.dispatcher.Schedule(m.run)
	}
}

// UserMessageCount returns how many user messages wait.
func (m *Mailbox) UserMessageCount() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.user)
}

// wake reports whether the caller must queue run at the dispatcher.
func (m *Mailbox) wake() bool {
	if m.running || !m.started || !m.hasWork() {
		return false
	}
	m.running = true
	return true
}

func (m *Mailbox) hasWork() bool {
	return len(m.system) > 0 || len(m.user) > 0 && !m.suspended
}

func (m *Mailbox) isFull(size int) bool {
	if len(m.user) >= m.config.MaxMessages {
		return true
	}
	return m.config.MaxBytes > 0 && m.bytes > 0 && m.bytes+size > m.config.MaxBytes
}

func (m *Mailbox) sizeOf(message any) int {
	if m.config.MaxBytes <= 0 {
		return 0
	}
	if s, ok := message.(Sized); ok {
		return s.QueuedBytes()
	}
	return 0
}

func isControl(message any) bool {
	_, ok := message.(Control)
	return ok
}

// handedAlone reports whether protoactor looks for this type of message.
func handedAlone(message any) bool {
	switch message.(type) {
	case actor.AutoReceiveMessage, actor.AutoRespond, *actor.ReceiveTimeout:
		return true
	}
	return false
}

// process is one turn on the dispatcher. It ends when there is nothing to do,
// or after Throughput batches by queueing itself again, so that other
// mailboxes get their turn.
func (m *Mailbox) process() { m.processAtMost(m.dispatcher.Throughput()) }

func (m *Mailbox) processAtMost(batches int) {
	again := true
	for again {
		again = m.turn(batches)
	}
}

// turn handles messages until the mailbox is idle or has had its share
// (false), or the actor failed (true).
func (m *Mailbox) turn(most int) (again bool) {
	returned := false
	defer func() {
		if returned {
			return
		}
		reason := recover()
		again = reason != nil
		if !again {
			reason = fmt.Errorf("actors: runtime.Goexit in Receive:\n%s", debug.Stack())
		}
		m.failed(reason)
		if !again { // this goroutine is ending; go on on another
			m.dispatcher.Schedule(m.run)
		}
	}()
	for batches := 0; ; {
		system, user := m.next()
		switch {
		case system != nil:
			m.handleSystem(system)
		case user == nil:
			returned = true
			return false
		default:
			m.handleUser(user)
			batches++
		}
		if batches >= most && m.yield() {
			returned = true
			return false
		}
	}
}

// next takes a system message, or else a batch; if there is neither, the
// mailbox is idle when next returns.
func (m *Mailbox) next() (system any, user []Item) {
	m.mu.Lock()
	defer m.mu.Unlock()
	switch {
	case len(m.system) > 0:
		system = m.system[0]
		m.system[0] = nil
		if m.system = m.system[1:]; len(m.system) == 0 {
			m.system = nil
		}
		return system, nil
	case len(m.user) > 0 && !m.suspended:
		return nil, m.take()
	}
	m.running = false
	if cap(m.spare) > keptItems {
		m.spare = nil
	}
	if cap(m.user) > keptItems && len(m.user) == 0 {
		m.user = nil
	}
	return nil, nil
}

// take swaps the waiting messages out: all of them, or those before a limit.
func (m *Mailbox) take() []Item {
	n := len(m.user)
	if m.maxBatch > 0 {
		n = min(n, m.maxBatch)
	}
	if m.singles > 0 {
		n = m.untilSingle(n)
	}
	taken := m.user
	if n == len(m.user) {
		m.user, m.bytes = m.spare[:0], 0
		m.spare = nil
		return taken
	}
	taken = append(m.spare[:0], m.user[:n]...)
	m.spare = nil
	for i := range taken {
		m.bytes -= m.sizeOf(taken[i].Message)
	}
	rest := copy(m.user, m.user[n:])
	clear(m.user[rest:])
	m.user = m.user[:rest]
	return taken
}

// untilSingle cuts n so that a message that goes alone goes alone.
func (m *Mailbox) untilSingle(n int) int {
	if handedAlone(m.user[0].Message) {
		m.singles--
		return 1
	}
	for i := range m.user[:n] {
		if handedAlone(m.user[i].Message) {
			return i
		}
	}
	return n
}

// yield queues the mailbox behind others if it still has something to do.
func (m *Mailbox) yield() bool {
	m.mu.Lock()
	work := m.hasWork()
	m.mu.Unlock()
	if work {
		m.dispatcher.Schedule(m.run)
	}
	return work
}

func (m *Mailbox) handleSystem(message any) {
	m.current = message
	switch message.(type) {
	case *actor.SuspendMailbox:
		m.setSuspended(true)
	case *actor.ResumeMailbox:
		m.setSuspended(false)
	case *actor.Restart:
		m.noteRestart()
		m.invoker.InvokeSystemMessage(message)
	case *actor.Stop, *actor.Terminated:
		m.invoker.InvokeSystemMessage(message)
		m.closeIfStopped()
	default:
		m.invoker.InvokeSystemMessage(message)
	}
	m.current = nil
}

func (m *Mailbox) setSuspended(suspended bool) {
	m.mu.Lock()
	m.suspended = suspended
	m.mu.Unlock()
}

func (m *Mailbox) handleUser(items []Item) {
	if len(items) == 1 && handedAlone(items[0].Message) {
		m.current = items[0].Message
		if items[0].Sender != nil {
			m.current = &actor.MessageEnvelope{Message: items[0].Message, Sender: items[0].Sender}
		}
	} else {
		m.stats.Batches.Add(1)
		m.stats.Messages.Add(uint64(len(items)))
		m.batch.Messages = items
		m.current = &m.batch
	}
	m.spare = items
	m.invoker.InvokeUserMessage(m.current)
	m.release()
}

func (m *Mailbox) release() {
	clear(m.spare)
	m.spare = m.spare[:0]
	m.batch.Messages = nil
	m.current = nil
}

// failed ends a Receive that panicked: the messages of its batch are lost, and
// the supervisor decides about the actor.
func (m *Mailbox) failed(reason any) {
	message := m.current
	for _, item := range m.batch.Messages {
		m.stats.Lost.Add(1)
		if l, ok := item.Message.(Losable); ok {
			l.Lost()
		}
	}
	m.release()
	m.noteFailure(reason)
	m.invoker.EscalateFailure(reason, message)
}

// closeIfStopped refuses what still waits once the actor is no longer
// registered: protoactor would drop it without a word.
func (m *Mailbox) closeIfStopped() {
	self, ok := m.invoker.(interface {
		Self() *actor.PID
		ActorSystem() *actor.ActorSystem
	})
	if !ok {
		return
	}
	if _, alive := self.ActorSystem().ProcessRegistry.GetLocal(self.Self().Id); alive {
		return
	}
	m.mu.Lock()
	left := m.user
	m.user, m.bytes, m.singles, m.stopped = nil, 0, 0, true
	m.mu.Unlock()
	m.leave()
	for _, item := range left {
		m.refuse(item.Message)
	}
}

func (m *Mailbox) refuse(message any) {
	if e, ok := message.(*actor.MessageEnvelope); ok {
		message = e.Message
	}
	m.stats.Refused.Add(1)
	if r, ok := message.(Refusable); ok {
		r.Refused()
	}
	if m.config.Refused != nil {
		m.config.Refused(message)
	}
}
