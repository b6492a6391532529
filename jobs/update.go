package jobs

import (
	"cmp"
	"fmt"
	"slices"
	"time"
	"unicode/utf8"

	"github.com/synod-go/synod/mesos"
)

// worksFor reports whether an instance has worked for so long. If not, due is when it will
// have if it goes on, 0 if it does not work.
func (i *instance) worksFor(now, d time.Duration) (ok bool, due time.Duration) {
	if !i.mayRun() || i.good == 0 {
		return false, 0
	}
	return now >= i.good+d, i.good + d
}

// settleUpdate goes on with the replacement of the instances of a service: at most Parallel
// at a time are without one that works.
func (j *Jobs) settleUpdate(b *job) {
	if b.Spec.Kind != Service || b.Update != updating && b.Update != rollingBack || !b.record.settled() || j.now < b.again {
		if j.now < b.again {
			j.wakeBy(b, b.again)
		}
		return
	}
	u := &b.Spec.Update
	moving, left := 0, 0
	var old []*instance
	for _, i := range b.instances {
		if !b.wants(i.index) {
			continue
		}
		switch {
		case i.mayRun() && i.Template != b.Template && i.state == mesos.Unreachable:
			j.kill(i) // when its agent is back; until then it holds nobody up
			left++
			continue
		case i.mayRun() && i.Template != b.Template && !i.killing:
			old = append(old, i)
			left++
			continue
		case i.Template == b.Template:
			ok, due := i.worksFor(j.now, u.HealthyAfter)
			if ok || i.Done {
				i.began = 0
				continue
			}
			if due > j.now {
				j.wakeBy(b, due)
			}
		}
		moving, left = moving+1, left+1
		if i.began == 0 {
			i.began = j.now
		}
		if b.Update == updating && (i.GaveUp && i.Template == b.Template || j.now >= i.began+u.Deadline) {
			j.fail(b, i)
			return
		}
		j.wakeBy(b, i.began+u.Deadline)
	}
	slices.SortStableFunc(old, func(x, y *instance) int { return cmp.Compare(min(x.good, 1), min(y.good, 1)) }) // who does not work is not missed
	for _, i := range old {
		if moving >= u.Parallel {
			break
		}
		moving++
		i.began = j.now
		j.kill(i)
	}
	if left == 0 {
		j.finishUpdate(b)
	}
}

// maxFailedBytes bounds what is kept of why an update has failed: with two Specs it has to go
// into one document.
const maxFailedBytes = 1000

// shorten cuts a text, not within a character.
func shorten(text string, most int) string {
	if len(text) <= most {
		return text
	}
	for most > 0 && !utf8.RuneStart(text[most]) {
		most--
	}
	return text[:most]
}

func (j *Jobs) finishUpdate(b *job) {
	b.Update = ""
	j.store(b)
}

// fail ends an update that one instance has held up for too long, and brings the Spec of
// before back.
func (j *Jobs) fail(b *job, i *instance) {
	b.Failed = shorten(fmt.Sprintf("version %d failed: instance %d %s", b.Version, i.index, j.whyNot(b, i)), maxFailedBytes)
	for _, i := range b.instances {
		i.began = 0
	}
	if b.Spec.Update.NoRollback || b.Previous == nil {
		b.Update = updateFailed
		j.store(b)
		return
	}
	doc := b.jobDocument
	doc.Spec, doc.Template = *b.Previous, b.PreviousTemplate
	doc.Spec.Count = b.Spec.Count
	doc.Previous, doc.PreviousTemplate = nil, 0
	doc.Version++
	doc.Update = rollingBack
	b.become(doc)
	j.store(b)
}

// stuck is an instance that has held up the return of a Spec for longer than an update may
// take, or for good; nil if there is none. There is nothing to go back to from there, so the
// replacement goes on all the same: people are told.
func (j *Jobs) stuck(b *job) *instance {
	if b.Update != rollingBack {
		return nil
	}
	for _, i := range b.instances {
		late := i.began != 0 && j.now >= i.began+b.Spec.Update.Deadline
		if b.wants(i.index) && (late || i.GaveUp && i.Template == b.Template) {
			return i
		}
	}
	return nil
}

// whyNot says why an instance does not work yet.
func (j *Jobs) whyNot(b *job, i *instance) string {
	after := b.Spec.Update.HealthyAfter
	within := fmt.Sprintf("did not work for %v within %v", after, b.Spec.Update.Deadline)
	switch {
	case i.GaveUp:
		return "has ended too often: " + i.outcome()
	case i.mayRun() && i.Template != b.Template:
		return "of before has not ended within " + b.Spec.Update.Deadline.String()
	case i.mayRun() && i.state == mesos.Unreachable:
		return "is on agent " + string(i.Agent) + ", which cannot be reached"
	case i.mayRun() && i.health == mesos.Unhealthy:
		return "is not healthy: " + i.Message
	case i.mayRun() && i.Restarts > 0 && i.last != "":
		return fmt.Sprintf("%s, with %d restarts: %s", within, i.Restarts, i.last)
	case i.mayRun():
		return within + ": it is " + i.state.String()
	case i.waits:
		return within + ": it " + j.pendingText(b)
	case i.Task != "":
		return within + ": " + i.outcome()
	}
	return within
}

// outcome says how the last task of an instance has ended.
func (i *instance) outcome() string {
	text := "it ended " + i.State.String()
	switch {
	case i.HasExit && i.Signal != 0:
		text += fmt.Sprintf(" by signal %d", i.Signal)
	case i.HasExit:
		text += fmt.Sprintf(" with exit code %d", i.ExitCode)
	}
	if i.Message != "" {
		text += ", " + i.Message
	}
	return text
}
