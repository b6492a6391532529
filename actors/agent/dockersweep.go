package agent

import (
	"context"
	"encoding/hex"
	"maps"

	"github.com/synod-go/synod/mesos"
)

// listed tells the host of all containers of this agent's that the engine has, by their status.
type listed map[mesos.ContainerID]string

// everyContainer is the id of none: whoever waits for it is woken when the watch was broken and works again, and once in a minute.
const everyContainer = "00000000000000000000000000000000"

// sweep lists all containers: now, whenever the engine was away, and once in a while. So what nobody
// knows is found, and what could not be removed.
func (d *dockerContainerizer) sweep() {
	changed, done := d.engine.Changed(everyContainer)
	defer done()
	for d.ctx.Err() == nil {
		if all, err := d.list(d.ctx); err == nil {
			d.h.tell(all)
		} else if d.ctx.Err() == nil {
			d.h.cfg.Logger.Warn("the Docker engine does not tell which containers there are", "reason", err)
		}
		select {
		case <-changed:
		case <-d.ctx.Done():
		}
	}
}

func (d *dockerContainerizer) list(ctx context.Context) (listed, error) {
	all, err := d.engine.List(ctx)
	if err != nil {
		return nil, err
	}
	list := listed{}
	for text, status := range all {
		var c mesos.ContainerID
		if n, err := hex.Decode(c[:], []byte(text)); err == nil && n == len(c) && len(text) == 2*len(c) {
			list[c] = status
		}
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.listed = maps.Clone(list) // list is its receiver's
	return list, nil
}

// lists reports whether the engine has told of a container of ours that has that id.
func (d *dockerContainerizer) lists(c mesos.ContainerID) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	_, ok := d.listed[c]
	return ok
}

// onListed removes containers of which the core knows nothing, or no more, and has it end those that run.
func (a *host) onListed(all listed) {
	known := a.known()
	for c, status := range all {
		switch {
		case known.has(c) || a.strangers[c]:
		case status == "created" || status == "exited" || status == "dead":
			at := a.h.at(c)
			a.h.background.Go(func() { a.h.docker.forget(at.place) })
		case status == "removing":
		default:
			a.h.cfg.Logger.Warn("a container that nobody knows is ended", "container", c, "status", status)
			a.strangers[c] = true
			a.container(c, look{})
		}
	}
}
