package synod

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

// Replicated is a state of type S that commands of type C change by one pure
// function, on every node in the same order. Everything travels as JSON, so S,
// C and R must survive encoding/json. It is safe for concurrent use.
type Replicated[S, C, R any] struct {
	node  *Node
	group *Group
}

// Open starts a node that replicates one state and waits, as long as ctx
// allows, until it can be used. initial is the state before the first command.
// apply must be deterministic: it changes the state by one command and returns
// the result; it must not keep the pointer. c.Groups must be empty.
func Open[S, C, R any](ctx context.Context, c Config, initial S, apply func(*S, C) R) (*Replicated[S, C, R], error) {
	start, err := json.Marshal(initial)
	if err == nil {
		err = json.Unmarshal(start, new(S))
	}
	if err != nil {
		return nil, fmt.Errorf("synod: the initial state does not survive JSON: %w", err)
	}
	if len(c.Groups) > 0 {
		return nil, errors.New("synod: Open takes no Config.Groups")
	}
	r := &Replicated[S, C, R]{}
	c.Groups = []GroupConfig{{Name: "state", New: func() StateMachine {
		m := &typedMachine[S, C, R]{apply: apply}
		_ = json.Unmarshal(start, &m.state) // it worked above
		return m
	}}}
	if r.node, err = Start(ctx, c); err != nil {
		return nil, err
	}
	r.group = r.node.Group("state")
	if err := r.node.Ready(ctx); err != nil {
		r.node.end(nil)
		return nil, err
	}
	return r, nil
}

// Do applies a command on all nodes and returns its result. It must be called
// on the leader; otherwise *NotLeaderError says who leads. Errors as Propose's.
func (r *Replicated[S, C, R]) Do(ctx context.Context, command C) (R, error) {
	var result R
	data, err := json.Marshal(command)
	if err != nil {
		return result, fmt.Errorf("synod: command: %w", err)
	}
	got, err := r.group.Propose(ctx, data)
	if err != nil {
		return result, err
	}
	return result, json.Unmarshal(got.Value, &result)
}

// View calls f with the state at the wanted freshness. f must neither change
// nor keep it, and may be called twice.
func (r *Replicated[S, C, R]) View(ctx context.Context, level Level, f func(S)) error {
	return r.group.Read(ctx, level, func(m StateMachine, _ uint64) {
		f(m.(*typedMachine[S, C, R]).state)
	})
}

// Node is the node that carries the state.
func (r *Replicated[S, C, R]) Node() *Node { return r.node }

// Close stops the node in order.
func (r *Replicated[S, C, R]) Close() error { return r.node.Stop(context.Background()) }

// typedMachine is the StateMachine of a Replicated.
type typedMachine[S, C, R any] struct {
	apply func(*S, C) R
	state S
}

// Apply skips a command that is no C: it was written by another program.
func (m *typedMachine[S, C, R]) Apply(_ uint64, _ int64, command []byte) []byte {
	var c C
	if err := json.Unmarshal(command, &c); err != nil {
		return []byte("null")
	}
	result, err := json.Marshal(m.apply(&m.state, c))
	if err != nil {
		return []byte("null")
	}
	return result
}

// Snapshot encodes the state at once: a later picture could not be consistent
// with a state of any type.
func (m *typedMachine[S, C, R]) Snapshot() (io.WriterTo, error) {
	data, err := json.Marshal(m.state)
	if err != nil {
		return nil, fmt.Errorf("synod: state: %w", err)
	}
	return bytes.NewReader(data), nil
}

func (m *typedMachine[S, C, R]) Restore(r io.Reader) error {
	var state S
	if err := json.NewDecoder(r).Decode(&state); err != nil {
		return fmt.Errorf("synod: state: %w", err)
	}
	m.state = state
	return nil
}

// Map is a replicated map of strings.
type Map struct {
	*Replicated[map[string]string, mapChange, bool]
}

// mapChange sets a key, or deletes it if Value is nil.
type mapChange struct {
	Key   string
	Value *string
}

// OpenMap starts a node with a replicated map.
func OpenMap(ctx context.Context, c Config) (*Map, error) {
	r, err := Open(ctx, c, map[string]string{}, func(m *map[string]string, change mapChange) bool {
		_, had := (*m)[change.Key]
		if change.Value == nil {
			delete(*m, change.Key)
		} else {
			(*m)[change.Key] = *change.Value
		}
		return had
	})
	if err != nil {
		return nil, err
	}
	return &Map{r}, nil
}

// Put sets a key on a majority's disks. Call it on the leader.
func (m *Map) Put(ctx context.Context, key, value string) error {
	_, err := m.Do(ctx, mapChange{key, &value})
	return err
}

// Delete removes a key and reports whether it was there.
func (m *Map) Delete(ctx context.Context, key string) (bool, error) {
	return m.Do(ctx, mapChange{Key: key})
}

// Get reads a key, seeing all that was acknowledged before, on any node.
func (m *Map) Get(ctx context.Context, key string) (value string, ok bool, err error) {
	err = m.View(ctx, Linearizable, func(state map[string]string) { value, ok = state[key] })
	return value, ok, err
}
