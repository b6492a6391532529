package mesos

import "time"

// RegistryCommand is what a master proposes to the registry: operations that are carried
// out one after the other, each with a result of its own. Those of a master that is not the
// last one elected are refused, all of them: that is the fence behind a deposed master.
type RegistryCommand struct {
	// Term is the proposer's.
	Term Term
	// Operations are at most MaxRegistryOperations.
	Operations []RegistryOperation
}

// Bounds of commands. They are part of the format.
const (
	// MaxRegistryOperations is how many one command may have.
	MaxRegistryOperations = 4096
	// MaxRegistryBytes is how long an encoded command may be.
	MaxRegistryBytes = 8 << 20
	// MaxRegistryText is how many bytes a text that is no name may have: an address, a
	// boot id, the fields of an Info, what labels and attributes say.
	MaxRegistryText = 1024
	// MaxRegistryLabels is how many labels, attributes or roles there may be.
	MaxRegistryLabels = 256
	// MaxRegistryResources is how many bytes resources may have, encoded.
	MaxRegistryResources = 64 << 10
	// MaxDocumentBytes is how many bytes a document may have.
	MaxDocumentBytes = 64 << 10
	// MaxFailoverTimeout bounds FrameworkInfo.FailoverTimeout.
	MaxFailoverTimeout = 366 * 24 * time.Hour
	// MaxWeight bounds SetWeight.Weight: a million.
	MaxWeight Milli = 1_000_000_000
)

// RegistryOperation is one of the types below. All times are Unix time by the proposer's
// clock: the registry has none.
type RegistryOperation interface {
	kind() registryKind
	// appendTo encodes the fields.
	appendTo(dst []byte) []byte
	// valid reports whether the fields make sense on their own.
	valid() bool
	// carryOut does it, if it can be done.
	carryOut(r *Registry) RegistryResult
}

// registryKind says what an operation is. The numbers are stable: they are in the log.
type registryKind uint8

const (
	kindElectMaster         registryKind = 1
	kindAdmitAgent          registryKind = 2
	kindUpdateAgent         registryKind = 3
	kindMarkUnreachable     registryKind = 4
	kindMarkReachable       registryKind = 5
	kindMarkGone            registryKind = 6
	kindRemoveAgent         registryKind = 7
	kindDrainAgent          registryKind = 8
	kindDeactivateAgent     registryKind = 9
	kindReactivateAgent     registryKind = 10
	kindPutFramework        registryKind = 11
	kindDisconnectFramework registryKind = 12
	kindRemoveFramework     registryKind = 13
	kindAllowFramework      registryKind = 14
	kindSetWeight           registryKind = 15
	kindSetQuota            registryKind = 16
	kindPrune               registryKind = 17
	kindPutDocument         registryKind = 18
	kindRemoveDocument      registryKind = 19

	lastRegistryKind = kindRemoveDocument
)

// ElectMaster makes the proposer the last one elected, unless the command's Term is not
// higher than that of the one before (CodeTerm).
type ElectMaster struct {
	Name    string
	Address string
}

// AdmitAgent admits an agent under the id that the master has given it. It does nothing
// about one that is admitted with the same Info and Boot, and takes over new ones from the
// same machine. An unreachable agent comes back with MarkReachable, a gone one not at all;
// one that is admitted on another machine is refused with CodeElsewhere.
type AdmitAgent struct {
	Info AgentInfo
	Boot string
}

// UpdateAgent replaces what an admitted agent says of itself.
type UpdateAgent struct {
	Info AgentInfo
	Boot string
}

// MarkUnreachable moves an admitted agent to the unreachable ones.
type MarkUnreachable struct {
	Agent AgentID
	Time  time.Duration
}

// MarkReachable admits an unreachable agent again. It also admits one of which nothing is
// known, since the list of unreachable agents is pruned.
type MarkReachable struct {
	Info AgentInfo
	Boot string
}

