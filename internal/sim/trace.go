package sim

import (
	"fmt"
	"strings"

	"github.com/synod-go/synod/raft"
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
			w.trace("deliver   %v", envelope{e.from, raft.Envelope{To: e.to, Message: e.msg}})
		}
	case evRequest:
		w.trace("request   client %d %v %d to machine %d", e.op.client, e.op.kind, e.op.number, e.slot)
	case evReply:
		w.trace("reply     client %d %v %d: %+v", e.op.client, e.op.kind, e.op.number, e.reply)
	case evFlush, evApply:
		w.trace("%-9v replica %d", e.kind, w.nodes[e.slot].id)
	}
}

// envelope prints a message shortly.
type envelope struct {
	from raft.ID
	raft.Envelope
}

func (e envelope) String() string {
	text := fmt.Sprintf("%+v", e.Message)
	switch m := e.Message.(type) {
	case raft.AppendEntries:
		entries := "no entries"
		if n := len(m.Entries); n > 0 {
			entries = fmt.Sprintf("entries %d to %d, terms %d to %d", m.Entries[0].Index, m.Entries[n-1].Index, m.Entries[0].Term, m.Entries[n-1].Term)
		}
		text = fmt.Sprintf("{Term:%d Prev:%d/%d Commit:%d %s}", m.Term, m.PrevIndex, m.PrevTerm, m.Commit, entries)
	case raft.InstallSnapshot:
		text = fmt.Sprintf("{Term:%d Snapshot:%d/%d Offset:%d +%d of %d}", m.Term, m.Snapshot.Index, m.Snapshot.Term, m.Offset, len(m.Data), m.Snapshot.Size)
	}
	return fmt.Sprintf("%d → %d %s %s", e.from, e.To, strings.TrimPrefix(fmt.Sprintf("%T", e.Message), "raft."), text)
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
