package coordination

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// model is the tree in the plainest words: maps of paths and of sessions. It looks at
// everything anew each time, and a refused operation is taken back by taking the
// copy from before.
type model struct {
	nodes    map[string]modelNode
	sessions map[uint64]SessionInfo
	keys     map[uint64]SessionKey
	claimed  uint64
	limits   Limits

	index, touched uint64
	now            int64
	deleted        int // by this operation's Deletes
	caller         Caller
}

type modelNode struct {
	data             string
	version          int64
	create, modify   uint64
	created, changed uint64 // children
	modifyTime       int64
	mode             Mode
	session          uint64
	ttl              int64
	acl              ACL
	aclVersion       int64
	quota            [2]int64 // nodes, bytes
}

func newModel(l Limits) *model {
	return &model{nodes: map[string]modelNode{"/": {}}, sessions: map[uint64]SessionInfo{},
		keys: map[uint64]SessionKey{}, limits: l}
}

func (m *model) copied() model {
	c := *m
	c.nodes, c.sessions, c.keys = maps.Clone(m.nodes), maps.Clone(m.sessions), maps.Clone(m.keys)
	return c
}

func (m *model) children(path string) (names []string) {
	for other := range m.nodes {
		if other != "/" && parentOf(other) == path {
			names = append(names, other)
		}
	}
	return names
}

func (m *model) below(path string) (paths []string) {
	for other := range m.nodes {
		if strings.HasPrefix(other, strings.TrimSuffix(path, "/")+"/") && other != path {
			paths = append(paths, other)
		}
	}
	return paths
}

func (m *model) owned(session uint64) (paths []string) {
	for path, n := range m.nodes {
		if n.session == session && session != 0 {
			paths = append(paths, path)
		}
	}
	slices.Sort(paths)
	return paths
}

func parentOf(path string) string { return path[:max(1, strings.LastIndex(path, "/"))] }

// outcome is what the model says about a result.
type outcome struct {
	code    Code
	path    string
	nodes   uint64
	failed  int
	parts   string // codes
	expired int
}

func outcomeOf(r Result) outcome {
	o := outcome{code: r.Code, path: r.Path, nodes: r.Nodes, failed: r.Failed, expired: r.Expired}
	for _, part := range r.Results {
		o.parts += fmt.Sprint(part.Code, part.Path, part.Nodes, " ")
	}
	return o
}

func (m *model) apply(index uint64, now int64, o Operation) outcome {
	before := m.copied()
	m.index, m.now, m.touched, m.deleted, m.caller = index, now, 0, 0, o.Caller
	out := m.run(o)
	if out.code != CodeOK {
		*m = before
		return out
	}
	if o.Kind != ClaimSessions && o.Kind != OpenSession && o.Kind != AttachSessions && o.Kind != Check {
		out.nodes = m.touched
	}
	return out
}

func (m *model) run(o Operation) outcome {
	if slices.ContainsFunc(o.Operations, func(part Operation) bool { return part.Kind > SetACL }) {
		return outcome{code: CodeMalformed}
	}
	if id := o.Caller.Session; id != 0 || o.Kind == CloseSession {
		if _, ok := m.sessions[id]; !ok {
			return outcome{code: CodeSession}
		}
		if m.keys[id] != o.Caller.Key {
			return outcome{code: CodeSessionKey}
		}
	}
	switch o.Kind {
	case Multi:
		return m.all(o.Operations)
	case OpenSession:
		if len(m.sessions) >= m.limits.Sessions {
			return outcome{code: CodeTooManySessions}
		}
		m.sessions[m.index] = SessionInfo{ID: m.index, Timeout: 10_000, Linger: 10_000, Opened: m.now, Connection: 1}
		m.keys[m.index] = o.Caller.Key
	case CloseSession:
		m.end(o.Caller.Session)
	case ClaimSessions:
		m.claimed = m.index
	case ExpireSessions, Reap, AttachSessions:
		if o.Epoch != m.claimed || m.claimed == 0 {
			return outcome{code: CodeEpoch}
		}
		switch o.Kind {
		case Reap:
			m.reap()
		case AttachSessions:
			m.attach(o.Sessions, o.Connections)
		default:
			return outcome{expired: m.expire(o.Sessions)}
		}
	default:
		return m.one(o)
	}
	return outcome{}
}

