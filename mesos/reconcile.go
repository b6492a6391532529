package mesos

// reconcile answers a ReconcileCall (R): with an update for each task it names or, if it
// names none, for each that is known.
func (m *Master) reconcile(f *framework, tasks []ReconcileTask) {
	for _, t := range tasks {
		m.reconcileOne(f, t)
	}
	if len(tasks) > 0 {
		return
	}
	for _, t := range inOrder(f.tasks) {
		m.tell(t, ReasonReconciliation, "")
	}
}

// reconcileOne tells the state of one task, or nothing as long as it is not known: then
// the scheduler asks again.
func (m *Master) reconcileOne(f *framework, r ReconcileTask) {
	if t := f.tasks[r.Task]; t != nil {
		m.tell(t, ReasonReconciliation, "")
		return
	}
	s := TaskStatus{Task: TaskKey{f.info.ID, r.Task}, Agent: r.Agent, Reason: ReasonReconciliation, Source: SourceMaster,
		Time: m.unix()}
	if r.Agent == "" {
		if m.someUnsettled() {
			return
		}
		s.State = Unknown
	} else {
		switch m.registry.Standing(r.Agent) {
		case StandingAdmitted:
			if !m.surelyAbsent(r.Agent) {
				return
			}
			s.State = Gone
		case StandingUnreachable:
			s.State, s.UnreachableSince = Unreachable, m.unreachableSince(r.Agent)
		case StandingGone:
			s.State = GoneByOperator
		default:
			s.State = Unknown
		}
	}
	m.rescindFor(f, r.Agent)
	m.event(f, UpdateEvent{Status: s})
}

// someUnsettled reports whether an agent has still to say what it has: one that is admitted,
// or one that is unreachable and has not said it in this Term.
func (m *Master) someUnsettled() bool {
	for _, a := range m.agents {
		if !m.surelyAbsent(a.id) && a.state != agentUnreachable {
			return true
		}
	}
	for id := range m.unheard {
		if m.registry.Standing(id) == StandingUnreachable {
			return true
		}
	}
	return false
}
