package sim

import (
	"encoding/binary"
	"fmt"

	"github.com/synod-go/synod/coordination"
)

// somePath is one of a few, so that clients meet.
func (t *treeWork) somePath(d draw) string {
	switch n := d.below(20); {
	case n < 2:
		return lockPath(n)
	case n == 2:
		return "/d"
	}
	d = d.split()
	path := "/d/" + string(rune('a'+d.below(4)))
	if d = d.split(); d.perMille(500) {
		path += "/" + string(rune('a'+d.split().below(3)))
	}
	return path
}

// below is a path that clients may change in any way: none of a lock.
func (t *treeWork) below(d draw) string {
	for {
		if path := t.somePath(d); path[1] == 'd' {
			return path
		}
		d = d.split()
	}
}

// change is any change of a single node, with or without a chance.
func (t *treeWork) change(x *treeClient, d draw) coordination.Operation {
	o := t.part(d)
	if d = d.split(); d.perMille(900) || o.Mode == coordination.Ephemeral {
		o.Caller = x.caller()
	}
	switch n := d.split().below(100); {
	case n < 10 && len(t.oracle.claims) > 1: // as a leader of the past would
		o = coordination.Operation{Kind: coordination.ExpireSessions, Epoch: t.oracle.claims[n%(len(t.oracle.claims)-1)]}
		for _, s := range t.oracle.tree.SessionsAfter(0, all) {
			o.Sessions = append(o.Sessions, s.ID)
		}
	case n < 13: // goes if nobody stands in the queue
		o = coordination.Operation{Kind: coordination.Delete, Path: lockPath(n % treeLocks)}
	case n < 16:
		o = coordination.Operation{Kind: coordination.SetQuota, Path: "/d", QuotaNodes: int64(d.split().below(60)), QuotaBytes: int64(n-13) * 300}
	}
	return o
}

// part is a change that a transaction may hold.
func (t *treeWork) part(d draw) coordination.Operation {
	o := coordination.Operation{Path: t.below(d), Data: binary.LittleEndian.AppendUint64(nil, uint64(d))}
	d = d.split()
	if n, err := t.oracle.tree.Exists(o.Path); err == nil && d.perMille(300) {
		o.Version = n.Version
		o.CreateIndex = n.CreateIndex * uint64(d.split().below(2))
	}
	d = d.split()
	switch n := d.below(100); {
	case n < 30:
		o.Kind = coordination.Put
	case n < 50:
		o.Kind, o.Data, o.Recursive = coordination.Delete, nil, d.split().perMille(500)
	case n < 55:
		o.Kind, o.Data = coordination.Check, nil
	default:
		t.creation(&o, d.split())
	}
	return o
}

func (t *treeWork) creation(o *coordination.Operation, d draw) {
	o.Kind, o.Version, o.CreateIndex = coordination.Create, 0, 0
	o.Mode = [...]coordination.Mode{coordination.Persistent, coordination.Ephemeral, coordination.Ephemeral, coordination.Container,
		coordination.TTL}[d.below(5)]
	if o.Mode == coordination.TTL {
		o.TTL = d.split().between(1, 2000)
	}
	d = d.split().split()
	o.Sequential, o.MakeParents = d.perMille(400), d.split().perMille(600)
}

// transaction has a few changes. Some are guarded by the token of a lock that the client holds.
func (t *treeWork) transaction(x *treeClient, d draw) coordination.Operation {
	o := coordination.Operation{Kind: coordination.Multi, Caller: x.caller()}
	if x.lock.phase == holds && d.perMille(700) {
		o.Operations = append(o.Operations, coordination.Operation{Kind: coordination.Check, Path: x.lock.path, CreateIndex: x.lock.token})
	}
	d = d.split()
	for range 1 + d.below(4) {
		d = d.split()
		o.Operations = append(o.Operations, t.part(d.split()))
	}
	return o
}

// stolen is what somebody asks for who has the number of a session and not its key, or the
// key of one that is long over.
func (t *treeWork) stolen(x *treeClient, d draw) coordination.Operation {
	o := t.part(d)
	o.Caller = x.caller()
	if d = d.split(); d.perMille(500) {
		o.Caller.Key[0]++
		return o
	}
	o.Caller.Session = 1 + uint64(d.split().below(int(x.session.id)))
	return o
}

// The locks, and where their queues are.
const treeLocks = 2

func lockPath(lock int) string { return fmt.Sprintf("/lock/%d", lock) }
