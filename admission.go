package synod

import (
	"fmt"
	"sync"

	"github.com/synod-go/synod/cluster"
	"github.com/synod-go/synod/raft"
)

// admission knows which id is whose, by the configurations in force of all
// groups. A certificate proves a name and nothing more: it is the configuration,
// which a majority agreed on, that says under which id that name votes.
type admission struct {
	mu sync.Mutex
	by map[string]raft.Configuration // by the group's name
}

// learn takes the configuration of a group.
func (a *admission) learn(group string, c raft.Configuration) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.by == nil {
		a.by = make(map[string]raft.Configuration)
	}
	a.by[group] = c
}

// admit refuses a node that comes with a member's id under another name. A
// member's name with another id is let in: a node that lost its disk comes back
// like that, and whether it may take the place is for the leader to say.
func (a *admission) admit(id cluster.NodeID, name string) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, c := range a.by {
		if m, ok := c.Find(raft.ID(id)); ok && m.Name != "" && m.Name != name {
			return fmt.Errorf("node %s is %q, not %q", id, m.Name, name)
		}
	}
	return nil
}
