package mesos

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func idsOf(offers []Offer) []OfferID {
	var ids []OfferID
	for _, o := range offers {
		ids = append(ids, o.ID)
	}
	return ids
}

func wantOffers(t *testing.T, what string, got []Offer, want ...OfferID) {
	t.Helper()
	if !slices.Equal(idsOf(got), want) {
		t.Errorf("%s: got %v, want %v", what, idsOf(got), want)
	}
}

func addOffer(t *testing.T, o *Offers, id OfferID, f FrameworkID, agent AgentID, now time.Duration) {
	t.Helper()
	got, err := o.Add(Allocation{f, "*", agent, resources(t, "cpus:1")}, id, now)
	if err != nil || got.ID != id || got.Framework != f || got.Made != now {
		t.Fatalf("added %+v, %v", got, err)
	}
}

func TestOnlyItsFrameworkTakesAnOffer(t *testing.T) {
	o := NewOffers(OffersConfig{})
	addOffer(t, o, "1", "f", "n", 0)
	addOffer(t, o, "2", "f", "m", 0)
	addOffer(t, o, "3", "g", "n", 0)
	got, err := o.Take("f", "2", "3", "1", "1", "4")
	wantOffers(t, "taken", got, "2", "1") // as named
	if !errors.Is(err, ErrNoOffer) || err.Error() != `mesos: no such offer: "3"` {
		t.Errorf("the error is %v, want one of 3", err)
	}
	if x, ok := o.Get("3"); !ok || x.Agent != "n" || o.Len() != 1 {
		t.Errorf("g has %+v, %v, of %d", x, ok, o.Len())
	}
	if got, err := o.Take("g", "3"); len(got) != 1 || err != nil {
		t.Errorf("g took %v, %v", got, err)
	}
	if got, err := o.Take("g"); got != nil || err != nil {
		t.Errorf("of no offers %v, %v were taken", got, err)
	}
}

func TestOffersOfAFrameworkOrAnAgentAreTakenBackInTheirOrder(t *testing.T) {
	o := NewOffers(OffersConfig{})
	for i := range 20 {
		addOffer(t, o, OfferID(fmt.Sprint(i)), FrameworkID("fg"[i%2:i%2+1]), AgentID("lmn"[i%3:i%3+1]), 0)
	}
	wantOffers(t, "agent", o.RemoveAgent("m"), "1", "4", "7", "10", "13", "16", "19")
	wantOffers(t, "framework", o.RemoveFramework("g"), "3", "5", "9", "11", "15", "17")
	wantOffers(t, "unknown", append(o.RemoveFramework("g"), o.RemoveAgent("m")...))
	if x, ok := o.Remove("6"); !ok || x.ID != "6" {
		t.Errorf("removed %+v, %v", x, ok)
	}
	if _, ok := o.Remove("6"); ok {
		t.Error("removed 6 twice")
	}
	wantOffers(t, "rest", o.RemoveFramework("f"), "0", "2", "8", "12", "14", "18")
	if o.Len()+len(o.frameworks)+len(o.agents) != 0 {
		t.Errorf("something is remembered: %+v", o)
	}
}

func TestOffersAreBounded(t *testing.T) {
	o := NewOffers(OffersConfig{Max: 2})
	addOffer(t, o, "1", "f", "n", 0)
	addOffer(t, o, "2", "f", "n", 0)
	if _, err := o.Add(Allocation{Framework: "f"}, "3", 0); !errors.Is(err, ErrTooManyOffers) || o.Len() != 2 {
		t.Errorf("a third: %v, %d are out", err, o.Len())
	}
	o.Remove("1")
	addOffer(t, o, "3", "f", "n", 0)
}

func TestAnOfferIDIsUsedOnce(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("no panic")
		}
	}()
	o := NewOffers(OffersConfig{})
	addOffer(t, o, "1", "f", "n", 0)
	o.Add(Allocation{}, "1", 0)
}

func TestOffersExpire(t *testing.T) { // L
	o := NewOffers(OffersConfig{Timeout: 10})
	for i := range 4 {
		addOffer(t, o, OfferID(fmt.Sprint(i)), "f", "n", time.Duration(i))
	}
	o.Remove("0")
	if at, ok := o.Next(); at != 11 || !ok {
		t.Errorf("the next expires at %v, %v", at, ok)
	}
	wantOffers(t, "at 10", o.Expire(10))
	wantOffers(t, "at 12", o.Expire(12), "1", "2")
	wantOffers(t, "at 99", o.Expire(99), "3")
	if _, ok := o.Next(); ok {
		t.Error("another expires")
	}
	o = NewOffers(OffersConfig{})
	addOffer(t, o, "1", "f", "n", 0)
	wantOffers(t, "without a timeout", o.Expire(1<<62))
	if _, ok := o.Next(); ok {
		t.Error("one expires without a timeout")
	}
}

// The table against a plain list.
func TestOffersAreThoseOfAList(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		o := NewOffers(OffersConfig{Timeout: 5})
		var list []Offer
		now, made := time.Duration(0), 0
		take := func(gone func(Offer) bool) []Offer {
			var out []Offer
			list = slices.DeleteFunc(list, func(x Offer) bool {
				if gone(x) {
					out = append(out, x)
					return true
				}
				return false
			})
			return out
		}
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			f, agent := FrameworkID(rapid.StringMatching("[fg]").Draw(t, "f")), AgentID(rapid.StringMatching("[mn]").Draw(t, "agent"))
			id := OfferID(fmt.Sprint(rapid.IntRange(0, made).Draw(t, "id")))
			var got, want []Offer
			switch rapid.IntRange(0, 9).Draw(t, "what") {
			case 0:
				now += time.Duration(rapid.IntRange(0, 7).Draw(t, "later"))
				got, want = o.Expire(now), take(func(x Offer) bool { return x.Made+5 <= now })
			case 1:
				got, want = o.RemoveFramework(f), take(func(x Offer) bool { return x.Framework == f })
			case 2:
				got, want = o.RemoveAgent(agent), take(func(x Offer) bool { return x.Agent == agent })
			case 3, 4:
				got, _ = o.Take(f, id)
				want = take(func(x Offer) bool { return x.ID == id && x.Framework == f })
			default:
				x, err := o.Add(Allocation{Framework: f, Agent: agent}, OfferID(fmt.Sprint(made)), now)
				if err != nil {
					t.Fatal(err)
				}
				list, made = append(list, x), made+1
			}
			if !slices.Equal(idsOf(got), idsOf(want)) || o.Len() != len(list) {
				t.Fatalf("got %v, want %v; %d are out, want %d", idsOf(got), idsOf(want), o.Len(), len(list))
			}
			if at, ok := o.Next(); ok != (len(list) > 0) || ok && at != slices.MinFunc(list, func(x, y Offer) int { return cmp.Compare(x.Made, y.Made) }).Made+5 {
				t.Fatalf("the next expires at %v, %v, of %v", at, ok, list)
			}
		}
	})
}
