package jobs

import (
	"fmt"
	"slices"
	"time"
)

// maxOverlap is how many runs of one job may be under way.
const maxOverlap = 8

// settleTimed begins the run of a timetable that is due. Its time is saved before anything
// starts, so that no time is run twice; of what nobody began in time the last is made up
// for if it is not longer ago than Config.Late.
func (j *Jobs) settleTimed(b *job) {
	if b.Spec.Kind != Timed || !b.record.settled() {
		return
	}
	if j.now < b.again {
		j.wakeBy(b, b.again)
		return
	}
	due, missed, next := j.due(b)
	if next != 0 {
		j.wakeBy(b, next)
	}
	if due == 0 && missed == 0 {
		return
	}
	doc := b.jobDocument
	doc.Last, doc.Note = max(due, missed), ""
	if missed != 0 {
		doc.Note = fmt.Sprintf("the run of %s was passed over: no master led", clock(missed))
	}
	if due != 0 {
		slot := b.freeSlot()
		switch {
		case b.Spec.Count == 0:
			doc.Note = fmt.Sprintf("the run of %s was passed over: the job has no instances", clock(due))
		case slot < 0:
			doc.Note = fmt.Sprintf("the run of %s was passed over: the one before goes on", clock(due))
		default:
			doc.Runs = slices.Clone(b.Runs)
			if slot == len(doc.Runs) {
				doc.Runs = append(doc.Runs, 0)
			}
			doc.Runs[slot] = due
		}
	}
	b.become(doc)
	j.store(b)
}

// due is the time to run now, 0 if there is none; the last one that it is too late for, and
// the next one in the future.
func (j *Jobs) due(b *job) (due, missed, next time.Duration) {
	at, ok := j.config.Next(b.Spec.Schedule, b.Last)
	if !ok {
		return 0, 0, 0
	}
	if at < j.now-j.config.Late {
		missed = at
		at, ok = j.config.Next(b.Spec.Schedule, j.now-j.config.Late)
	}
	for ok && at <= j.now && at > due {
		due = at
		at, ok = j.config.Next(b.Spec.Schedule, at)
	}
	ok = ok && at > j.now
	if due != 0 {
		missed = 0
	}
	if !ok {
		return due, missed, 0
	}
	return due, missed, at
}

// freeSlot is where the next run of a timetable goes, -1 if it may not begin.
func (b *job) freeSlot() int {
	free, live := -1, 0
	for slot := range b.Runs {
		switch {
		case b.live(slot):
			live++
		case free < 0:
			free = slot
		}
	}
	switch {
	case live > 0 && !b.Spec.Overlap, live >= maxOverlap:
		return -1
	case free < 0:
		return len(b.Runs)
	}
	return free
}

// live reports whether instances of a run are still to end.
func (b *job) live(slot int) bool {
	seen := 0
	for _, i := range b.instances {
		if i.index/MaxCount != slot {
			continue
		}
		if i.busy() {
			return true
		}
		if b.wants(i.index) {
			if i.Run != b.Runs[slot] || !i.Done && !i.GaveUp {
				return true
			}
			seen++
		}
	}
	return b.Runs[slot] != 0 && seen < b.Spec.Count
}

// underWay are the runs of a timetable that have not ended, each in its place: one that has is not begun anew by a Count that grows.
func (b *job) underWay() []time.Duration {
	runs := slices.Clone(b.Runs)
	for slot := range runs {
		if !b.live(slot) {
			runs[slot] = 0
		}
	}
	return runs
}

// clock says a time in words.
func clock(t time.Duration) string {
	return time.Unix(0, int64(t)).UTC().Format("2006-01-02 15:04 UTC")
}
