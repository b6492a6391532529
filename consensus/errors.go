package consensus

import "errors"

// What Propose, ReadIndex, ChangeMembership and TransferLeadership answer, and
// what Read.Err holds.
var (
	// ErrNotLeader: this replica does not lead, or (ReadIndex) knows no leader.
	ErrNotLeader = errors.New("consensus: not the leader")
	// ErrOverloaded: a bound of Config is reached. Nothing was taken; try later.
	ErrOverloaded = errors.New("consensus: overloaded")
	// ErrSealing: the log changes its epoch. Nothing was taken; the host keeps the
	// proposals and offers them again when Gather says so.
	ErrSealing = errors.New("consensus: the log changes its epoch")
	// ErrTransferring: leadership is being handed over. Try the next leader.
	ErrTransferring = errors.New("consensus: leadership is being transferred")
	// ErrUnavailable: no answer in time (Read.Err), or the replica asked to
	// lead does not answer or has a stalled disk (TransferLeadership).
	ErrUnavailable = errors.New("consensus: unavailable")
)

// What ChangeMembership and TransferLeadership answer about members.
var (
	// ErrStaleVersion: the configuration has changed since the caller read it.
	ErrStaleVersion = errors.New("consensus: stale configuration version")
	// ErrChangePending: the change before, or the first entry of the leader's
	// term, is not yet committed.
	ErrChangePending = errors.New("consensus: a membership change is pending")
	// ErrInvalidMembership is wrapped by what says why a list of members
	// cannot be a configuration.
	ErrInvalidMembership = errors.New("consensus: invalid membership")
	// ErrUnknownMember: the replica is not a voter of the configuration.
	ErrUnknownMember = errors.New("consensus: not a voter")
)

// ErrMalformed is wrapped by what DecodeEntries and DecodeConfiguration say
// about bytes they did not write.
var ErrMalformed = errors.New("consensus: malformed")
