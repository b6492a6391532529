package api

import (
	"net/http"
	"slices"
)

// Code names one kind of failure. Codes are part of the interface: they are
// never renamed and never get another meaning.
type Code string

// The codes. Each is explained in docs/errors.md.
const (
	CodeUsage        Code = "E-USAGE"
	CodeRequest      Code = "E-REQUEST"
	CodeNotFound     Code = "E-NOTFOUND"
	CodeMethod       Code = "E-METHOD"
	CodeReach        Code = "E-REACH"
	CodeNoLeader     Code = "E-NOLEADER"
	CodeTimeout      Code = "E-TIMEOUT"
	CodeUnknown      Code = "E-UNKNOWN"
	CodeConflict     Code = "E-CONFLICT"
	CodeExists       Code = "E-EXISTS"
	CodeSession      Code = "E-SESSION"
	CodeDenied       Code = "E-DENIED"
	CodeQuota        Code = "E-QUOTA"
	CodeExpired      Code = "E-EXPIRED"
	CodeTooLarge     Code = "E-TOOLARGE"
	CodeOverloaded   Code = "E-OVERLOADED"
	CodeDiskFull     Code = "E-DISKFULL"
	CodeTreeFull     Code = "E-TREEFULL"
	CodeQuarantined  Code = "E-QUARANTINED"
	CodeStarting     Code = "E-STARTING"
	CodeStopped      Code = "E-STOPPED"
	CodeGone         Code = "E-GONE"
	CodeNoState      Code = "E-NOSTATE"
	CodeHost         Code = "E-HOST"
	CodeOrigin       Code = "E-ORIGIN"
	CodeAccess       Code = "E-ACCESS"
	CodeRole         Code = "E-ROLE"
	CodeTLS          Code = "E-TLS"
	CodeTokens       Code = "E-TOKENS"
	CodeUnhealthy    Code = "E-UNHEALTHY"
	CodePort         Code = "E-PORT"
	CodeInsecure     Code = "E-INSECURE"
	CodeData         Code = "E-DATA"
	CodeDamage       Code = "E-DAMAGE"
	CodeLost         Code = "E-LOST"
	CodeLocked       Code = "E-LOCKED"
	CodeFormat       Code = "E-FORMAT"
	CodeCluster      Code = "E-CLUSTER"
	CodePlace        Code = "E-PLACE"
	CodeJob          Code = "E-JOB"
	CodeAgent        Code = "E-AGENT"
	CodeSubscription Code = "E-SUBSCRIPTION"
	CodeMedia        Code = "E-MEDIA"
	CodeDemo         Code = "E-DEMO"
	CodeNoDemo       Code = "E-NODEMO"
	CodeQuorum       Code = "E-QUORUM"
	CodeInterrupted  Code = "E-INTERRUPTED"
	CodeInternal     Code = "E-INTERNAL"
)

// Exit codes of the command line. They are documented, tested and never change.
const (
	ExitOK          = 0
	ExitFailed      = 1   // failed for another reason
	ExitUsage       = 2   // wrong usage
	ExitNotFound    = 3   // the key, member or file does not exist
	ExitReach       = 4   // no node could be reached
	ExitNoQuorum    = 5   // no quorum or no leader: nothing was done
	ExitUnknown     = 6   // the outcome is unknown: it may have happened
	ExitConflict    = 7   // a compare-and-set was lost
	ExitUnhealthy   = 8   // status, wait: not healthy
	ExitPlace       = 9   // run, update, scale: no agent has room for it
	ExitInterrupted = 130 // ended by the user
)

// CodeInfo says what a Code means to HTTP clients and to the command line.
type CodeInfo struct {
	Code    Code
	Status  int    // HTTP status; 0 when only the command line reports it
	Exit    int    // exit code of the command line
	Meaning string // one sentence for people
	Retry   bool   // nothing happened and the same request may succeed soon
}

