package ui

import (
	"fmt"
	"strconv"

	"github.com/synod-go/synod/api"
)

// checks compare what nodes tell at different times and with each other. They see what the page
// sees: the ends of logs five times a second, and no write between two looks that both have
// left behind.
type checks struct {
	leaders  check // of (group, term)
	chosen   check // of (group, instance of Paxos)
	prefixes check // of (group, index of Raft), and of digests
}

// check notes one value for each key, and counts how often it saw it again.
type check struct {
	values map[string]string
	order  []string // of the keys, oldest first: no more than maxChecked
	count  uint64   // comparisons that found the same
	wrong  uint64
	last   string // what was wrong
}

// maxChecked is how many keys a check remembers.
const maxChecked = 4096

func newChecks() checks {
	return checks{leaders: newCheck(), chosen: newCheck(), prefixes: newCheck()}
}

func newCheck() check { return check{values: map[string]string{}} }

// see compares a value with that which was seen before under key.
func (c *check) see(key, value, who string) {
	was, known := c.values[key]
	switch {
	case !known:
		if len(c.order) == maxChecked {
			delete(c.values, c.order[0])
			c.order = c.order[1:]
		}
		c.values[key] = value
		c.order = append(c.order, key)
	case was == value:
		c.count++
	default:
		c.wrong++
		c.last = fmt.Sprintf("%s: %s was seen before, %s says %s", key, was, who, value)
	}
}

// take compares what a node tells.
func (c *checks) take(l *api.Look) {
	for i := range l.Groups {
		g := &l.Groups[i]
		if g.Error != "" {
			continue
		}
		if g.Role == "leader" {
			c.leaders.see(g.Name+" term "+strconv.FormatUint(g.Term, 10), l.Node, l.Node)
		}
		if !g.Witness && g.Digest.Index > 0 {
			c.prefixes.see(g.Name+" up to "+strconv.FormatUint(g.Digest.Index, 10), g.Digest.Sum, l.Node)
		}
		for _, e := range g.Entries {
			if !e.Chosen {
				continue
			}
			key, value := g.Name+" "+strconv.FormatUint(e.Index, 10), fmt.Sprintf("%d/%08x", e.Term, e.Sum)
			if g.Engine == "paxos" {
				c.chosen.see(key, value, l.Node)
			} else {
				c.prefixes.see(key, value, l.Node)
			}
		}
	}
}

// checkPart is one counter of the page.
type checkPart struct {
	OK    bool   `json:"ok"`
	Count uint64 `json:"count"` // how much was compared
	Wrong uint64 `json:"wrong,omitempty"`
	Last  string `json:"last,omitempty"`
}

func (c *check) part() checkPart { return checkPart{c.wrong == 0, c.count, c.wrong, c.last} }

func (c *checks) part() map[string]checkPart {
	return map[string]checkPart{"leader": c.leaders.part(), "chosen": c.chosen.part(), "prefix": c.prefixes.part()}
}
