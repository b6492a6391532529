package coordination

import "strings"

func (m *model) used(path string) (used [2]int64) {
	for _, at := range append(m.below(path), path) {
		used[0]++
		used[1] += int64(len(m.nodes[at].data))
	}
	return used
}

// countable says whether a quota may be set at path: few nodes stand there, or few do around it.
func (m *model) countable(path string) bool {
	around := parentOf(path)
	for around != "/" && m.nodes[around].quota == [2]int64{} {
		around = parentOf(around)
	}
	inside, rest := 0, 0
	for at := range m.nodes {
		if m.seen(at, path) {
			inside++
		}
		if m.seen(at, around) && at != path && !strings.HasPrefix(at, path+"/") {
			rest++
		}
	}
	return path == "/" || min(inside, rest) <= m.limits.DeleteNodes
}

// seen says whether a node is looked at when all below top are counted: none below another quota is.
func (m *model) seen(path, top string) bool {
	if path == top {
		return true
	}
	above := parentOf(path)
	return path != "/" && m.seen(above, top) && (above == top || m.nodes[above].quota == [2]int64{})
}
