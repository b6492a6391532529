package mesos

// MaySpeak reports whether an agent that has proven its name may send a message: it speaks for
// the agent of that name alone. Ask it before AgentMessage, if agents have to prove anything.
func (m *Master) MaySpeak(name string, message any) bool {
	switch v := message.(type) {
	case Register:
		return v.Info.Hostname == name && m.isNamed(v.Info.ID, name)
	case StatusUpdate:
		return m.isNamed(v.Status.Agent, name)
	case Pong:
		return m.isNamed(v.Agent, name)
	}
	return true
}

// isNamed reports whether an agent that is known has that name.
func (m *Master) isNamed(id AgentID, name string) bool {
	if a := m.agents[id]; a != nil {
		return a.info.Hostname == name
	}
	was, known := m.awayNames[id]
	return !known || was == name
}
