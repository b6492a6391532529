package coordination

import (
	"errors"
	"fmt"
)

// Errors of operations and queries. Each but the last two stands for a [Code].
var (
	// ErrMalformed tells that an operation or a result cannot be decoded.
	ErrMalformed = errors.New("coordination: malformed operation")
	// ErrInvalidPath tells that a path breaks the rules of [CheckPath].
	ErrInvalidPath = errors.New("coordination: invalid path")
	// ErrNotFound tells that there is no node at the path.
	ErrNotFound = errors.New("coordination: node not found")
	// ErrVersion tells that the node's version is not the one expected.
	ErrVersion = errors.New("coordination: version mismatch")
	// ErrHasChildren tells that a node with children was to be deleted and
	// Recursive was not set.
	ErrHasChildren = errors.New("coordination: node has children")
	// ErrDataTooLarge tells that the data exceeds Limits.DataBytes.
	ErrDataTooLarge = errors.New("coordination: data too large")
	// ErrTooManyNodes tells that the tree would exceed Limits.Nodes.
	ErrTooManyNodes = errors.New("coordination: too many nodes")
	// ErrTreeFull tells that the tree would exceed Limits.TreeBytes.
	ErrTreeFull = errors.New("coordination: tree is full")
	// ErrDeleteTooLarge tells that a recursive deletion would remove more than
	// Limits.DeleteNodes nodes at once: delete its parts first.
	ErrDeleteTooLarge = errors.New("coordination: too many nodes to delete at once")
	// ErrRoot tells that the root cannot be deleted.
	ErrRoot = errors.New("coordination: the root cannot be deleted")
	// ErrExists tells that there is a node at the path of a Create.
	ErrExists = errors.New("coordination: node exists")
	// ErrNoParent tells that the parent of a Create does not exist.
	ErrNoParent = errors.New("coordination: parent not found")
	// ErrEphemeralParent tells that an ephemeral node cannot have children.
	ErrEphemeralParent = errors.New("coordination: ephemeral nodes have no children")
	// ErrSequence tells that the parent has had as many children as sequential
	// names can count: 2,147,483,647.
	ErrSequence = errors.New("coordination: no sequential name is left")
	// ErrAccess tells that the access list does not let the caller do that.
	ErrAccess = errors.New("coordination: access denied")
	// ErrInvalidACL tells that an access list makes no sense, or is too long.
	ErrInvalidACL = errors.New("coordination: invalid access list")
	// ErrQuota tells that the quota of a node above, or of the node, would be exceeded.
	ErrQuota = errors.New("coordination: quota exceeded")
	// ErrSession tells that the session is over, or never was.
	ErrSession = errors.New("coordination: session is over")
	// ErrSessionKey tells that the session is somebody else's.
	ErrSessionKey = errors.New("coordination: wrong session key")
	// ErrTooManySessions tells that there are Limits.Sessions, and
	// ErrTooManyEphemerals that the session has Limits.SessionEphemerals nodes.
	ErrTooManySessions   = errors.New("coordination: too many sessions")
	ErrTooManyEphemerals = errors.New("coordination: too many ephemeral nodes of one session")
	// ErrEpoch tells that another has claimed the sessions since.
	ErrEpoch = errors.New("coordination: sessions were claimed by another")
	// ErrMulti tells of an operation of a Multi that it was not looked at, because
	// an earlier one was refused.
	ErrMulti = errors.New("coordination: an earlier operation of the transaction was refused")
	// ErrMultiTooLarge tells that a Multi has more than Limits.MultiOperations.
	ErrMultiTooLarge = errors.New("coordination: too many operations in one transaction")
	// ErrQuotaTooLarge tells that a quota was not set because more than Limits.DeleteNodes
	// nodes would have to be counted at once, both of what stands there and of what stands
	// around it within a quota or the tree. What has a quota counts as one: set those of
	// parts first.
	ErrQuotaTooLarge = errors.New("coordination: too many nodes to count at once for a quota")

	// ErrHistoryGone tells that events after the index asked for have been
	// dropped: read the tree anew and watch from there.
	ErrHistoryGone = errors.New("coordination: event history is gone")
	// ErrCorrupt tells that a snapshot's bytes do not add up.
	ErrCorrupt = errors.New("coordination: corrupt snapshot")
)

