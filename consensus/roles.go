package consensus

// Roles is a set of the three roles of Paxos.
type Roles uint8

const (
	RoleProposer Roles = 1 << iota
	RoleAcceptor
	RoleLearner
	rolesKnown = 1<<iota - 1
)

// Proposes reports whether m may lead. A proposer learns too: it answers with
// the state machine's results.
func (m Member) Proposes() bool {
	if m.Roles == 0 {
		return m.Voter
	}
	return m.Roles&RoleProposer != 0 && (m.Voter || m.Roles&RoleAcceptor == 0)
}

// Learns reports whether m runs the state machine.
func (m Member) Learns() bool { return m.Roles == 0 || m.Roles&(RoleLearner|RoleProposer) != 0 }
