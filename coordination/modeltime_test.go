package coordination

import (
	"cmp"
	"slices"
)

func (m *model) attach(sessions, connections []uint64) {
	for i, id := range sessions {
		if s, open := m.sessions[id]; open {
			s.Connection, s.Unbound = max(s.Connection, connections[i]), s.Unbound || connections[i] == 0
			m.sessions[id] = s
		}
	}
}

func (m *model) end(session uint64) {
	for _, path := range m.owned(session) {
		m.remove(path)
	}
	delete(m.sessions, session)
	delete(m.keys, session)
}

func (m *model) expire(ids []uint64) int {
	nodes, ended := 0, false
	for i, id := range ids {
		nodes += len(m.owned(id))
		if nodes > m.limits.DeleteNodes && ended {
			return i
		}
		_, open := m.sessions[id]
		ended = ended || open && len(m.owned(id)) > 0
		m.end(id)
	}
	return len(ids)
}

// due returns the nodes with a TTL that could be reaped sooner or later, in order.
func (m *model) due() (paths []string) {
	for path, n := range m.nodes {
		if n.mode == TTL && len(m.children(path)) == 0 {
			paths = append(paths, path)
		}
	}
	slices.SortFunc(paths, func(a, b string) int { return cmp.Or(cmp.Compare(m.deadline(a), m.deadline(b)), cmp.Compare(a, b)) })
	return paths
}

func (m *model) deadline(path string) int64 { return m.nodes[path].modifyTime + m.nodes[path].ttl }

func (m *model) reap() {
	for range m.limits.DeleteNodes {
		due := m.due()
		if len(due) == 0 || m.deadline(due[0]) > m.now {
			return
		}
		m.remove(due[0])
	}
}
