package sim

import (
	"fmt"

	"github.com/synod-go/synod/consensus"
)

// tracer keeps the last lines of a run for people.
type tracer struct {
	lines []string
	at    int
}

const tracedLines = 400

func (t *tracer) add(line string) {
	if len(t.lines) < tracedLines {
		t.lines = append(t.lines, line)
		return
	}
	t.lines[t.at] = line
	t.at = (t.at + 1) % tracedLines
}

func (t *tracer) all() []string {
	if t == nil {
		return nil
	}
	return append(append([]string(nil), t.lines[t.at:]...), t.lines[:t.at]...)
}

// traceEvent tells what is about to be handled, if it says something.
func (w *World) traceEvent(e event) {
	switch e.kind {
	case evDeliver:
		if n := w.nodes[e.slot]; n.up && n.id == e.to {
			w.trace("deliver   %v", shown{w.engine, e.from, envelope{e.to, e.msg}})
		}
	case evRequest:
		w.trace("request   client %d %v %d to machine %d", e.op.client, e.op.kind, e.op.number, e.slot)
	case evReply:
		w.trace("reply     client %d %v %d: %+v", e.op.client, e.op.kind, e.op.number, e.reply)
	case evFlush, evApply:
		w.trace("%-9v replica %d", e.kind, w.nodes[e.slot].id)
	}
}

// shown prints a message shortly.
type shown struct {
	engine engine
	from   consensus.ID
	envelope
}

func (s shown) String() string {
	return fmt.Sprintf("%d → %d %s", s.from, s.to, s.engine.show(s.message))
}

// summary adds the state of every machine to the transcript.
func (w *World) summary() {
	for slot, n := range w.nodes {
		if !n.up {
			w.trace("machine %d: replica %d is down, core: %v", slot, n.id, w.core != nil && w.core[slot])
			continue
		}
		s := n.core.Status()
		w.trace("machine %d: replica %d %v of %d in term %d, log %d to %d, commit %d, applied %d, transfer to %d, stalled %v, %v", slot, n.id,
			s.Role, s.Leader, s.Term, s.FirstIndex, s.LastIndex, s.Commit, s.Applied, s.TransferTo, s.Stalled, s.Configuration)
		for _, p := range s.Peers {
			w.trace("           peer %+v", p)
		}
	}
}