func (m *model) all(operations []Operation) outcome {
	if len(operations) > m.limits.MultiOperations {
		return outcome{code: CodeMultiTooLarge}
	}
	var parts string
	for i, o := range operations {
		before := m.touched
		out := m.one(o)
		if out.code != CodeOK {
			parts = strings.Repeat(fmt.Sprint(CodeOK, "", 0, " "), i) + fmt.Sprint(out.code, "", 0, " ") +
				strings.Repeat(fmt.Sprint(CodeMulti, "", 0, " "), len(operations)-i-1)
			return outcome{code: out.code, failed: i, parts: parts}
		}
		parts += fmt.Sprint(CodeOK, out.path, m.touched-before, " ")
	}
	return outcome{parts: parts}
}

func (m *model) one(o Operation) outcome {
	n, exists := m.nodes[o.Path]
	switch {
	case o.Kind == Create:
		return m.make(o)
	case o.Kind == Put:
		return outcome{code: m.put(o, n, exists)}
	case o.Kind == SetACL && !validInTests(o.ACL, m.caller):
		return outcome{code: CodeInvalidACL}
	case !exists:
		return outcome{code: CodeNotFound}
	}
	version, permission, at := n.version, MayRead, o.Path
	switch {
	case o.Kind == Delete && o.Path == "/":
		return outcome{code: CodeRoot}
	case o.Kind == Delete:
		permission, at = MayDelete, parentOf(o.Path)
	case o.Kind == SetACL:
		version, permission = n.aclVersion+1, MayAdmin
	case o.Kind == SetQuota:
		permission = MayAdmin
	}
	switch {
	case !m.may(at, permission):
		return outcome{code: CodeAccess}
	case o.Version != AnyVersion && o.Version != version || o.CreateIndex != 0 && o.CreateIndex != n.create:
		return outcome{code: CodeVersion}
	}
	switch o.Kind {
	case Delete:
		return outcome{code: m.delete(o)}
	case SetACL:
		n.acl, n.aclVersion = settledInTests(o.ACL, m.caller), n.aclVersion+1
	case SetQuota:
		if n.quota == [2]int64{} && o.QuotaNodes+o.QuotaBytes > 0 && !m.countable(o.Path) {
			return outcome{code: CodeQuotaTooLarge}
		}
		n.quota = [2]int64{o.QuotaNodes, o.QuotaBytes}
	default:
		return outcome{}
	}
	m.nodes[o.Path] = n
	m.touched++
	return outcome{}
}

// The access lists of the tests are few: the model knows them one by one.
func validInTests(a ACL, caller Caller) bool {
	return a == nil || len(a) > 0 && a[0].Principal.Scheme != "nonsense" && len(settledInTests(a, caller)) > 0
}

func settledInTests(a ACL, caller Caller) (kept ACL) {
	if len(a) == 0 || a[0].Principal.Scheme != "auth" {
		return a
	}
	for _, p := range caller.Principals {
		if p.Scheme == "digest" {
			kept = append(kept, Grant{a[0].Permissions, p})
		}
	}
	return kept
}

func (m *model) may(path string, permission Permission) bool {
	acl, allowed := m.nodes[path].acl, false
	for _, g := range acl {
		covered := g.Principal.Scheme == "world"
		for _, p := range m.caller.Principals {
			covered = covered || p == g.Principal || p.Scheme == "ip" && g.Principal.ID == "10.0.0.0/8" && strings.HasPrefix(p.ID, "10.")
		}
		allowed = allowed || covered && g.Permissions&permission != 0
	}
	return acl == nil || allowed || slices.Contains(m.caller.Principals, Principal{"super", "root"})
}

func (m *model) delete(o Operation) Code {
	below := m.below(o.Path)
	switch {
	case len(below) > 0 && !o.Recursive:
		return CodeHasChildren
	case m.deleted+len(below)+1 > m.limits.DeleteNodes:
		return CodeDeleteTooLarge
	}
	for _, path := range append(below, o.Path) {
		if len(m.children(path)) > 0 && !m.may(path, MayDelete) {
			return CodeAccess
		}
	}
	m.deleted += len(below) + 1
	for _, path := range below {
		delete(m.nodes, path)
		m.touched++
	}
	m.remove(o.Path)
	return CodeOK
}

