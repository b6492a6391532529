package synod

import (
	"github.com/synod-go/synod/actors/decree"
	"github.com/synod-go/synod/messages"
	"github.com/synod-go/synod/paxos"
)

// sendOrLose leaves a message for another process to Intercept, if there is one.
func (d *Decrees) sendOrLose(to paxos.ID, m *messages.DecreeMessage) {
	if d.cfg.Intercept == nil || to == d.id {
		d.send(to, m)
		return
	}
	e := decree.Message("", m, false)
	e.Name, e.FromName, e.ToName = d.cfg.Name, d.cfg.Name, d.net.name(to)
	d.cfg.Intercept(e, func() { d.send(to, m) })
}
