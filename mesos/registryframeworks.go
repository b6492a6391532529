package mesos

import (
	"slices"
	"strconv"
)

// FrameworkStanding returns what a framework is: StandingNone, Connected, Disconnected or
// Removed.
func (r *Registry) FrameworkStanding(id FrameworkID) Standing {
	return r.frameworkResult(id).Was
}

// frameworkResult begins the result of an operation that is for frameworks that are known
// and not removed.
func (r *Registry) frameworkResult(id FrameworkID) RegistryResult {
	if f, ok := r.frameworks.get(string(id)); ok {
		was := StandingDisconnected
		if f.Connected {
			was = StandingConnected
		}
		return RegistryResult{Was: was, Since: f.Since}
	}
	if f, ok := r.removed.get(string(id)); ok {
		return RegistryResult{Code: CodeFrameworkRemoved, Was: StandingRemoved, Since: f.Since}
	}
	return RegistryResult{Code: CodeFrameworkUnknown}
}

func (o PutFramework) carryOut(r *Registry) RegistryResult {
	id := string(o.Info.ID)
	result := r.frameworkResult(o.Info.ID)
	f := FrameworkRecord{Info: o.Info, Connected: o.Connected, Since: o.Time}
	before, known := r.frameworks.get(id)
	if known && !o.Connected {
		f.Connected, f.Since = before.Connected, before.Since
	}
	switch {
	case result.Code == CodeFrameworkRemoved:
		return result
	case known && (before.Info.User != o.Info.User || before.Info.Principal != o.Info.Principal):
		result.Code = CodeImmutable
	case known && o.Connected && fenceOf(&o.Info) < fenceOf(&before.Info):
		result.Code = CodeFenced
	case r.frameworks.full(id, r.limits.Frameworks), !r.fits(r.frameworks.growth(id, f)):
		result.Code = CodeFull
	default:
		result.Code = CodeOK
		result.Changed = r.frameworks.set(id, f)
	}
	return result
}

// fenceOf is the token of a scheduler, 0 if it has none.
func fenceOf(i *FrameworkInfo) uint64 {
	token, err := strconv.ParseUint(i.Labels[FenceLabel], 10, 64)
	if err != nil {
		return 0
	}
	return token
}

func (o DisconnectFramework) carryOut(r *Registry) RegistryResult {
	result := r.frameworkResult(o.Framework)
	if result.Was != StandingConnected {
		return result
	}
	f, _ := r.frameworks.get(string(o.Framework))
	f.Connected, f.Since = false, o.Time
	result.Changed = r.frameworks.set(string(o.Framework), f)
	return result
}

func (o RemoveFramework) carryOut(r *Registry) RegistryResult {
	result := r.frameworkResult(o.Framework)
	if result.Code != CodeOK {
		return result
	}
	f, _ := r.frameworks.get(string(o.Framework))
	r.frameworks.remove(string(o.Framework))
	result.Dropped = r.removed.prune(0, r.limits.Removed-1)
	result.Changed = r.removed.set(string(o.Framework), RemovedFrameworkRecord{ID: o.Framework, Name: f.Info.Name, Since: o.Time})
	return result
}

func (o AllowFramework) carryOut(r *Registry) RegistryResult {
	result := r.frameworkResult(o.Framework)
	if result.Was == StandingRemoved {
		result.Code = CodeOK
		result.Changed = r.removed.remove(string(o.Framework))
	}
	return result
}

func (o SetWeight) carryOut(r *Registry) RegistryResult {
	if o.Weight == 0 {
		return RegistryResult{Changed: r.weights.remove(o.Role)}
	}
	w := RoleWeight(o)
	if r.weights.full(o.Role, r.limits.Roles) || !r.fits(r.weights.growth(o.Role, w)) {
		return RegistryResult{Code: CodeFull}
	}
	return RegistryResult{Changed: r.weights.set(o.Role, w)}
}

func (o SetQuota) carryOut(r *Registry) RegistryResult {
	if !o.Limited {
		return RegistryResult{Changed: r.quotas.remove(o.Role)}
	}
	q := RoleQuota{Role: o.Role, Limit: o.Limit}
	if r.quotas.full(o.Role, r.limits.Roles) || !r.fits(r.quotas.growth(o.Role, q)) {
		return RegistryResult{Code: CodeFull}
	}
	return RegistryResult{Changed: r.quotas.set(o.Role, q)}
}

func (o Prune) carryOut(r *Registry) RegistryResult {
	keep := o.Keep
	if keep == 0 {
		keep = maxRegistryRows
	}
	dropped := r.unreachable.prune(o.Before, keep) + r.gone.prune(o.Before, keep) + r.removed.prune(o.Before, keep)
	return RegistryResult{Changed: dropped > 0, Dropped: dropped}
}

func (o PutFramework) valid() bool {
	i := &o.Info
	return validID(i.ID) && len(i.Name) <= MaxRegistryText && len(i.User) <= MaxRegistryText &&
		len(i.Principal) <= MaxRegistryText && len(i.Hostname) <= MaxRegistryText && validRoles(i.Roles) &&
		validLabels(i.Labels) && i.FailoverTimeout >= 0 && i.FailoverTimeout <= MaxFailoverTimeout && o.Time >= 0
}

func (o DisconnectFramework) valid() bool { return validID(o.Framework) && o.Time >= 0 }
func (o RemoveFramework) valid() bool     { return validID(o.Framework) && o.Time >= 0 }
func (o AllowFramework) valid() bool      { return validID(o.Framework) }
func (o SetWeight) valid() bool {
	return CheckName(o.Role) == nil && o.Weight >= 0 && o.Weight <= MaxWeight
}
func (o SetQuota) valid() bool { return CheckName(o.Role) == nil && validResources(o.Limit) }
func (o Prune) valid() bool    { return o.Before >= 0 && o.Keep >= 0 && o.Keep <= maxRegistryRows }

func validRoles(roles []string) bool {
	if len(roles) > MaxRegistryLabels {
		return false
	}
	for i, role := range roles {
		if CheckName(role) != nil || slices.Contains(roles[:i], role) {
			return false
		}
	}
	return true
}