var codes = []CodeInfo{
	{CodeUsage, 0, ExitUsage, "The command line is not understood.", false},
	{CodeRequest, http.StatusBadRequest, ExitUsage, "The request is not valid: a path, a parameter or a header is malformed.", false},
	{CodeNotFound, http.StatusNotFound, ExitNotFound, "The key, member or address of the interface does not exist.", false},
	{CodeMethod, http.StatusMethodNotAllowed, ExitUsage, "The address exists but does not take this HTTP method.", false},
	{CodeReach, 0, ExitReach, "No node answered at any of the given addresses.", false},
	{CodeNoLeader, http.StatusServiceUnavailable, ExitNoQuorum, "No leader is known, or it has no quorum: nothing was done.", true},
	{CodeTimeout, http.StatusGatewayTimeout, ExitNoQuorum, "A read or a change that surely did not happen ran out of time.", true},
	{CodeUnknown, http.StatusGatewayTimeout, ExitUnknown, "A write may or may not have happened.", false},
	{CodeConflict, http.StatusPreconditionFailed, ExitConflict, "The compare-and-set was lost: the version is another one.", false},
	{CodeExists, http.StatusPreconditionFailed, ExitConflict, "The key to be created exists.", false},
	{CodeSession, http.StatusGone, ExitFailed, "The session is over, or its token is wrong: nothing was done.", false},
	{CodeDenied, http.StatusForbidden, ExitFailed, "The key's access list does not let the caller do that.", false},
	{CodeQuota, http.StatusInsufficientStorage, ExitFailed, "A quota at or above the key would be exceeded.", false},
	{CodeExpired, http.StatusConflict, ExitUnknown, "The request id is too old to tell whether the write has happened.", false},
	{CodeTooLarge, http.StatusRequestEntityTooLarge, ExitFailed, "The value, or the request, is larger than the limit.", false},
	{CodeOverloaded, http.StatusTooManyRequests, ExitFailed, "A bounded queue is full: nothing was done.", true},
	{CodeDiskFull, http.StatusInsufficientStorage, ExitFailed, "The disk is nearly full, of the leader, which takes no writes then, or of who writes a file: nothing is lost.", false},
	{CodeTreeFull, http.StatusInsufficientStorage, ExitFailed, "The tree of keys holds as much as it may.", false},
	{CodeQuarantined, http.StatusServiceUnavailable, ExitUnhealthy, "This node's state differs from its peers' and serves nothing.", true},
	{CodeStarting, http.StatusServiceUnavailable, ExitNoQuorum, "This node is starting.", true},
	{CodeStopped, http.StatusServiceUnavailable, ExitNoQuorum, "This node is stopping.", true},
	{CodeGone, http.StatusGone, ExitFailed, "The history that the watch asks for is gone: list again, then watch from there.", false},
	{CodeNoState, http.StatusMisdirectedRequest, ExitFailed, "This node is an acceptor alone: it has no state that could be read.", false},
	{CodeHost, http.StatusMisdirectedRequest, ExitFailed, "The Host header names another machine than this one.", false},
	{CodeOrigin, http.StatusForbidden, ExitFailed, "A web page of another origin tried to write.", false},
	{CodeAccess, http.StatusUnauthorized, ExitFailed, "The request needs a client certificate or a token of this cluster.", false},
	{CodeRole, http.StatusForbidden, ExitFailed, "The role of the certificate or token does not allow that.", false},
	{CodeTLS, 0, ExitFailed, "TLS failed: plain text met TLS, or a certificate is not accepted.", false},
	{CodeTokens, 0, ExitFailed, "A file with tokens cannot be used.", false},
	{CodeUnhealthy, http.StatusServiceUnavailable, ExitUnhealthy, "The node or the cluster is not healthy.", false},
	{CodePort, 0, ExitFailed, "An address to listen on is taken or not ours.", false},
	{CodeInsecure, 0, ExitUsage, "An address beyond loopback needs TLS or --insecure.", false},
	{CodeData, 0, ExitFailed, "The data directory cannot be used: missing, not writable or read-only.", false},
	{CodeDamage, 0, ExitFailed, "The log or a snapshot on disk is damaged.", false},
	{CodeLost, http.StatusServiceUnavailable, ExitFailed, "The data directory lacks what its node has acknowledged, or is a copy of one in use.", false},
	{CodeLocked, 0, ExitFailed, "Another process uses the data directory.", false},
	{CodeFormat, 0, ExitFailed, "The data directory was written by a newer version.", false},
	{CodeCluster, 0, ExitFailed, "The node belongs to another cluster, or none to join was found.", false},
	{CodePlace, 0, ExitPlace, "No agent can run the task now, or none ever could.", false},
	{CodeJob, 0, ExitFailed, "The job has failed, or its update has and was rolled back.", false},
	{CodeAgent, http.StatusBadGateway, ExitReach, "The agent on which the task runs cannot be reached.", true},
	{CodeSubscription, http.StatusForbidden, ExitFailed, "The scheduler's framework is not subscribed, or another scheduler has taken it over: nothing was done.", false},
	{CodeMedia, http.StatusUnsupportedMediaType, ExitUsage, "The body is in a format that this address does not take.", false},
	{CodeDemo, 0, ExitFailed, "A step of the demo failed.", false},
	{CodeNoDemo, http.StatusForbidden, ExitFailed, "Faults are made in demo mode alone, and from its machine.", false},
	{CodeQuorum, http.StatusConflict, ExitFailed, "The fault would take the cluster's quorum: nothing was done.", false},
	{CodeInterrupted, 0, ExitInterrupted, "The user ended the command.", false},
	{CodeInternal, http.StatusInternalServerError, ExitFailed, "A failure nobody planned for: please report it.", false},
}

// Codes returns every code in the order of docs/errors.md.
func Codes() []CodeInfo { return slices.Clone(codes) }

// Info returns what c means. An unknown code is reported as CodeInternal.
func (c Code) Info() CodeInfo {
	for _, info := range codes {
		if info.Code == c {
			return info
		}
	}
	return codes[len(codes)-1]
}
