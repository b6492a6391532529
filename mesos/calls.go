package mesos

import "time"

// StreamID names one subscription of a scheduler: the connection on which it gets events.
// The host chooses it, hard to guess and never twice. Each later call carries it (F-6).
type StreamID string

// Call is a scheduler's.
type Call struct {
	// Request names the Answer. It is the host's.
	Request   uint64
	Stream    StreamID
	Framework FrameworkID // empty in a SubscribeCall, whose Info has it
	Body      CallBody
}

// CallBody is one of the types below, which are the calls of the v1 API.
type CallBody interface{ isCall() }

// SubscribeCall begins a subscription on the Stream, with no ID in Info for a framework that
// is new. It is answered on the stream: with SubscribedEvent, or with ErrorEvent and its
// end. Another subscription of the framework ends by it (F-2).
type SubscribeCall struct{ Info FrameworkInfo }

// TeardownCall removes the framework and ends its tasks.
type TeardownCall struct{}

// AcceptCall starts tasks with what some offers, of one agent and role, hold together; the
// rest goes back. Of each task that is not launched an UpdateEvent tells why. With no tasks
// it declines.
type AcceptCall struct {
	Offers []OfferID
	Launch []TaskInfo
	// Refuse is for how long the rest is not to be offered again; negative is the default, 5 s.
	Refuse time.Duration
}

// DeclineCall gives offers back.
type DeclineCall struct {
	Offers []OfferID
	Refuse time.Duration
}

// ReviveCall asks for offers of the roles again, all if none is named, and of what was refused.
type ReviveCall struct{ Roles []string }

// SuppressCall asks for no offers of the roles, none at all if none is named.
type SuppressCall struct{ Roles []string }

// KillCall ends a task. Of one that is not known it is answered as a ReconcileCall.
type KillCall struct {
	Task  TaskID
	Agent AgentID // may be empty
	// Grace overrides the task's if not 0.
	Grace time.Duration
}

// AcknowledgeCall confirms a status update that has an ID: the agent sends the next one.
type AcknowledgeCall struct {
	Task  TaskID
	Agent AgentID
	ID    UpdateID
}

// ReconcileCall asks for the state of Tasks, or of all that are known if there are none. What
// an earlier AcceptCall could still launch a task with that is told to be none is rescinded.
type ReconcileCall struct{ Tasks []ReconcileTask }

// ReconcileTask is a task and, if the scheduler knows it, its agent.
type ReconcileTask struct {
	Task  TaskID
	Agent AgentID
}

func (SubscribeCall) isCall()   {}
func (TeardownCall) isCall()    {}
func (AcceptCall) isCall()      {}
func (DeclineCall) isCall()     {}
func (ReviveCall) isCall()      {}
func (SuppressCall) isCall()    {}
func (KillCall) isCall()        {}
func (AcknowledgeCall) isCall() {}
func (ReconcileCall) isCall()   {}

// CallCode says what became of a call; HTTP's number is beside it.
type CallCode uint8

const (
	CallAccepted   CallCode = 0 // 202; 200 for an operator
	CallInvalid    CallCode = 1 // 400: it makes no sense, or its stream is not the framework's (F-6)
	CallForbidden  CallCode = 2 // 403: the framework is not subscribed
	CallNotReady   CallCode = 3 // 503: the master has not read the registry yet, or is one no more
	CallOverloaded CallCode = 4 // 503: a bound is reached; try again
	CallRefused    CallCode = 5 // 409: the registry has refused it
)

// Answer is that of a Call or of an operator's request, once each.
type Answer struct {
	Request uint64
	Stream  StreamID // empty to an operator
	Code    CallCode
	Message string
}

// Event is one of the types below, which are the events of the v1 API.
type Event interface{ isEvent() }

// SchedulerEvent is an event for a stream.
type SchedulerEvent struct {
	Stream StreamID
	Event  Event
}

// SubscribedEvent is the first on a stream.
type SubscribedEvent struct {
	Framework FrameworkID
	Heartbeat time.Duration
	Master    string
	Address   string
	Term      Term
}

// OffersEvent brings offers. They end by an Accept or Decline, a RescindEvent, or with the stream.
type OffersEvent struct{ Offers []OfferInfo }

// OfferInfo is what of one agent a framework may use for one role.
type OfferInfo struct {
	ID         OfferID
	Framework  FrameworkID
	Role       string
	Agent      AgentID
	Hostname   string
	Address    string
	Attributes map[string]string
	Resources  Resources
}

// RescindEvent takes an offer back.
type RescindEvent struct{ Offer OfferID }

// UpdateEvent tells of a task. It is to be acknowledged if Status.ID is not zero; otherwise
// it may come again and again (U-6).
type UpdateEvent struct{ Status TaskStatus }

// FailureEvent tells of an agent that is unreachable or gone, after the updates of its tasks.
type FailureEvent struct{ Agent AgentID }

// What an ErrorEvent says of a scheduler that another one has taken over from, and of one whose
// framework was removed.
const (
	TakenOverMessage = "framework failed over: another scheduler has subscribed"
	RemovedMessage   = "the framework has been removed"
)

// ErrorEvent is the last on a stream.
type ErrorEvent struct{ Message string }

// HeartbeatEvent tells that the master is there.
type HeartbeatEvent struct{}

func (SubscribedEvent) isEvent() {}
func (OffersEvent) isEvent()     {}
func (RescindEvent) isEvent()    {}
func (UpdateEvent) isEvent()     {}
func (FailureEvent) isEvent()    {}
func (ErrorEvent) isEvent()      {}
func (HeartbeatEvent) isEvent()  {}
