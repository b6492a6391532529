package mesos

import "time"

// Standing returns what an agent is: StandingNone, Admitted, Unreachable or Gone.
func (r *Registry) Standing(id AgentID) Standing {
	s, _ := r.standing(id)
	return s
}

func (r *Registry) standing(id AgentID) (Standing, time.Duration) {
	if u, ok := r.unreachable.get(string(id)); ok {
		return StandingUnreachable, u.Since
	}
	if g, ok := r.gone.get(string(id)); ok {
		return StandingGone, g.Since
	}
	if _, ok := r.agents.find(string(id)); ok {
		return StandingAdmitted, 0
	}
	return StandingNone, 0
}

// agentCodes refuse an agent for what it is.
var agentCodes = [...]RegistryCode{StandingNone: CodeAgentUnknown, StandingAdmitted: CodeAgentAdmitted,
	StandingUnreachable: CodeAgentUnreachable, StandingGone: CodeAgentGone}

// agentResult begins the result of an operation that is for agents of some standings.
func (r *Registry) agentResult(id AgentID, allowed ...Standing) RegistryResult {
	was, since := r.standing(id)
	result := RegistryResult{Code: agentCodes[was], Was: was, Since: since}
	for _, a := range allowed {
		if was == a {
			result.Code = CodeOK
		}
	}
	return result
}

// elsewhere reports whether an agent at address that runs since boot cannot be the one that
// was at wasAddress since wasBoot. A machine may get another address, and may
// boot; if both differ it is another one that has the same work directory. Without a boot
// id the address decides.
func elsewhere(address, boot, wasAddress, wasBoot string) bool {
	return address != wasAddress && (boot != wasBoot || boot == "")
}

func (o AdmitAgent) carryOut(r *Registry) RegistryResult {
	result := r.agentResult(o.Info.ID, StandingNone, StandingAdmitted)
	return r.putAgent(result, AgentRecord{Info: o.Info, Boot: o.Boot})
}

func (o UpdateAgent) carryOut(r *Registry) RegistryResult {
	result := r.agentResult(o.Info.ID, StandingAdmitted)
	return r.putAgent(result, AgentRecord{Info: o.Info, Boot: o.Boot})
}

func (o MarkReachable) carryOut(r *Registry) RegistryResult {
	result := r.agentResult(o.Info.ID, StandingNone, StandingUnreachable)
	return r.putAgent(result, AgentRecord{Info: o.Info, Boot: o.Boot})
}

// putAgent admits the agent or replaces what is known of it, if result does not refuse it
// yet. What an operator wants of the agent stays.
func (r *Registry) putAgent(result RegistryResult, a AgentRecord) RegistryResult {
	if result.Code != CodeOK {
		return result
	}
	id := string(a.Info.ID)
	before, known := r.agents.get(id)
	address, boot := before.Info.Address, before.Boot
	a.Drain = before.Drain
	if u, ok := r.unreachable.get(id); ok {
		known, address, boot, a.Drain = true, u.Address, u.Boot, u.Drain
	}
	switch {
	case known && elsewhere(a.Info.Address, a.Boot, address, boot):
		result.Code = CodeElsewhere
	case r.agents.full(id, r.limits.Agents), !r.fits(r.agents.growth(id, a)):
		result.Code = CodeFull
	default:
		r.unreachable.remove(id)
		result.Changed = r.agents.set(id, a)
	}
	return result
}

// fits reports whether there is room for so many bytes more.
func (r *Registry) fits(growth int64) bool { return growth <= 0 || r.bytes()+growth <= r.limits.Bytes }

func (o MarkUnreachable) carryOut(r *Registry) RegistryResult {
	result := r.agentResult(o.Agent, StandingAdmitted)
	if result.Code != CodeOK {
		return result
	}
	a, _ := r.agents.get(string(o.Agent))
	r.agents.remove(string(o.Agent))
	result.Dropped = r.unreachable.prune(0, r.limits.Unreachable-1) // before it comes in: it may have the earliest time
	result.Changed = r.unreachable.set(string(o.Agent), UnreachableAgent{ID: o.Agent, Since: o.Time,
		Address: a.Info.Address, Boot: a.Boot, Drain: a.Drain})
	return result
}

func (o MarkGone) carryOut(r *Registry) RegistryResult {
	result := r.agentResult(o.Agent, StandingAdmitted, StandingUnreachable)
	if result.Code != CodeOK {
		return result
	}
	r.agents.remove(string(o.Agent))
	r.unreachable.remove(string(o.Agent))
	result.Dropped = r.gone.prune(0, r.limits.Gone-1)
	result.Changed = r.gone.set(string(o.Agent), GoneAgent{ID: o.Agent, Since: o.Time})
	return result
}

func (o RemoveAgent) carryOut(r *Registry) RegistryResult {
	result := r.agentResult(o.Agent, StandingAdmitted)
	if result.Code == CodeOK {
		result.Changed = r.agents.remove(string(o.Agent))
	}
	return result
}

func (o DrainAgent) carryOut(r *Registry) RegistryResult {
	return r.setDrain(o.Agent, func(Drain) Drain { return Drain{Draining: true, Deadline: o.Deadline, Deactivated: true} })
}

func (o DeactivateAgent) carryOut(r *Registry) RegistryResult {
	return r.setDrain(o.Agent, func(d Drain) Drain {
		d.Deactivated = true
		return d
	})
}

func (o ReactivateAgent) carryOut(r *Registry) RegistryResult {
	return r.setDrain(o.Agent, func(Drain) Drain { return Drain{} })
}

func (r *Registry) setDrain(id AgentID, change func(Drain) Drain) RegistryResult {
	result := r.agentResult(id, StandingAdmitted, StandingUnreachable)
	switch {
	case result.Code != CodeOK:
	case result.Was == StandingAdmitted:
		a, _ := r.agents.get(string(id))
		a.Drain = change(a.Drain)
		result.Changed = r.agents.set(string(id), a)
	default:
		u, _ := r.unreachable.get(string(id))
		u.Drain = change(u.Drain)
		result.Changed = r.unreachable.set(string(id), u)
	}
	return result
}

func (o AdmitAgent) valid() bool      { return validAgent(&o.Info, o.Boot) }
func (o UpdateAgent) valid() bool     { return validAgent(&o.Info, o.Boot) }
func (o MarkReachable) valid() bool   { return validAgent(&o.Info, o.Boot) }
func (o MarkUnreachable) valid() bool { return validID(o.Agent) && o.Time >= 0 }
func (o MarkGone) valid() bool        { return validID(o.Agent) && o.Time >= 0 }
func (o RemoveAgent) valid() bool     { return validID(o.Agent) }
func (o DrainAgent) valid() bool      { return validID(o.Agent) && o.Deadline >= 0 }
func (o DeactivateAgent) valid() bool { return validID(o.Agent) }
func (o ReactivateAgent) valid() bool { return validID(o.Agent) }

func validID[T ~string](id T) bool { return CheckName(string(id)) == nil }

func validAgent(i *AgentInfo, boot string) bool {
	return validID(i.ID) && len(boot) <= MaxRegistryText && len(i.Hostname) <= MaxRegistryText &&
		len(i.Address) <= MaxRegistryText && validLabels(i.Attributes) && validResources(i.Resources)
}

func validResources(r Resources) bool { return len(r.Append(nil)) <= MaxRegistryResources }

func validLabels(m map[string]string) bool {
	if len(m) > MaxRegistryLabels {
		return false
	}
	for k, v := range m {
		if len(k) > MaxNameBytes || len(v) > MaxRegistryText {
			return false
		}
	}
	return true
}
