package mesos

import (
	"fmt"
	"slices"
	"time"
)

// framework is one that is not removed, or removed and has tasks that have not ended.
type framework struct {
	info FrameworkInfo
	// stream is that of its scheduler, nil while none is connected.
	stream *subscription
	// tasks are by id. others have the id of one of those, all has both.
	tasks  map[TaskID]*masterTask
	others map[TaskID][]*masterTask
	all    map[ContainerID]*masterTask
	// removing: its removal is proposed. removed: it is in the registry.
	removing, removed bool
	// teardowns are the calls that are answered when its removal has come out.
	teardowns []Call
	// unsaid: the registry is to have that it is disconnected, once it has the subscriptions that are under way.
	unsaid bool
	// failover rings when no scheduler has come for too long, heartbeat when one is to hear.
	failover, heartbeat alarm
}

// subscription is a scheduler's connection.
type subscription struct {
	id        StreamID
	framework *framework // nil until it is subscribed
	// pending counts the events that the host has not written yet.
	pending int
}

func rolesOf(info *FrameworkInfo) []string {
	if len(info.Roles) == 0 {
		return []string{"*"}
	}
	return info.Roles
}

func (m *Master) newFramework(info FrameworkInfo) *framework {
	f := &framework{info: info, tasks: map[TaskID]*masterTask{}, others: map[TaskID][]*masterTask{},
		all: map[ContainerID]*masterTask{}}
	f.failover.ring = func() { m.failoverOver(f) }
	f.heartbeat.ring = func() { m.beat(f) }
	m.frameworks[info.ID] = f
	m.allocator.AddFramework(info.ID, rolesOf(&info))
	m.allocator.SetFrameworkActive(info.ID, false)
	return f
}

// recoverFramework takes up a framework of the registry (M-8). If its scheduler was
// connected to the master before, it is away from now on; its failover timeout counts from
// the time in the registry, so that no number of masters makes it longer, but it has
// FrameworkGrace with each to come back.
func (m *Master) recoverFramework(r FrameworkRecord) {
	f := m.newFramework(r.Info)
	since := r.Since
	if r.Connected {
		since = m.unix()
		m.commit(DisconnectFramework{Framework: f.info.ID, Time: since}, func(RegistryResult) {})
	}
	left := min(since+r.Info.FailoverTimeout-m.unix(), r.Info.FailoverTimeout)
	m.alarms.set(&f.failover, m.now+max(left, m.config.FrameworkGrace))
}

// adoptFrameworks takes up the frameworks that an agent brings and the registry does not
// know: their tasks run.
func (m *Master) adoptFrameworks(infos []FrameworkInfo) {
	for _, info := range infos {
		o := PutFramework{Info: info, Time: m.unix()}
		if m.frameworks[info.ID] != nil || m.registry.FrameworkStanding(info.ID) != StandingNone || !o.valid() {
			continue
		}
		f := m.newFramework(info)
		m.alarms.set(&f.failover, m.now+max(info.FailoverTimeout, m.config.FrameworkGrace))
		m.commit(o, func(RegistryResult) {})
	}
}

// frameworkOf returns a task's framework; one that was removed is in memory as long as it
// has tasks. It is nil if nothing is known of it.
func (m *Master) frameworkOf(id FrameworkID) *framework {
	f := m.frameworks[id]
	if f == nil && m.registry.FrameworkStanding(id) == StandingRemoved {
		f = m.newFramework(FrameworkInfo{ID: id})
		f.removed = true
	}
	return f
}

