package main

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/synod-go/synod"
	"github.com/synod-go/synod/api"
)

// engineFlag is the flag --engine of start and dev.
func engineFlag(c *cobra.Command, engine *string) {
	c.Flags().StringVar(engine, "engine", string(synod.Raft), "protocol of the replicated log, raft or paxos: the same on all nodes, and for ever")
}

// checkEngine refuses what is no engine.
func checkEngine(engine string) error {
	if engine != string(synod.Raft) && engine != string(synod.Paxos) {
		return &api.Error{Code: api.CodeUsage, Message: fmt.Sprintf("there is no engine %q", engine), Why: "--engine is raft or paxos"}
	}
	return nil
}

// paxosRoles reads --roles; the founder's must be enough for one node alone.
func (f *startFlags) paxosRoles() (synod.Roles, error) {
	if f.roles == "" {
		return 0, nil
	}
	roles, err := synod.ParseRoles(f.roles)
	switch {
	case err != nil:
		return 0, &api.Error{Code: api.CodeUsage, Message: "--roles " + f.roles + " is not understood", Why: err.Error(),
			Do: []string{"for example  --roles acceptor  or  --roles proposer,learner"}}
	case f.engine != string(synod.Paxos):
		return 0, &api.Error{Code: api.CodeUsage, Message: "--roles is for --engine paxos", Why: "the nodes of a Raft group are all alike"}
	case f.bootstrap && !roles.Has(synod.Proposer|synod.Acceptor):
		return 0, &api.Error{Code: api.CodeUsage, Message: "a node with --roles " + roles.String() + " cannot found a cluster",
			Why: "it is alone at first, and must be proposer and acceptor", Do: []string{"found it with another node, or with  --roles proposer,acceptor"}}
	}
	return roles, nil
}

// rolesDo says what to do about a node that was started with roles of another kind.
func rolesDo(e *synod.RolesError) []string {
	return []string{"start it with --roles " + e.Known.String(), "or give it another --data and --name, to join as what it shall be"}
}

// withRoles puts the roles that the members of a Paxos group play into their rows. A
// Raft group has none.
func withRoles(rows [][]string, members []api.MemberStatus) [][]string {
	if !slices.ContainsFunc(members, func(m api.MemberStatus) bool { return len(m.PaxosRoles) > 0 }) {
		return rows
	}
	at := slices.Index(rows[0], "ROLE") + 1
	rows[0] = slices.Insert(rows[0], at, "ROLES")
	for i, m := range members {
		rows[i+1] = slices.Insert(rows[i+1], at, cmp.Or(strings.Join(m.PaxosRoles, ","), "-"))
	}
	return rows
}
