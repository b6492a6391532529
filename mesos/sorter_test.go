package mesos

import (
	"fmt"
	"math/big"
	"testing"

	"pgregory.net/rapid"
)

func TestDominantShare(t *testing.T) { // DRF section 4
	for _, c := range []struct {
		used, total string
		want        float64
	}{
		{"", "cpus:1", 0},
		{"cpus:1;mem:4", "cpus:9;mem:18", 4.0 / 18},
		{"cpus:3;mem:1", "cpus:9;mem:18", 3.0 / 9},
		{"cpus:1;cpus(r):1;ports:[1-9]", "cpus:1;cpus(s):3;ports:[1-9]", 0.5},
		{"gpus:1;cpus:1", "cpus:4", 0.25}, // an agent with gpus has gone
		{"aaa:1;zzz:1", "mem:1;zzz:2", 0.5},
	} {
		var used, total tally
		used.add(resources(t, c.used))
		total.add(resources(t, c.total))
		if got := used.share(total); got != c.want {
			t.Errorf("the share of %q in %q is %v, want %v", c.used, c.total, got, c.want)
		}
	}
}

// However many agents have the most there is of something, sums are exact.
func TestTalliesDoNotOverflow(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var sum tally
		want := new(big.Int)
		var counted []Resources
		for range rapid.IntRange(0, 40).Draw(t, "steps") {
			if len(counted) > 0 && rapid.Bool().Draw(t, "out") {
				r := counted[len(counted)-1]
				counted = counted[:len(counted)-1]
				sum.sub(r)
				want.Sub(want, big.NewInt(int64(r.all[0].Scalar)))
			} else {
				r := Resources{all: []Resource{{Name: "x", Scalar: rapid.SampledFrom([]Milli{1, 1 << 40, MaxMilli}).Draw(t, "x")}}}
				counted = append(counted, r)
				sum.add(r)
				want.Add(want, big.NewInt(int64(r.all[0].Scalar)))
			}
			limit := rapid.SampledFrom([]Milli{0, 1, 1 << 41, MaxMilli}).Draw(t, "limit")
			room := new(big.Int).Sub(big.NewInt(int64(limit)), want)
			if room.Sign() < 0 {
				room.SetInt64(0)
			}
			if got := sum.room("x", limit); int64(got) != room.Int64() {
				t.Fatalf("%v leaves %v of %v, want %v", want, got, limit, room)
			}
			if len(counted) == 0 {
				if len(sum) != 0 {
					t.Fatalf("%v is left of nothing", sum)
				}
				continue
			}
			f, _ := new(big.Float).SetInt(want).Float64()
			if got := sum[0].float(); got < f*(1-1e-15) || got > f*(1+1e-15) {
				t.Fatalf("the sum is %v, want %v", got, f)
			}
		}
	})
}

func TestCountingOutMoreThanThereIsPanics(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("no panic")
		}
	}()
	var sum tally
	sum.add(resources(t, "cpus:1"))
	sum.sub(resources(t, "cpus:1.001"))
}

func TestSorterKeepsTheOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var total tally
		version := uint64(0)
		grow := func() {
			total.add(Resources{all: []Resource{{Name: "x", Scalar: 10}}})
			version++
		}
		grow()
		var s sorter[*client]
		all := make([]*client, 6)
		for i := range all {
			all[i] = &client{contender: contender{name: fmt.Sprint(i), weight: One}}
		}
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			c := rapid.SampledFrom(all).Draw(t, "client")
			switch rapid.IntRange(0, 4).Draw(t, "what") {
			case 0:
				grow()
			case 1:
				if c.listed {
					s.remove(c)
				} else {
					s.insert(c, total)
				}
			case 2:
				c.weight = Milli(rapid.IntRange(1, 3).Draw(t, "weight")) * One
				s.update(c, total)
			default:
				c.used = tally{{name: "x", low: uint64(rapid.IntRange(1, 5).Draw(t, "used"))}}
				s.update(c, total)
			}
			if rapid.Bool().Draw(t, "look") {
				checkSorter(t, s.sorted(total, version), all, total)
			}
		}
	})
}

func checkSorter(t *rapid.T, list, all []*client, total tally) {
	listed := 0
	for _, c := range all {
		if c.listed {
			listed++
		}
	}
	if len(list) != listed {
		t.Fatalf("%d are listed, want %d", len(list), listed)
	}
	for i, c := range list {
		if want := c.used.share(total) * 1000 / float64(c.weight); c.at != i || !c.listed || c.share != want {
			t.Fatalf("%s at %d has the place %d and the share %v, want %v", c.name, i, c.at, c.share, want)
		}
		if i > 0 && compareContenders(&list[i-1].contender, &c.contender) >= 0 {
			t.Fatalf("%s with %v is before %s with %v", list[i-1].name, list[i-1].share, c.name, c.share)
		}
	}
}
