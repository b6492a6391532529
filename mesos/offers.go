package mesos

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"time"
)

// Offer is resources of one agent that a framework may launch tasks with, until it has
// accepted or declined, or the offer is rescinded.
type Offer struct {
	ID OfferID
	Allocation
	// Made is when, by the monotonic clock.
	Made time.Duration
}

// OffersConfig bounds offers.
type OffersConfig struct {
	// Max bounds the offers that are out. Default 65536.
	Max int
	// Timeout is how long one is out before Expire takes it back. Default 0: for ever.
	Timeout time.Duration
}

// Errors about offers.
var (
	ErrTooManyOffers = errors.New("mesos: too many offers are out")
	// ErrNoOffer is of an offer that is not out any more, or never was, or is not that
	// framework's, or is named twice.
	ErrNoOffer = errors.New("mesos: no such offer")
)

// Offers is the table of those that are out. What it gives back is in the order in which the
// offers were made.
type Offers struct {
	config     OffersConfig
	byID       map[OfferID]*offered
	frameworks map[FrameworkID]map[*offered]struct{}
	agents     map[AgentID]map[*offered]struct{}
	// first and last are the ends of the list of all, the oldest first.
	first, last *offered
	made        uint64
}

// offered is an offer that is out.
type offered struct {
	Offer
	number         uint64 // counts the offers made
	before, behind *offered
}

// NewOffers makes an empty table.
func NewOffers(c OffersConfig) *Offers {
	if c.Max <= 0 {
		c.Max = 65536
	}
	return &Offers{config: c, byID: map[OfferID]*offered{}, frameworks: map[FrameworkID]map[*offered]struct{}{}, agents: map[AgentID]map[*offered]struct{}{}}
}

// Add makes an offer of what was allocated, under an id that was never used. It returns
// ErrTooManyOffers at the bound: the allocation is then to be given back. now does not go
// backwards.
func (o *Offers) Add(a Allocation, id OfferID, now time.Duration) (Offer, error) {
	if o.byID[id] != nil {
		panic(fmt.Sprintf("mesos: offer %q is made twice: %+v and %+v", id, *o.byID[id], a))
	}
	if len(o.byID) >= o.config.Max {
		return Offer{}, ErrTooManyOffers
	}
	o.made++
	x := &offered{Offer: Offer{ID: id, Allocation: a, Made: now}, number: o.made, before: o.last}
	if o.last == nil {
		o.first = x
	} else {
		o.last.behind = x
	}
	o.last = x
	o.byID[id] = x
	enter(o.frameworks, a.Framework, x)
	enter(o.agents, a.Agent, x)
	return x.Offer, nil
}

// Len is how many are out.
func (o *Offers) Len() int { return len(o.byID) }

// Get returns an offer that is out.
func (o *Offers) Get(id OfferID) (Offer, bool) {
	if x := o.byID[id]; x != nil {
		return x.Offer, true
	}
	return Offer{}, false
}

// Take removes the offers, which a framework accepts or declines, and returns them in the
// order of ids. Of those that it cannot have the error tells the first, as ErrNoOffer; the
// others are taken and returned all the same.
func (o *Offers) Take(framework FrameworkID, ids ...OfferID) ([]Offer, error) {
	var taken []Offer
	var err error
	for _, id := range ids {
		x := o.byID[id]
		if x == nil || x.Framework != framework {
			if err == nil {
				err = fmt.Errorf("%w: %.*q", ErrNoOffer, MaxNameBytes, string(id))
			}
			continue
		}
		o.remove(x)
		taken = append(taken, x.Offer)
	}
	return taken, err
}

// Remove takes back one offer.
func (o *Offers) Remove(id OfferID) (Offer, bool) {
	x := o.byID[id]
	if x == nil {
		return Offer{}, false
	}
	o.remove(x)
	return x.Offer, true
}

// RemoveFramework takes back all offers of a framework.
func (o *Offers) RemoveFramework(id FrameworkID) []Offer { return o.removeAll(o.frameworks[id]) }

// RemoveAgent takes back all offers of an agent's resources.
func (o *Offers) RemoveAgent(id AgentID) []Offer { return o.removeAll(o.agents[id]) }

// RemoveFrameworkAgent takes back a framework's offers of an agent's resources.
func (o *Offers) RemoveFrameworkAgent(f FrameworkID, a AgentID) []Offer {
	set := map[*offered]struct{}{}
	for x := range o.agents[a] {
		if x.Framework == f {
			set[x] = struct{}{}
		}
	}
	return o.removeAll(set)
}

// Expire takes back those that have been out for the timeout.
func (o *Offers) Expire(now time.Duration) []Offer {
	var gone []Offer
	for at, ok := o.Next(); ok && at <= now; at, ok = o.Next() {
		gone = append(gone, o.first.Offer)
		o.remove(o.first)
	}
	return gone
}

// Next is when the next offer expires; false if none does.
func (o *Offers) Next() (at time.Duration, ok bool) {
	if o.config.Timeout <= 0 || o.first == nil {
		return 0, false
	}
	return o.first.Made + o.config.Timeout, true
}

func (o *Offers) removeAll(set map[*offered]struct{}) []Offer {
	var list []*offered
	for x := range set {
		list = append(list, x)
	}
	slices.SortFunc(list, func(a, b *offered) int { return cmp.Compare(a.number, b.number) })
	var gone []Offer
	for _, x := range list {
		o.remove(x)
		gone = append(gone, x.Offer)
	}
	return gone
}

func (o *Offers) remove(x *offered) {
	if x.before == nil {
		o.first = x.behind
	} else {
		x.before.behind = x.behind
	}
	if x.behind == nil {
		o.last = x.before
	} else {
		x.behind.before = x.before
	}
	delete(o.byID, x.ID)
	leave(o.frameworks, x.Framework, x)
	leave(o.agents, x.Agent, x)
}

// enter puts x into the set under key, and leave takes it out; no empty set stays.
func enter[K comparable](index map[K]map[*offered]struct{}, key K, x *offered) {
	set := index[key]
	if set == nil {
		set = map[*offered]struct{}{}
		index[key] = set
	}
	set[x] = struct{}{}
}

func leave[K comparable](index map[K]map[*offered]struct{}, key K, x *offered) {
	if delete(index[key], x); len(index[key]) == 0 {
		delete(index, key)
	}
}
