package coordination

// OperationKind says what an [Operation] does.
type OperationKind uint8

// The kinds. The numbers are stable: they are in the log.
const (
	// Put writes the data of a node and creates the node, and any parents it
	// lacks, if there is none.
	Put OperationKind = 1
	// Delete removes a node.
	Delete OperationKind = 2
	// Create makes a node that must not exist (a Put may make one or change one).
	Create OperationKind = 3
	// Check changes nothing: it is refused unless the node exists and has the
	// Version and CreateIndex given. For a Multi.
	Check OperationKind = 4
	// SetACL replaces the access list of a node.
	SetACL OperationKind = 5
	// SetQuota bounds what may stand at and below a node; zero bounds end the quota.
	SetQuota OperationKind = 6
	// Multi carries out Operations one after the other, all or none.
	Multi OperationKind = 7

	// OpenSession opens a session, whose id is the index of the operation.
	OpenSession OperationKind = 16
	// CloseSession ends the caller's own session and deletes its ephemeral nodes.
	CloseSession OperationKind = 17
	// ClaimSessions makes the proposer the only one that may expire sessions and
	// reap nodes from here on: its Epoch is the index of the operation.
	ClaimSessions OperationKind = 18
	// ExpireSessions ends Sessions and deletes their ephemeral nodes. It is refused
	// unless Epoch is that of the last claim, so that a leader of the past, whose
	// clocks say nothing any more, ends none.
	ExpireSessions OperationKind = 19
	// Reap deletes nodes whose TTL has passed by log time, at most
	// Limits.DeleteNodes of them. Epoch is as for ExpireSessions.
	Reap OperationKind = 20
	// AttachSessions notes for each of Sessions that the connection of the same place in
	// Connections has shown itself, or with 0 a sign of life without one. Sessions that are
	// over are passed by, and so are connections lower than the highest. Epoch is as for
	// ExpireSessions.
	AttachSessions OperationKind = 21
)

// What [Operation.Version] may be apart from a version.
const (
	// AnyVersion expects nothing.
	AnyVersion int64 = 0
	// Unwritten expects that no data has been put at the path: there is no
	// node, or only one that was made as a parent of others.
	Unwritten int64 = -1
)

// Mode says how long a created node lives.
type Mode uint8

const (
	// Persistent nodes stay until they are deleted.
	Persistent Mode = 0
	// Ephemeral nodes are deleted with their session. They have no children.
	Ephemeral Mode = 1
	// Container nodes are deleted with their last child.
	Container Mode = 2
	// TTL nodes are deleted when they have no children and were not written for
	// Operation.TTL of log time.
	TTL Mode = 3
)

// Bounds of operations. They are part of the format, not of [Config].
const (
	// MaxTTL is the longest Operation.TTL, in milliseconds: almost 35 years, as in
	// ZooKeeper.
	MaxTTL int64 = 1<<40 - 1
	// MaxSequence is the highest number in a sequential node's name. ZooKeeper's
	// clients read it as a signed number of 32 bits.
	MaxSequence = 1<<31 - 1
	// MaxExpired is how many sessions one ExpireSessions or AttachSessions may name.
	MaxExpired = 1024
	// MaxOperations is the most that Limits.MultiOperations may be.
	MaxOperations = 4096
	// MaxPrincipals is how many a Caller may have, and MaxPrincipalBytes how long the
	// scheme or the id of one may be.
	MaxPrincipals     = 64
	MaxPrincipalBytes = 1024
)

// SessionKey proves that a session is the caller's: the first 16 bytes of the
// SHA-256 of its password. So neither log nor snapshot holds a password.
type SessionKey [16]byte

// Operation is a change of the tree: what a client proposes. Each field says for
// which kinds it is; elsewhere it must be zero.
type Operation struct {
	Kind OperationKind
	Path string
	// Data is what to Put or Create; at most Limits.DataBytes.
	Data []byte
	// Version is the version that the node must have for Put, Delete, Check and
	// SetACL (there of the access list, plus 1) to take place, AnyVersion, or (only
	// with Put) Unwritten.
	Version int64
	// CreateIndex, unless 0, is the Stat.CreateIndex that the node must have for Put,
	// Delete, Check and SetACL to take place. It tells a node from another one that was
	// later created at the same path; as a fencing token of a lock it guards a Multi.
	// A Put that has one never creates a node.
	CreateIndex uint64
	// Recursive lets Delete remove a node together with everything below it,
	// at most Limits.DeleteNodes nodes.
	Recursive bool

	// Mode, Sequential, MakeParents and TTL are for Create. A sequential node's name
	// is Path and ten digits: how many children its parent has had so far, at most
	// MaxSequence. Path may then end in a slash, for a name of digits alone. A parent
	// that vanishes with its last child begins anew at 0, so the number orders nodes
	// below one and the same parent only; CreateIndex orders all. MakeParents creates
	// the parents that Path lacks, as Put does, with nil access lists; without it they
	// must exist. TTL is in milliseconds, 1 to MaxTTL, and only for the mode of that
	// name.
	Mode        Mode
	Sequential  bool
	MakeParents bool
	TTL         int64
	// ACL is for Create and SetACL; nil lets anybody do anything, an empty one that is
	// not nil is refused.
	ACL ACL
	// QuotaNodes and QuotaBytes are for SetQuota: how many nodes there may be at and
	// below Path and how many bytes their data may have; 0 is no bound.
	QuotaNodes, QuotaBytes int64
	// Operations are those of a Multi, at most Limits.MultiOperations: Put, Delete,
	// Create, Check and SetACL, without Caller.
	Operations []Operation

	// Timeout and Linger are for OpenSession, in milliseconds: see [SessionInfo].
	Timeout, Linger int64
	// Sessions are those to expire or attach, at most MaxExpired, and Epoch who says so.
	// Connections, as many, are for AttachSessions.
	Sessions    []uint64
	Connections []uint64
	Epoch       uint64

	// Caller is who asks.
	Caller Caller
}

// Caller is who asks for an operation or a query.
type Caller struct {
	// Session is the caller's, 0 if it has none, and Key proves it. Every operation of
	// a session that is over is refused. For OpenSession Key is the new session's.
	Session uint64
	Key     SessionKey
	// Principals are who the caller has shown to be, for access lists. The proposer
	// vouches for them.
	Principals []Principal
}
