package api

import (
	"bufio"
	"slices"
	"strconv"
	"sync"

	"github.com/synod-go/synod/coordination"
)

// common is a watch that sees what any watch of the connection wants.
func (p *sessionPump) common() coordination.Watch {
	if len(p.places) == 1 {
		for at := range p.places {
			return coordination.Watch{Path: at.path, Scope: at.scope, Limit: changesPage}
		}
	}
	return coordination.Watch{Path: coordination.Root, Scope: coordination.OnTree, Limit: changesPage}
}

// each calls f for the watches that stand where a change is of interest.
func (p *sessionPump) each(kind, path string, f func(*sessionWatch)) {
	at := func(path string, scope coordination.Scope) {
		for _, w := range p.places[place{path, scope}] {
			f(w)
		}
	}
	at(path, coordination.OnNode)
	if kind == coordination.Deleted.String() {
		at(path, coordination.OnChildren)
	}
	parent := parentOf(path)
	if kind != coordination.Changed.String() && path != coordination.Root {
		at(parent, coordination.OnChildren)
	}
	for at(path, coordination.OnTree); path != coordination.Root; at(path, coordination.OnTree) {
		path = parentOf(path)
	}
}

func parentOf(path string) string {
	for i := len(path) - 1; i > 0; i-- {
		if path[i] == '/' {
			return path[:i]
		}
	}
	return coordination.Root
}

// wants reports whether any watch wants an event.
func (p *sessionPump) wants(e coordination.Event) (wanted bool) {
	p.each(e.Kind.String(), e.Path, func(*sessionWatch) { wanted = true })
	return wanted
}

// answerSyncs tells the client what it waited for.
func (c *sessionConn) answerSyncs() error {
	p := &c.pump
	var lines []byte
	p.syncs = slices.DeleteFunc(p.syncs, func(index uint64) bool {
		reached := len(p.watches) == 0 || index <= p.cursor
		if reached {
			lines = appendSynced(lines, index)
		}
		return reached
	})
	if lines == nil {
		return nil
	}
	return c.send(lines)
}

// endAll ends all watches: the history does not reach back to where they are.
func (c *sessionConn) endAll(why *Error) error {
	p := &c.pump
	var lines []byte
	for _, w := range p.watches {
		lines = appendUnwatched(lines, w.number, why)
		c.drop(w)
	}
	p.behind = false
	if err := c.send(lines); err != nil {
		return err
	}
	return c.answerSyncs()
}

// writers are buffers for changes: a connection has one only while it sends.
var writers = sync.Pool{New: func() any { return bufio.NewWriterSize(nil, streamBuffer) }}

// tell sends changes, each with the watches that to names; none: nobody wants it. Between two
// portions a sign of life can be confirmed.
func (c *sessionConn) tell(changes []Change, to func(change Change, told []uint64) []uint64) error {
	for len(changes) > 0 {
		n, size := 0, 0
		for n < len(changes) && size < pieceBytes {
			size += len(changes[n].Value)
			n++
		}
		if err := c.tellPortion(changes[:n], to); err != nil {
			return err
		}
		changes = changes[n:]
	}
	return nil
}

func (c *sessionConn) tellPortion(changes []Change, to func(change Change, told []uint64) []uint64) error {
	c.out.Lock()
	defer c.out.Unlock()
	out := encoder{writers.Get().(*bufio.Writer)}
	out.Reset(patient{c})
	var told []uint64
	for _, change := range changes {
		if told = to(change, told[:0]); len(told) > 0 {
			out.told(change, told)
		}
	}
	err := slowOr(out.Flush())
	out.Reset(nil)
	writers.Put(out.Writer)
	return err
}

// told writes the line of a change.
func (w encoder) told(change Change, watches []uint64) {
	w.WriteString(`{"change":`)
	w.change(change)
	w.WriteString(`,"watch":[`)
	for i, number := range watches {
		if i > 0 {
			w.WriteByte(',')
		}
		w.Write(strconv.AppendUint(w.AvailableBuffer(), number, 10))
	}
	w.WriteString("]}\n")
}

// patient writes to a client piece by piece, each with a deadline of its own, as long as the
// connection is not being closed.
type patient struct{ *sessionConn }

func (p patient) Write(data []byte) (written int, err error) {
	for {
		if err := p.giveTime(); err != nil {
			return written, err
		}
		n, err := p.conn.Write(data[written:min(len(data), written+pieceBytes)])
		if written += n; err != nil || written == len(data) {
			return written, err
		}
	}
}
