package mesos

import "slices"

// AddFramework makes known an active framework with those roles, "*" if none, neither
// suppressed nor with filters. Of one that is known it sets the roles and makes it active.
func (a *Allocator) AddFramework(id FrameworkID, roles []string) {
	if a.frameworks[id] == nil {
		a.frameworks[id] = &allocatorFramework{active: true}
	}
	a.SetFrameworkActive(id, true)
	a.SetRoles(id, roles)
}

// SetRoles sets the roles in which a known framework is offered resources, "*" if none. What
// it holds in others it keeps.
func (a *Allocator) SetRoles(id FrameworkID, roles []string) {
	f := a.frameworks[id]
	if f == nil {
		return
	}
	names := roleNames(roles)
	for _, name := range f.roles {
		if !slices.Contains(names, name) {
			a.unsubscribe(a.client(clientKey{id, name}))
		}
	}
	f.roles = names
	for _, name := range names {
		c := a.client(clientKey{id, name})
		c.subscribed = true
		a.place(c)
	}
}

// RemoveFramework forgets a framework, but for what it holds: that is allocated until
// Recover gives it back, since its tasks run until they have ended.
func (a *Allocator) RemoveFramework(id FrameworkID) {
	if f := a.frameworks[id]; f != nil {
		for _, name := range f.roles {
			a.unsubscribe(a.client(clientKey{id, name}))
		}
		delete(a.frameworks, id)
	}
}

// SetFrameworkActive says whether a known framework has a scheduler that can be offered
// anything. When it has none any more its filters and suppressions are forgotten.
func (a *Allocator) SetFrameworkActive(id FrameworkID, active bool) {
	f := a.frameworks[id]
	if f == nil || f.active == active {
		return
	}
	f.active = active
	for _, name := range f.roles {
		c := a.client(clientKey{id, name})
		if !active {
			c.suppressed = false
			a.clearFilters(c)
		}
		a.place(c)
	}
}

// Suppress ends offers to a framework in those of its roles, in all if none is named.
func (a *Allocator) Suppress(id FrameworkID, roles []string) {
	a.eachRole(id, roles, func(c *client) { c.suppressed = true })
}

// Revive undoes Suppress, and forgets the filters.
func (a *Allocator) Revive(id FrameworkID, roles []string) {
	a.eachRole(id, roles, func(c *client) {
		c.suppressed = false
		a.clearFilters(c)
	})
}

// Wanted reports whether a framework other than id wants offers.
func (a *Allocator) Wanted(id FrameworkID) bool {
	for _, role := range a.sorter.list {
		for _, c := range role.sorter.list {
			if c.key.framework != id {
				return true
			}
		}
	}
	return false
}

func (a *Allocator) eachRole(id FrameworkID, roles []string, f func(*client)) {
	known := a.frameworks[id]
	if known == nil {
		return
	}
	for _, name := range known.roles {
		if len(roles) == 0 || slices.Contains(roles, name) {
			c := a.client(clientKey{id, name})
			f(c)
			a.place(c)
		}
	}
}

// unsubscribe ends offers to c.
func (a *Allocator) unsubscribe(c *client) {
	c.subscribed, c.suppressed = false, false
	a.clearFilters(c)
	a.place(c)
	a.dropClient(c)
}

// place puts c into the sorters if it wants offers, and takes it out otherwise.
func (a *Allocator) place(c *client) {
	f := a.frameworks[c.key.framework]
	wants := c.subscribed && !c.suppressed && f != nil && f.active
	if wants == c.listed {
		return
	}
	if wants {
		c.role.sorter.insert(c, a.total)
		a.wake(c)
	} else {
		a.sleep(c)
		c.role.sorter.remove(c)
	}
	switch contended := len(c.role.sorter.list) > 0; {
	case contended && !c.role.listed:
		a.sorter.insert(c.role, a.total)
	case !contended && c.role.listed:
		a.sorter.remove(c.role)
	}
}

// client is the one of that key, made if it is not there.
func (a *Allocator) client(key clientKey) *client {
	c := a.clients[key]
	if c == nil {
		role := a.role(key.role)
		role.clients++
		c = &client{contender: contender{name: string(key.framework), weight: One}, key: key, role: role}
		a.clients[key] = c
	}
	return c
}

// dropClient forgets c if there is nothing to know of it.
func (a *Allocator) dropClient(c *client) {
	if c.subscribed || c.held > 0 {
		return
	}
	delete(a.clients, c.key)
	c.role.clients--
	a.dropRole(c.role)
}
