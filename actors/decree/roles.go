package decree

import (
	"unicode/utf8"

	"github.com/synod-go/synod/messages"
)

// Role is what a process does for decrees. A process may have any of them.
type Role string

// The roles, in the words of gossip, logs and records.
const (
	Proposer Role = "proposer"
	Acceptor Role = "acceptor"
	Learner  Role = "learner"
)

// Receivers returns the roles that take a message, of those that live on the node
// that it is sent to: see paxos.Message.
func Receivers(w *messages.DecreeMessage) []Role {
	switch w.GetBody().(type) {
	case *messages.DecreeMessage_Prepare, *messages.DecreeMessage_Accept, *messages.DecreeMessage_Found:
		return []Role{Acceptor}
	case *messages.DecreeMessage_Promise, *messages.DecreeMessage_Nack, *messages.DecreeMessage_Propose,
		*messages.DecreeMessage_Finish:
		return []Role{Proposer}
	case *messages.DecreeMessage_Accepted, *messages.DecreeMessage_Refusal, *messages.DecreeMessage_Pinned:
		return []Role{Proposer, Learner}
	case *messages.DecreeMessage_Chosen, *messages.DecreeMessage_Ask:
		return []Role{Proposer, Acceptor, Learner}
	}
	return nil
}

// MaxName is the longest name of a decree, in bytes.
const MaxName = 255

// ValidName reports whether a decree may be called so: other names do not travel.
func ValidName(name string) bool { return name != "" && len(name) <= MaxName && utf8.ValidString(name) }
