package synod

import (
	"context"
	"errors"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/synod-go/synod/actors/jobs"
	"github.com/synod-go/synod/actors/master"
	core "github.com/synod-go/synod/jobs"
	"github.com/synod-go/synod/mesos"
)

// Jobs is the built-in framework of a node, which runs beside its master while that leads:
// see package actors/jobs. It is safe for concurrent use.
type Jobs = jobs.Handle

// Jobs is this node's part of the built-in framework, nil unless it has a master that runs it.
func (g *Group) Jobs() *Jobs { return g.jobs.Load() }

// runJobs has the built-in framework run along with the masterships of a master, unless
// something else is to.
func (g *Group) runJobs(c *master.Config) {
	if c.Along != nil {
		return
	}
	handle := jobs.New(jobs.Config{Jobs: core.Config{PingInterval: c.Master.PingInterval}, Now: c.Now, Logger: c.Logger})
	c.Along = func(l *master.Leading) *actor.Props { return handle.Along(mastership{l}) }
	g.jobs.Store(handle)
}

// mastership is one as the built-in framework sees it.
type mastership struct{ *master.Leading }

func (m mastership) Subscribe(ctx context.Context, info mesos.FrameworkInfo) (jobs.Stream, error) {
	s, err := m.Leading.Subscribe(ctx, info)
	if err != nil {
		return nil, err
	}
	return s, nil
}

func (m mastership) SurelyNot(err error) bool { return errors.Is(err, master.ErrOverloaded) }
