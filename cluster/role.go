package cluster

import "slices"

// Role is what a certificate or a token allows its holder to be.
type Role string

const (
	// RoleNode may speak on the link, and do everything at the API: a node sends on what others ask it.
	RoleNode Role = "node"
	// RoleAgent runs tasks: it may be an agent of the leading master, and answer nodes.
	RoleAgent Role = "agent"

	// The roles of clients speak to the API only. Each may do what those before it may.

	// RoleView looks: keys, the state of the cluster, logs of tasks. It changes nothing.
	RoleView Role = "view"
	// RoleUse writes keys, and has sessions, locks and elections.
	RoleUse Role = "use"
	// RoleOperate runs jobs, frameworks and commands beside tasks, and looks after agents.
	RoleOperate Role = "operate"
	// RoleAdmin changes who is a member, quotas, and others' sessions.
	RoleAdmin Role = "admin"
	// RoleClient is what RoleAdmin was called while it was the only one, and still is.
	RoleClient Role = "client"
)

// clientRoles are the roles of clients, the least first.
var clientRoles = []Role{RoleView, RoleUse, RoleOperate, RoleAdmin}

// ClientRoles returns the roles that a client can have, the least first, and RoleClient.
func ClientRoles() []Role { return append(slices.Clone(clientRoles), RoleClient) }

// known reports whether r is a role.
func (r Role) known() bool {
	return r == RoleNode || r == RoleAgent || slices.Contains(ClientRoles(), r)
}

// May reports whether who has the role r may do what takes the role need. A node may do what
// any client may; an agent may only be an agent.
func (r Role) May(need Role) bool {
	if r == RoleAgent || !slices.Contains(clientRoles, need) {
		return r == need && r.known()
	}
	if r == RoleNode || r == RoleClient {
		r = RoleAdmin
	}
	return slices.Index(clientRoles, r) >= slices.Index(clientRoles, need)
}