// MarkGone moves an admitted or unreachable agent to the gone ones, for good: an operator
// says that its tasks have ended.
type MarkGone struct {
	Agent AgentID
	Time  time.Duration
}

// RemoveAgent forgets an admitted agent that takes its leave.
type RemoveAgent struct{ Agent AgentID }

// DrainAgent says of an admitted or unreachable agent that its tasks are to end by
// Deadline; 0 is none. It is deactivated by that.
type DrainAgent struct {
	Agent    AgentID
	Deadline time.Duration
}

// DeactivateAgent says that nothing more of an admitted or unreachable agent is offered.
type DeactivateAgent struct{ Agent AgentID }

// ReactivateAgent ends a drain or a deactivation.
type ReactivateAgent struct{ Agent AgentID }

// PutFramework makes a framework known or changes its Info, except for User and Principal
// (CodeImmutable, F-5). If Connected, a scheduler of it has connected at Time. Otherwise
// whether one is stays as it is, and a framework that is new has had none since Time.
type PutFramework struct {
	Info      FrameworkInfo
	Connected bool
	Time      time.Duration
}

// DisconnectFramework says that no scheduler is connected since Time. If none was anyhow,
// nothing changes: a failover timeout counts from the first.
type DisconnectFramework struct {
	Framework FrameworkID
	Time      time.Duration
}

// RemoveFramework ends a framework: its id is not taken again (F-4).
type RemoveFramework struct {
	Framework FrameworkID
	Time      time.Duration
}

// AllowFramework forgets that a framework was removed, so that its id is usable again.
type AllowFramework struct{ Framework FrameworkID }

// SetWeight gives a role a weight in thousandths, at most MaxWeight; 0 is the default again.
type SetWeight struct {
	Role   string
	Weight Milli
}

// SetQuota bounds what a role may have, or ends the bound if not Limited.
type SetQuota struct {
	Role    string
	Limited bool
	Limit   Resources
}

// Prune forgets which agents were unreachable or gone, and which frameworks were removed,
// before Before, and of each of the three the oldest beyond Keep; Keep 0 is no bound (P-6).
type Prune struct {
	Before time.Duration
	Keep   int
}

// PutDocument keeps Data under a name, in the place of what was there.
type PutDocument struct {
	Name string
	Data []byte
}

// RemoveDocument forgets what is kept under a name.
type RemoveDocument struct{ Name string }

// What Prune is meant to have, after Mesos.
const (
	PruneAge  = 14 * 24 * time.Hour
	PruneKeep = 102_400
)

func (ElectMaster) kind() registryKind         { return kindElectMaster }
func (AdmitAgent) kind() registryKind          { return kindAdmitAgent }
func (UpdateAgent) kind() registryKind         { return kindUpdateAgent }
func (MarkUnreachable) kind() registryKind     { return kindMarkUnreachable }
func (MarkReachable) kind() registryKind       { return kindMarkReachable }
func (MarkGone) kind() registryKind            { return kindMarkGone }
func (RemoveAgent) kind() registryKind         { return kindRemoveAgent }
func (DrainAgent) kind() registryKind          { return kindDrainAgent }
func (DeactivateAgent) kind() registryKind     { return kindDeactivateAgent }
func (ReactivateAgent) kind() registryKind     { return kindReactivateAgent }
func (PutFramework) kind() registryKind        { return kindPutFramework }
func (DisconnectFramework) kind() registryKind { return kindDisconnectFramework }
func (RemoveFramework) kind() registryKind     { return kindRemoveFramework }
func (AllowFramework) kind() registryKind      { return kindAllowFramework }
func (SetWeight) kind() registryKind           { return kindSetWeight }
func (SetQuota) kind() registryKind            { return kindSetQuota }
func (Prune) kind() registryKind               { return kindPrune }
func (PutDocument) kind() registryKind         { return kindPutDocument }
func (RemoveDocument) kind() registryKind      { return kindRemoveDocument }
