package paxos

import (
	"fmt"
	"slices"
)

// Scheme says how learners find out that a value is chosen ("Paxos Made Simple",
// section 2.3). With A acceptors, L learners and D distinguished ones of them a
// decree costs A*L messages in AllLearners, A+L and one more delay in OneLearner,
// A*D+D*L and one more delay in SomeLearners.
type Scheme uint8

const (
	// AllLearners: every acceptor tells every learner. The fastest.
	AllLearners Scheme = iota
	// OneLearner: every acceptor tells the first distinguished learner, which
	// tells the others. The cheapest; when that learner fails, the others find
	// out by asking, after LearnerConfig.Timeout.
	OneLearner
	// SomeLearners: every acceptor tells all distinguished learners, each of
	// which tells the others. One that is left of them suffices.
	SomeLearners
)

// String returns the scheme's name in configurations and logs.
func (s Scheme) String() string {
	switch s {
	case AllLearners:
		return "all"
	case OneLearner:
		return "one"
	case SomeLearners:
		return "some"
	default:
		return fmt.Sprintf("scheme %d", uint8(s))
	}
}

// told returns whom an acceptor tells of its votes.
func (s Scheme) told(learners, distinguished []ID) []ID {
	switch s {
	case OneLearner:
		return distinguished[:1]
	case SomeLearners:
		return distinguished
	default:
		return learners
	}
}

func (s Scheme) check(learners, distinguished []ID) error {
	switch {
	case s > SomeLearners:
		return &ConfigError{"Scheme", "is unknown"}
	case slices.Contains(learners, None):
		return &ConfigError{"Learners", "names nobody"}
	case s != AllLearners && len(distinguished) == 0:
		return &ConfigError{"Distinguished", "is empty, and the scheme needs one"}
	}
	for _, id := range distinguished {
		if !slices.Contains(learners, id) {
			return &ConfigError{"Distinguished", "names a node that is not among Learners"}
		}
	}
	return nil
}
