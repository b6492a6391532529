package coordination

// Renew makes the tree that of a new cluster (replica.Renewer). All sessions end, and
// their ephemeral nodes with them: what their clients hold by now only the old cluster
// can know, and whoever held something finds out by losing it. The history of events
// ends too: whoever watches must list again, since what was seen of the old cluster may
// not be in the tree. All else stays, TTL nodes with the time that they had left.
func (t *Tree) Renew(index uint64, now int64) {
	var open []*session
	t.sessions.from(0, func(s *session) bool {
		open = append(open, s)
		return true
	})
	c := change{tree: t, index: index, now: now}
	for _, s := range open {
		c.endSession(s)
	}
	t.history = history{floor: index, last: index, total: t.history.total}
	t.claimed, t.applied = 0, index
	if t.notify != nil {
		t.notify(index)
	}
}
