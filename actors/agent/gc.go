package agent

import (
	"cmp"
	"context"
	"os"
	"slices"
	"time"

	"github.com/synod-go/synod/mesos"
)

// gcEvery is how often sandboxes are looked at, and leastFree how much of the disk is to be free.
const (
	gcEvery   = time.Minute
	leastFree = 0.1
)

// collectGarbage removes the files of containers that are done, until the agent ends.
func (h *Handle) collectGarbage() {
	ticker := time.NewTicker(gcEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
			h.collect(time.Now())
		case <-h.done:
			return
		}
	}
}

// deadContainer has ended at some time.
type deadContainer struct {
	id    mesos.ContainerID
	ended time.Time
}

// collect removes what is older than it may be, and more, the oldest first, while the disk
// is full. What the core still knows is not touched: it is asked after the look at the disk, so
// that whatever has begun meanwhile was saved before.
func (h *Handle) collect(now time.Time) {
	all, err := containersIn(h.cfg.Work)
	if err != nil {
		h.cfg.Logger.Warn("sandboxes cannot be looked at", "reason", err)
		return
	}
	known := h.living()
	if known == nil {
		return
	}
	var dead []deadContainer
	for _, c := range all {
		if !known.has(c) {
			dead = append(dead, deadContainer{c, endOf(pathsOf(h.cfg.Work, c))})
		}
	}
	slices.SortFunc(dead, func(a, b deadContainer) int {
		return cmp.Or(a.ended.Compare(b.ended), slices.Compare(a.id[:], b.id[:]))
	})
	for _, d := range dead {
		old := now.Sub(d.ended) >= h.cfg.SandboxAge
		if !old && h.cfg.free() >= leastFree {
			return
		}
		h.remove(d.id, old)
	}
}

// undone are containers, and whether they have not ended.
type undone map[mesos.ContainerID]bool

// running reports whether a container may still write. Of none that nobody told of.
func (u undone) running(c mesos.ContainerID) bool { return u == nil || u[c] }

// has reports whether a container is one of them.
func (u undone) has(c mesos.ContainerID) bool {
	_, ok := u[c]
	return ok
}

// living are the containers that the core knows and are not done; nil if it does not say.
func (h *Handle) living() undone {
	q := &living{answer: make(chan undone, 1)}
	h.tell(q)
	select {
	case known := <-q.answer:
		return known
	case <-h.done:
		return nil
	}
}

// endOf is when a container has ended, about.
func endOf(p paths) time.Time {
	for _, name := range []string{p.exit(), p.run(), p.dir} {
		if info, err := os.Stat(name); err == nil {
			return info.ModTime()
		}
	}
	return time.Time{}
}

// remove removes the files of a container in which nothing lives.
func (h *Handle) remove(c mesos.ContainerID, old bool) {
	ctx, cancel := context.WithTimeout(context.Background(), callTimeout)
	defer cancel()
	at := h.at(c)
	if at.containerizer.alive(ctx, at.place) {
		return
	}
	if err := os.RemoveAll(at.paths.dir); err != nil {
		h.cfg.Logger.Warn("a sandbox cannot be removed", "container", c, "reason", err)
		return
	}
	h.cfg.Logger.Debug("removed a sandbox", "container", c, "old", old)
}
