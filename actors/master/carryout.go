package master

import (
	"fmt"
	"time"

	"github.com/synod-go/synod/mesos"
)

// takeInbox gives the master what waits for it.
func (l *leader) takeInbox(now time.Duration) {
	view := false
	for _, item := range l.lead.inbox.take() {
		switch v := item.(type) {
		case fromAgent:
			if !l.lead.open(v.link) {
				continue // it waited for room until its link was over, of which the master knows
			}
			l.handle.metrics.messages.Add(1)
			if v.name != "" && !l.core.MaySpeak(v.name, v.message) {
				l.refuseAgent(v)
				continue
			}
			l.know(v.link, v.message)
			l.core.AgentMessage(now, v.link, v.message)
		case linkBroken:
			l.broken(now, mesos.LinkID(v))
		case fromScheduler:
			l.handle.metrics.calls.Add(uint64(len(v.calls)))
			for i, call := range v.calls {
				l.call(now, call, l.request(v.asked, i), v.asked != nil)
			}
		case fromOperator:
			for i, o := range v.operations {
				l.core.Operate(now, l.request(v.asked, i), o)
			}
		case killTask:
			l.core.KillTask(now, l.request(v.asked, 0), v.task, v.grace)
		case written:
			l.core.Written(now, v.stream, v.events)
		case streamClosed:
			l.core.StreamClosed(now, mesos.StreamID(v))
		case wantView:
			view = true
		}
	}
	if view {
		l.makeView()
	}
}

// refuseAgent cuts the link of an agent that speaks for another.
func (l *leader) refuseAgent(m fromAgent) {
	l.lead.mu.Lock()
	link := l.lead.links[m.link]
	l.lead.mu.Unlock()
	of := "?"
	switch v := m.message.(type) {
	case mesos.Register:
		of = fmt.Sprintf("%s, named %q", v.Info.ID, v.Info.Hostname)
	case mesos.StatusUpdate:
		of = string(v.Status.Agent)
	case mesos.Pong:
		of = string(v.Agent)
	}
	l.cfg.Logger.Warn("link cut", "name", m.name, "agent", of, "reason", "who has proven this name speaks for another agent")
	if link != nil {
		link.Close()
	}
}

// call gives the master a call. Subscriptions come by Subscribe alone.
func (l *leader) call(now time.Duration, call mesos.Call, request uint64, answered bool) {
	call.Request = request
	if _, is := call.Body.(mesos.SubscribeCall); is && answered {
		l.answer(mesos.Answer{Request: request, Code: mesos.CallInvalid, Message: "a subscription is a stream of its own"})
		return
	}
	l.core.Call(now, call)
}

// request names the answer that stands at a place of a.
func (l *leader) request(a *asked, place int) uint64 {
	l.requests++
	if a != nil {
		l.asked[l.requests] = answerTo{a, place}
	}
	return l.requests
}

// know remembers by which link an agent is to be reached.
func (l *leader) know(link mesos.LinkID, message any) {
	switch v := message.(type) {
	case mesos.Register:
		l.reach(link, v.Info.ID)
	case mesos.Pong:
		l.reach(link, v.Agent)
	}
}

func (l *leader) reach(link mesos.LinkID, agent mesos.AgentID) {
	if agent == "" || l.newest[agent] >= link {
		return
	}
	if before, is := l.agents[link]; is && before != agent {
		return // one agent a link
	}
	delete(l.agents, l.newest[agent])
	l.newest[agent], l.agents[link] = link, agent
}

func (l *leader) broken(now time.Duration, link mesos.LinkID) {
	if agent, is := l.agents[link]; is {
		delete(l.agents, link)
		delete(l.newest, agent)
	}
	l.core.LinkBroken(now, link)
}

// carryOut does what the master wants, in the order of its Output. It returns why the
// mastership must end, if it must.
func (l *leader) carryOut() string {
	if l.core == nil {
		return ""
	}
	out := l.core.Output()
	l.commits = append(l.commits, out.Commit...)
	l.propose()
	if l.lead == nil {
		return out.Ended
	}
	for _, m := range out.ToAgents {
		l.toAgent(m)
	}
	for _, a := range out.Answers {
		l.answer(a)
	}
	l.toSchedulers(out.ToSchedulers)
	for _, id := range out.Closed {
		l.closeStream(id)
	}
	if len(out.Happened) > 0 {
		l.lead.ring.add(l.lead.term, l.cfg.Now(), out.Happened)
	}
	return out.Ended
}

// toAgent hands a message to an agent's link. One whose agent does not read is cut.
func (l *leader) toAgent(m mesos.ToAgent) {
	id := m.Link
	if id == 0 {
		if id = l.newest[m.Agent]; id == 0 {
			return // agents dial
		}
	} else if _, is := m.Message.(mesos.Registered); is {
		l.reach(id, m.Agent)
	}
	lead := l.lead
	lead.mu.Lock()
	link := lead.links[id]
	lead.mu.Unlock()
	if link == nil {
		return
	}
	weight := weigh(m.Message)
	all := int(lead.waiting.Add(int64(weight)))
	own := link.out.put(weight, m.Message)
	if own == 0 { // it has ended
		lead.waiting.Add(int64(-weight))
		return
	}
	if own > l.cfg.MaxLinkBytes || all > l.cfg.MaxLinksBytes && own > l.cfg.MaxLinkBytes/256 {
		l.handle.metrics.cut.Add(1)
		l.cfg.Logger.Info("link cut", "agent", string(m.Agent), "reason", "it does not read")
		link.Close()
	}
}

func (l *leader) answer(a mesos.Answer) {
	to, is := l.asked[a.Request]
	if !is {
		if a.Code != mesos.CallAccepted && a.Stream != "" { // a subscription that makes no sense
			l.refuse(a)
		}
		return
	}
	delete(l.asked, a.Request)
	to.asked.answers[to.place] = a
	if to.asked.left--; to.asked.left == 0 {
		close(to.asked.done)
	}
}

// refuse ends a stream whose subscription the master did not look at.
func (l *leader) refuse(a mesos.Answer) {
	l.toSchedulers([]mesos.SchedulerEvent{{Stream: a.Stream, Event: mesos.ErrorEvent{Message: a.Message}}})
	l.closeStream(a.Stream)
}

// toSchedulers hands on events, those that follow each other on one stream together.
func (l *leader) toSchedulers(events []mesos.SchedulerEvent) {
	lead := l.lead
	for len(events) > 0 {
		id, some := events[0].Stream, []mesos.Event{}
		for len(events) > 0 && events[0].Stream == id {
			some, events = append(some, events[0].Event), events[1:]
		}
		lead.mu.Lock()
		s := lead.streams[id]
		lead.mu.Unlock()
		if s != nil {
			s.out.put(0, some...)
		}
	}
}

// closeStream ends a stream after what it still has to bring.
func (l *leader) closeStream(id mesos.StreamID) {
	lead := l.lead
	lead.mu.Lock()
	s := lead.streams[id]
	delete(lead.streams, id)
	lead.mu.Unlock()
	if s != nil {
		s.out.finish()
	}
}
