package cluster

import (
	"fmt"
	"maps"
	"reflect"

	"github.com/asynkron/protoactor-go/actor"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/synod-go/synod/messages"
)

// kindTable maps between Go types and kinds; immutable once stored.
type kindTable struct {
	byKind map[Kind]protoreflect.MessageType
	byType map[reflect.Type]Kind
}

// Register lets messages of prototype's type in and out under kind, which must
// be the same on all nodes for ever. It refuses kinds below FirstKind, a kind
// or type that is taken, and protoactor's own messages: no peer may stop or
// watch an actor.
func (l *Link) Register(kind Kind, prototype proto.Message) error {
	if kind < FirstKind {
		return fmt.Errorf("cluster: kind %d: the first free one is %d", kind, FirstKind)
	}
	if ownedByProtoactor(prototype) {
		return fmt.Errorf("cluster: kind %d: %T never crosses the link", kind, prototype)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	old, t := l.kinds.Load(), reflect.TypeOf(prototype)
	if taken, ok := old.byKind[kind]; ok {
		return fmt.Errorf("cluster: kind %d is %s already", kind, taken.Descriptor().FullName())
	}
	if taken, ok := old.byType[t]; ok {
		return fmt.Errorf("cluster: %T is kind %d already", prototype, taken)
	}
	next := &kindTable{byKind: maps.Clone(old.byKind), byType: maps.Clone(old.byType)}
	next.byKind[kind] = prototype.ProtoReflect().Type()
	next.byType[t] = kind
	l.kinds.Store(next)
	return nil
}

func ownedByProtoactor(m proto.Message) bool {
	switch any(m).(type) {
	case actor.SystemMessage, actor.AutoReceiveMessage, actor.MailboxMessage, actor.AutoRespond:
		return true
	}
	return m.ProtoReflect().Descriptor().ParentFile().Package() == "actor"
}

// Lane is one of the two queues of a connection.
type Lane uint8

const (
	// Control goes first: heartbeats, votes, answers.
	Control Lane = iota
	// Bulk fills what is left, in turns of up to 256 KiB: entries, snapshots.
	Bulk
	lanes = 2
)

// DefaultLane puts entries and snapshot chunks of both engines into Bulk and
// everything else into Control.
func DefaultLane(m proto.Message) Lane {
	bulk := false
	switch m := m.(type) {
	case *messages.RaftMessage:
		switch body := m.Body.(type) {
		case *messages.RaftMessage_InstallSnapshot:
			bulk = true
		case *messages.RaftMessage_AppendEntries:
			bulk = len(body.AppendEntries.GetEntries()) > 0
		}
	case *messages.PaxosMessage:
		switch body := m.Body.(type) {
		case *messages.PaxosMessage_InstallSnapshot, *messages.PaxosMessage_Learned:
			bulk = true
		case *messages.PaxosMessage_Accept:
			bulk = len(body.Accept.GetEntries()) > 0
		case *messages.PaxosMessage_Promise:
			bulk = len(body.Promise.GetRuns()) > 0
		}
	}
	if bulk {
		return Bulk
	}
	return Control
}
