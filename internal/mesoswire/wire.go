package mesoswire

import (
	"fmt"

	"google.golang.org/protobuf/proto"

	"github.com/synod-go/synod/mesos"
	"github.com/synod-go/synod/messages"
)

// AppendMessage encodes a message between master and agent at the end of dst and returns the
// longer slice. It is one of the types of mesos/protocol.go, by value. The error is a
// *TooLongError, or says that the type is none of them.
func AppendMessage(dst []byte, message any) ([]byte, error) {
	m, err := messageToWire(message)
	if err != nil {
		return dst, err
	}
	return appendBounded(dst, m, MaxMessage)
}

// ParseMessage is the inverse of AppendMessage. What it returns shares nothing with data.
// The error wraps ErrMalformed and is a *FieldError if it is known which field is wrong.
func ParseMessage(data []byte) (any, error) {
	var m messages.AgentMessage
	if err := parseBounded(data, &m, MaxMessage); err != nil {
		return nil, err
	}
	return messageFromWire(&m)
}

// AppendCall encodes a call of a scheduler without its Request and Stream, which a header
// carries. A negative Refuse is the same as every other.
func AppendCall(dst []byte, call mesos.Call) ([]byte, error) {
	m, err := callToWire(call)
	if err != nil {
		return dst, err
	}
	return appendBounded(dst, m, MaxCall)
}

// ParseCall is the inverse of AppendCall, with errors as ParseMessage's.
func ParseCall(data []byte) (mesos.Call, error) {
	var m messages.Call
	if err := parseBounded(data, &m, MaxCall); err != nil {
		return mesos.Call{}, err
	}
	return callFromWire(&m)
}

// AppendEvent encodes an event for a scheduler.
func AppendEvent(dst []byte, event mesos.Event) ([]byte, error) {
	m, err := eventToWire(event)
	if err != nil {
		return dst, err
	}
	return appendBounded(dst, m, MaxEvent)
}

// ParseEvent is the inverse of AppendEvent, with errors as ParseMessage's.
func ParseEvent(data []byte) (mesos.Event, error) {
	var m messages.Event
	if err := parseBounded(data, &m, MaxEvent); err != nil {
		return nil, err
	}
	return eventFromWire(&m)
}

// AppendTaskInfo encodes what an agent keeps of a task beside its checkpoint.
func AppendTaskInfo(dst []byte, task mesos.TaskInfo) ([]byte, error) {
	return appendBounded(dst, taskToWire(&task), MaxCall)
}

// ParseTaskInfo is the inverse of AppendTaskInfo, with errors as ParseMessage's.
func ParseTaskInfo(data []byte) (mesos.TaskInfo, error) {
	var m messages.TaskInfo
	if err := parseBounded(data, &m, MaxCall); err != nil {
		return mesos.TaskInfo{}, err
	}
	return taskFromWire(&m)
}

func appendBounded(dst []byte, m proto.Message, bound int) ([]byte, error) {
	size := proto.Size(m)
	if size > bound {
		return dst, &TooLongError{Bytes: size, Bound: bound}
	}
	out, err := proto.MarshalOptions{UseCachedSize: true}.MarshalAppend(dst, m)
	if err != nil {
		return dst, fmt.Errorf("mesoswire: encode %s: %w", m.ProtoReflect().Descriptor().Name(), err)
	}
	return out, nil
}

func parseBounded(data []byte, m proto.Message, bound int) error {
	if len(data) > bound {
		return &TooLongError{Bytes: len(data), Bound: bound}
	}
	if crowded(data, m.ProtoReflect().Descriptor()) {
		return malformed("", "has too many parts")
	}
	if err := (proto.UnmarshalOptions{RecursionLimit: 100}).Unmarshal(data, m); err != nil {
		return malformed("", "is no "+string(m.ProtoReflect().Descriptor().Name()))
	}
	return nil
}