func (m *model) remove(path string) {
	for ; ; path = parentOf(path) {
		delete(m.nodes, path)
		m.touched++
		parent := m.nodes[parentOf(path)]
		parent.changed = m.index
		m.nodes[parentOf(path)] = parent
		if parentOf(path) == "/" || parent.version > 0 && parent.mode != Container || len(m.children(parentOf(path))) > 0 {
			return
		}
	}
}

// room says whether a node may come to be, or its data grow.
func (m *model) room(path string, data []byte) Code {
	above, nodes := path, 0
	for ; ; above = parentOf(above) {
		if _, ok := m.nodes[above]; ok {
			break
		}
		nodes++
	}
	switch {
	case nodes > 0 && m.nodes[above].mode == Ephemeral:
		return CodeEphemeralParent
	case len(data) > m.limits.DataBytes:
		return CodeDataTooLarge
	case len(m.nodes)+nodes > m.limits.Nodes:
		return CodeTooManyNodes
	}
	bytes := len(data) - len(m.nodes[path].data)
	for quota := above; ; quota = parentOf(quota) {
		bound := m.nodes[quota].quota
		used := m.used(quota)
		if bound[0] > 0 && nodes > 0 && used[0]+int64(nodes) > bound[0] || bound[1] > 0 && bytes > 0 && used[1]+int64(bytes) > bound[1] {
			return CodeQuota
		}
		if quota == "/" {
			return CodeOK
		}
	}
}

// add makes a node, and its parents, and puts data there.
func (m *model) add(path string, n modelNode) {
	above := parentOf(path)
	if _, ok := m.nodes[above]; !ok {
		m.add(above, modelNode{})
	}
	n.create, n.changed, n.modify, n.modifyTime = m.index, m.index, m.index, m.now
	m.nodes[path] = n
	parent := m.nodes[above]
	parent.created++
	parent.changed = m.index
	m.nodes[above] = parent
	m.touched++
}

func (m *model) put(o Operation, n modelNode, exists bool) Code {
	above, permission := o.Path, MayCreate
	for ; m.nodes[above].create == 0 && above != "/"; above = parentOf(above) {
	}
	if exists {
		permission = MayWrite
	}
	switch {
	case !m.may(above, permission):
		return CodeAccess
	case o.Version == Unwritten && n.version != 0 || o.Version > 0 && n.version != o.Version || o.CreateIndex != 0 && o.CreateIndex != n.create:
		return CodeVersion
	}
	if code := m.room(o.Path, o.Data); code != CodeOK {
		return code
	}
	if !exists {
		m.add(o.Path, modelNode{data: string(o.Data), version: 1})
		return CodeOK
	}
	n.data, n.modify, n.modifyTime = string(o.Data), m.index, m.now
	n.version++
	m.nodes[o.Path] = n
	m.touched++
	return CodeOK
}

func (m *model) make(o Operation) outcome {
	path := o.Path
	if o.Sequential {
		path = fmt.Sprintf("%s%010d", path, m.nodes[parentOf(path)].created)
	}
	_, exists := m.nodes[path]
	_, hasParent := m.nodes[parentOf(path)]
	above := parentOf(path)
	for ; m.nodes[above].create == 0 && above != "/"; above = parentOf(above) {
	}
	_, open := m.sessions[m.caller.Session]
	switch {
	case strings.Contains(path, "//") || path != "/" && strings.HasSuffix(path, "/"):
		return outcome{code: CodeInvalidPath}
	case !validInTests(o.ACL, m.caller):
		return outcome{code: CodeInvalidACL}
	case o.Mode == Ephemeral && !open:
		return outcome{code: CodeSession}
	case o.Mode == Ephemeral && len(m.owned(m.caller.Session)) == m.limits.SessionEphemerals:
		return outcome{code: CodeTooManyEphemerals}
	case !hasParent && !o.MakeParents:
		return outcome{code: CodeNoParent}
	case !m.may(above, MayCreate):
		return outcome{code: CodeAccess}
	case exists:
		return outcome{code: CodeExists}
	}
	if code := m.room(path, o.Data); code != CodeOK {
		return outcome{code: code}
	}
	n := modelNode{data: string(o.Data), version: 1, mode: o.Mode, ttl: o.TTL, acl: settledInTests(o.ACL, m.caller)}
	if o.Mode == Ephemeral {
		n.session = m.caller.Session
	}
	m.add(path, n)
	return outcome{path: path}
}