// subscribe handles a SubscribeCall (F-1, F-2, F-4, F-5).
func (m *Master) subscribe(c *Call, info FrameworkInfo) {
	if c.Stream == "" || m.streams[c.Stream] != nil {
		m.answer(c, CallInvalid, "the stream has a subscription")
		return
	}
	s := &subscription{id: c.Stream}
	m.streams[c.Stream] = s
	isNew := info.ID == ""
	if isNew {
		info.ID = m.nextFrameworkID()
	}
	o := PutFramework{Info: info, Connected: true, Time: m.unix()}
	f := m.frameworks[info.ID]
	switch {
	case !o.valid():
		m.refuse(s, CodeInvalid.String())
	case f != nil && f.removed:
		m.refuse(s, CodeFrameworkRemoved.String())
	case f == nil && len(m.frameworks) >= m.config.MaxFrameworks:
		m.refuse(s, fmt.Sprintf("there are %d frameworks", len(m.frameworks)))
	case m.crowded():
		m.refuse(s, "too much waits for the registry: try again")
	default:
		m.naming[info.ID]++
		m.commit(o, func(r RegistryResult) {
			if m.naming[info.ID]--; m.naming[info.ID] == 0 {
				delete(m.naming, info.ID)
			}
			m.subscribed(s, info, r)
		})
	}
}

// nextFrameworkID returns an id that is nobody's: a scheduler may have brought one of this
// form.
func (m *Master) nextFrameworkID() FrameworkID {
	for {
		m.frameworkNumber++
		id := FrameworkID(fmt.Sprintf("%d-F%d", m.term, m.frameworkNumber))
		if m.frameworks[id] == nil && m.naming[id] == 0 && m.registry.FrameworkStanding(id) == StandingNone {
			return id
		}
	}
}

// refuse answers a subscription with an error on its stream.
func (m *Master) refuse(s *subscription, message string) {
	if m.streams[s.id] == s {
		m.out.ToSchedulers = append(m.out.ToSchedulers, SchedulerEvent{s.id, ErrorEvent{message}})
		m.closeStream(s)
	}
}

func (m *Master) closeStream(s *subscription) {
	delete(m.streams, s.id)
	m.out.Closed = append(m.out.Closed, s.id)
}

// subscribed connects a scheduler when the registry has it. An earlier one is told and gets
// nothing more: its offers and filters go with it (F-2).
func (m *Master) subscribed(s *subscription, info FrameworkInfo, r RegistryResult) {
	f := m.frameworks[info.ID]
	if r.Code != CodeOK {
		m.refuse(s, r.Code.String())
		if f != nil && f.unsaid && m.naming[info.ID] == 0 {
			m.disconnected(f)
		}
		return
	}
	if f == nil {
		f = m.newFramework(info)
	}
	f.info = info
	if m.streams[s.id] != s { // closed meanwhile
		if f.stream == nil {
			m.schedulerGone(f)
		}
		return
	}
	if old := f.stream; old != nil {
		f.stream = nil
		m.refuse(old, TakenOverMessage)
	}
	m.rescindFramework(f)
	m.allocator.SetFrameworkActive(info.ID, false)
	m.allocator.SetRoles(info.ID, rolesOf(&info))
	m.allocator.SetFrameworkActive(info.ID, true)
	m.allocator.Revive(info.ID, nil)
	f.stream, s.framework, f.unsaid = s, f, false
	m.happenedFramework(f, "subscribed")
	m.alarms.stop(&f.failover)
	m.alarms.set(&f.heartbeat, m.now+m.config.Heartbeat)
	m.event(f, SubscribedEvent{Framework: info.ID, Heartbeat: m.config.Heartbeat, Master: m.config.Name,
		Address: m.config.Address, Term: m.term})
	m.allocateSoon()
}

// event gives an event to the framework's scheduler if one is connected. One that does not
// read is disconnected, never waited for.
func (m *Master) event(f *framework, e Event) {
	s := f.stream
	if s == nil {
		return
	}
	if s.pending >= m.config.MaxPendingEvents {
		f.stream = nil
		m.closeStream(s)
		m.schedulerGone(f)
		return
	}
	s.pending++
	m.out.ToSchedulers = append(m.out.ToSchedulers, SchedulerEvent{s.id, e})
}

// Written tells that the host has written so many events of a stream.
func (m *Master) Written(now time.Duration, id StreamID, events int) {
	if m.enter(now) && m.streams[id] != nil {
		s := m.streams[id]
		s.pending = max(0, s.pending-events)
	}
}

func (m *Master) beat(f *framework) {
	if f.stream != nil {
		m.alarms.set(&f.heartbeat, m.now+m.config.Heartbeat)
		m.event(f, HeartbeatEvent{})
	}
}

