package ui

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"
)

const (
	keptFrames = 64  // for clients that connect again, and slow ones
	keptLines  = 200 // of the timeline, for a client that begins
	heartbeat  = 5 * time.Second
)

// hub keeps the state that clients are sent, and the newest frames. Safe for concurrent use.
type hub struct {
	process int64 // tells ids of one process from those of another

	mu     sync.Mutex
	seq    uint64
	parts  map[string]json.RawMessage
	lines  []Line
	frames []frame // the newest, oldest first
	grown  chan struct{}
}

// frame is what changed at once, as it is sent.
type frame struct {
	seq  uint64
	data []byte
}

// message is the data of an event.
type message struct {
	Seq   uint64                     `json:"seq"`
	Parts map[string]json.RawMessage `json:"parts,omitempty"` // null: it is gone
	Lines []Line                     `json:"lines,omitempty"`
}

func newHub() *hub {
	return &hub{process: time.Now().UnixMilli(), parts: map[string]json.RawMessage{}, grown: make(chan struct{})}
}

// publish makes a frame of the parts that differ from what clients have, and of lines.
func (h *hub) publish(parts map[string]json.RawMessage, lines []Line) {
	h.mu.Lock()
	defer h.mu.Unlock()
	changed := map[string]json.RawMessage{}
	for name, part := range parts {
		if string(h.parts[name]) != string(part) {
			changed[name] = part
		}
	}
	for name := range h.parts {
		if _, there := parts[name]; !there {
			changed[name] = json.RawMessage("null")
		}
	}
	if len(changed) == 0 && len(lines) == 0 {
		return
	}
	h.seq++
	h.parts = maps.Clone(parts)
	h.lines = append(h.lines, lines...)
	h.lines = h.lines[max(0, len(h.lines)-keptLines):]
	h.frames = append(h.frames, frame{h.seq, encode(message{Seq: h.seq, Parts: changed, Lines: lines})})
	h.frames = h.frames[max(0, len(h.frames)-keptFrames):]
	close(h.grown)
	h.grown = make(chan struct{})
}

func encode(m message) []byte {
	data, err := json.Marshal(m)
	if err != nil {
		panic("ui: " + err.Error()) // our own types always encode
	}
	return data
}

// after returns the frames that follow seq and what tells of further ones. It reports false if
// some of them are forgotten, or seq is none of ours.
func (h *hub) after(seq uint64) (frames []frame, grown <-chan struct{}, known bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	missed := h.seq - seq
	if seq > h.seq || missed > uint64(len(h.frames)) {
		return nil, nil, false
	}
	return h.frames[uint64(len(h.frames))-missed:], h.grown, true
}

// all is the whole state.
func (h *hub) all() frame {
	h.mu.Lock()
	defer h.mu.Unlock()
	return frame{h.seq, encode(message{Seq: h.seq, Parts: h.parts, Lines: h.lines})}
}

// resumed is the sequence that a client has seen, false if it has seen nothing of this process.
func (h *hub) resumed(id string) (uint64, bool) {
	process, text, found := strings.Cut(id, "-")
	seq, err := strconv.ParseUint(text, 10, 64)
	return seq, found && err == nil && process == strconv.FormatInt(h.process, 10)
}

// serveEvents sends one client the state and then what changes, until it goes or does not read.
func (p *Page) serveEvents(w http.ResponseWriter, r *http.Request) {
	viewer := p.enter(r)
	if viewer == nil {
		w.Header().Set("Retry-After", "5")
		http.Error(w, fmt.Sprintf("%d pages are open at this node: look at another one", p.config.MaxClients), http.StatusTooManyRequests)
		return
	}
	defer p.exit(viewer)
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(http.StatusOK)
	out := &client{w: w, control: http.NewResponseController(w), slow: p.config.SlowClient, process: p.hub.process}
	if err := p.pump(r, out); err != nil && r.Context().Err() == nil {
		p.config.Logger.Info("page dropped", "reason", "its client does not read", "peer", r.RemoteAddr)
	}
}

func (p *Page) pump(r *http.Request, out *client) error {
	seq, known := p.hub.resumed(r.Header.Get("Last-Event-ID"))
	beat := time.NewTicker(heartbeat)
	defer beat.Stop()
	for {
		var frames []frame
		var grown <-chan struct{}
		if known {
			frames, grown, known = p.hub.after(seq)
		}
		if !known {
			all := p.hub.all()
			if err := out.send("all", all); err != nil {
				return err
			}
			seq, known = all.seq, true
			continue
		}
		for _, f := range frames {
			if err := out.send("frame", f); err != nil {
				return err
			}
			seq = f.seq
		}
		if len(frames) > 0 {
			continue
		}
		select {
		case <-grown:
		case <-beat.C:
			if err := out.write(": \n\n"); err != nil {
				return err
			}
		case <-r.Context().Done():
			return nil
		}
	}
}

// client is one page. Used by one goroutine.
type client struct {
	w       http.ResponseWriter
	control *http.ResponseController
	slow    time.Duration
	process int64
}

func (c *client) send(event string, f frame) error {
	return c.write(fmt.Sprintf("id: %d-%d\nevent: %s\ndata: %s\n\n", c.process, f.seq, event, f.data))
}

func (c *client) write(text string) error {
	// A recorder in a test has no deadline; a connection has.
	_ = c.control.SetWriteDeadline(time.Now().Add(c.slow))
	if _, err := c.w.Write([]byte(text)); err != nil {
		return err
	}
	return c.control.Flush()
}