// Code tells how an operation ended. The numbers are stable: they go over the
// wire and into the log's results.
type Code uint8

// The codes. Nothing has changed unless the code is CodeOK.
const (
	CodeOK             Code = 0
	CodeMalformed      Code = 1  // ErrMalformed
	CodeInvalidPath    Code = 2  // ErrInvalidPath
	CodeNotFound       Code = 3  // ErrNotFound
	CodeVersion        Code = 4  // ErrVersion; Stat is the node's as it is
	CodeHasChildren    Code = 5  // ErrHasChildren
	CodeDataTooLarge   Code = 6  // ErrDataTooLarge
	CodeTooManyNodes   Code = 7  // ErrTooManyNodes
	CodeTreeFull       Code = 8  // ErrTreeFull
	CodeDeleteTooLarge Code = 9  // ErrDeleteTooLarge
	CodeRoot           Code = 10 // ErrRoot

	CodeExists            Code = 11 // ErrExists; Stat is the node's
	CodeNoParent          Code = 12 // ErrNoParent
	CodeEphemeralParent   Code = 13 // ErrEphemeralParent
	CodeSequence          Code = 14 // ErrSequence
	CodeAccess            Code = 15 // ErrAccess
	CodeInvalidACL        Code = 16 // ErrInvalidACL
	CodeQuota             Code = 17 // ErrQuota
	CodeSession           Code = 18 // ErrSession
	CodeSessionKey        Code = 19 // ErrSessionKey
	CodeTooManySessions   Code = 20 // ErrTooManySessions
	CodeTooManyEphemerals Code = 21 // ErrTooManyEphemerals
	CodeEpoch             Code = 22 // ErrEpoch
	CodeMulti             Code = 23 // ErrMulti
	CodeMultiTooLarge     Code = 24 // ErrMultiTooLarge
	CodeQuotaTooLarge     Code = 25 // ErrQuotaTooLarge
)

var codeErrors = [...]error{nil, ErrMalformed, ErrInvalidPath, ErrNotFound, ErrVersion, ErrHasChildren,
	ErrDataTooLarge, ErrTooManyNodes, ErrTreeFull, ErrDeleteTooLarge, ErrRoot,
	ErrExists, ErrNoParent, ErrEphemeralParent, ErrSequence, ErrAccess, ErrInvalidACL, ErrQuota,
	ErrSession, ErrSessionKey, ErrTooManySessions, ErrTooManyEphemerals, ErrEpoch, ErrMulti,
	ErrMultiTooLarge, ErrQuotaTooLarge}

// Err is nil for CodeOK and otherwise the error that the code stands for.
func (c Code) Err() error {
	if int(c) < len(codeErrors) {
		return codeErrors[c]
	}
	return fmt.Errorf("coordination: unknown result code %d", uint8(c))
}

// Result is how an operation ended.
type Result struct {
	Code Code
	// Index is that of the operation in the log. If Code is CodeOK, whoever
	// watches from here on sees everything that happens after the operation.
	Index uint64
	// Nodes is how many nodes the operation created, changed and deleted,
	// including implicit parents.
	Nodes uint64
	// Stat is the node's after the operation; of a deleted node the last one;
	// for CodeVersion and CodeHasChildren the present one. Otherwise zero, and
	// also if the version did not match because there is no node.
	Stat Stat
	// Path is what Create has made: with the number, if it is sequential.
	Path string
	// Session is what OpenSession has opened, with the Timeout and Linger granted.
	Session SessionInfo
	// Failed is the place in Operations of the one for which a Multi was refused; Code
	// is its code. Results are those of the operations, as ZooKeeper tells them: if the
	// Multi was refused, CodeOK of those before Failed, which were undone, and CodeMulti
	// of those behind it.
	Failed  int
	Results []Result
	// Expired is how many of an ExpireSessions' Sessions are over: the first ones, as
	// many as have no more than Limits.DeleteNodes nodes together, but at least one.
	// The others are to be named again.
	Expired int
}

// Err is r.Code.Err().
func (r Result) Err() error { return r.Code.Err() }