// StreamClosed tells that a scheduler has closed its stream, or that it broke.
func (m *Master) StreamClosed(now time.Duration, id StreamID) {
	if !m.enter(now) {
		return
	}
	s := m.streams[id]
	if s == nil {
		return
	}
	delete(m.streams, id)
	if f := s.framework; f != nil && f.stream == s {
		f.stream = nil
		m.schedulerGone(f)
	}
}

// schedulerGone notes that no scheduler is connected (F-3).
func (m *Master) schedulerGone(f *framework) {
	m.happenedFramework(f, "disconnected: no scheduler is subscribed")
	m.rescindFramework(f)
	m.allocator.SetFrameworkActive(f.info.ID, false)
	m.alarms.stop(&f.heartbeat)
	if f.removed || f.removing {
		return
	}
	m.alarms.set(&f.failover, m.now+f.info.FailoverTimeout)
	if f.unsaid = m.naming[f.info.ID] > 0; !f.unsaid { // else it would stand behind the subscription that connects it again
		m.disconnected(f)
	}
}

func (m *Master) disconnected(f *framework) {
	f.unsaid = false
	if !f.removed && !f.removing {
		m.commit(DisconnectFramework{Framework: f.info.ID, Time: m.unix()}, func(RegistryResult) {})
	}
}

// failoverOver removes a framework whose scheduler has not come back.
func (m *Master) failoverOver(f *framework) {
	switch {
	case f.stream != nil || f.removing || f.removed:
	case m.naming[f.info.ID] > 0: // it has come back; if it is refused this counts anew
		m.alarms.set(&f.failover, m.now+max(f.info.FailoverTimeout, m.config.FrameworkGrace))
	default:
		m.removeFramework(f)
	}
}

// removeFramework removes a framework, in the registry first.
func (m *Master) removeFramework(f *framework) {
	f.removing = true
	m.commit(RemoveFramework{Framework: f.info.ID, Time: m.unix()}, func(r RegistryResult) {
		f.removing = false
		code, message := CallAccepted, ""
		// The registry does not know one that an agent has brought and it had no room for,
		// unless a subscription that waits puts it there.
		unknown := r.Code == CodeFrameworkUnknown && m.naming[f.info.ID] == 0
		if r.Code == CodeOK || unknown {
			m.frameworkRemoved(f)
		} else {
			code, message = CallRefused, r.Code.String()
			if f.stream == nil {
				m.alarms.set(&f.failover, m.now+max(f.info.FailoverTimeout, m.config.FrameworkGrace))
			}
		}
		for i := range f.teardowns {
			m.answer(&f.teardowns[i], code, message)
		}
		f.teardowns = nil
	})
}

// frameworkRemoved ends what a removed framework has. It stays in the table until its tasks
// have ended: they hold resources.
func (m *Master) frameworkRemoved(f *framework) {
	m.happenedFramework(f, "removed")
	f.removed = true
	m.alarms.stop(&f.failover)
	m.rescindFramework(f)
	m.allocator.SetFrameworkActive(f.info.ID, false)
	if s := f.stream; s != nil {
		f.stream = nil
		m.alarms.stop(&f.heartbeat)
		m.refuse(s, RemovedMessage)
	}
	var told []*masterAgent
	for _, t := range byContainer(f.all) {
		a := t.agent
		switch {
		case t.State.Terminal() && a.state == agentRegistered && t.AcknowledgingID != UpdateID{}:
			m.acknowledge(t)
		case t.State.Terminal():
			m.forget(t)
		case a.state == agentRegistered && !slices.Contains(told, a):
			told = append(told, a)
			m.send(a, ShutdownFramework{Term: m.term, Framework: f.info.ID})
		}
	}
	if len(f.all) == 0 {
		m.dropFramework(f)
	}
}

// dropFramework ends a removed framework that has no tasks left.
func (m *Master) dropFramework(f *framework) {
	if m.frameworks[f.info.ID] == f {
		m.allocator.RemoveFramework(f.info.ID)
		delete(m.frameworks, f.info.ID)
	}
}
