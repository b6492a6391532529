package mesos

import (
	"container/heap"
	"time"
)

// alarm calls ring when its time has come. Its owner sets and stops it.
type alarm struct {
	at    time.Duration
	order uint64 // of two at the same time the one that was set first rings first
	index int    // in the heap, from 1; 0 is not set
	ring  func()
}

// alarms are those that are set.
type alarms struct {
	heap alarmHeap
	sets uint64
}

func (a *alarms) set(x *alarm, at time.Duration) {
	a.stop(x)
	a.sets++
	x.at, x.order = at, a.sets
	heap.Push(&a.heap, x)
}

// earlier sets x unless it rings before anyhow.
func (a *alarms) earlier(x *alarm, at time.Duration) {
	if x.index == 0 || x.at > at {
		a.set(x, at)
	}
}

func (a *alarms) stop(x *alarm) {
	if x.index > 0 {
		heap.Remove(&a.heap, x.index-1)
	}
}

// due takes the next one out if its time has come.
func (a *alarms) due(now time.Duration) *alarm {
	if len(a.heap) == 0 || a.heap[0].at > now {
		return nil
	}
	return heap.Pop(&a.heap).(*alarm)
}

func (a *alarms) next() (time.Duration, bool) {
	if len(a.heap) == 0 {
		return 0, false
	}
	return a.heap[0].at, true
}

type alarmHeap []*alarm

func (h alarmHeap) Len() int { return len(h) }
func (h alarmHeap) Less(i, j int) bool {
	return h[i].at < h[j].at || h[i].at == h[j].at && h[i].order < h[j].order
}
func (h alarmHeap) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].index, h[j].index = i+1, j+1
}
func (h *alarmHeap) Push(x any) {
	a := x.(*alarm)
	*h = append(*h, a)
	a.index = len(*h)
}
func (h *alarmHeap) Pop() any {
	last := len(*h) - 1
	a := (*h)[last]
	(*h)[last] = nil
	*h = (*h)[:last]
	a.index = 0
	return a
}
