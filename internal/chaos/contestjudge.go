package chaos

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Harm is what was done to one contender. To is when it was over; it is so to a
// process that was killed for good.
type Harm struct {
	Kind     FaultKind
	Who      string
	From, To time.Duration // of Now
}

// pauses reports whether the process stood still.
func (h Harm) pauses() bool {
	switch h.Kind {
	case NapHolder, PauseHolder, PauseWaiter, PauseHolderAndLeader:
		return true
	}
	return false
}

// ContestHistory is all that a contest has left behind to be judged.
type ContestHistory struct {
	Records []Record
	Harms   []Harm
	Nodes   []Harm // what was done to nodes
	Queue   string // the key below which contenders stand
	Target  string
	// Begin and End are the keys of the markers between which all observers looked on.
	Begin, End string
	// Watchers are the observers that tell changes, Leaders those that tell who leads.
	Watchers, Leaders []string
}

// wakeGrace is how long after it stood still a process may still believe what was
// true before.
const wakeGrace = 500 * time.Millisecond

// stoodExcuse is the least time without a processor that excuses a belief, and how long
// it does so afterwards.
const stoodExcuse = 50 * time.Millisecond

// Leniency counts what is not to be blamed, but must be known.
type Leniency struct {
	// Excused are beliefs of processes that had stood still, Unseen leaders of whom an
	// observer was not told because the next one was there already.
	Excused int `json:"excused"`
	Unseen  int `json:"unseen"`
}

// JudgeContest returns what is wrong, at most a few lines of each kind.
func JudgeContest(h ContestHistory) (violations []string, leniency Leniency) {
	violations = append(violations, judgeFence(h.Records)...)
	beliefs, excused := judgeBeliefs(h.Records, h.Harms)
	violations = append(violations, beliefs...)
	told, unequal := h.told()
	violations = append(violations, unequal...)
	if told == nil { // nobody can say what became of it
		return violations, Leniency{Excused: excused}
	}
	l := readLog(h, told)
	violations = append(violations, l.violations...)
	violations = append(violations, l.judgeHolds(h.Records)...)
	violations = append(violations, l.judgeCommits(h.Records)...)
	leaders, missing := l.judgeLeaders(h)
	return append(violations, leaders...), Leniency{excused, missing}
}

// few keeps a report readable.
func few(list []string) []string {
	const limit = 10
	if len(list) > limit {
		return append(list[:limit:limit], fmt.Sprintf("and %d more of these", len(list)-limit))
	}
	return list
}

// judgeFence checks what the guarded store has done: nobody acts after somebody
// with a higher token, and a token is one contender's.
func judgeFence(records []Record) (violations []string) {
	highest, owner := uint64(0), make(map[uint64]string)
	for _, r := range records {
		switch r.Kind {
		case SaidHolds, SaidActs, SaidLate:
		default:
			continue
		}
		if other := cmp.Or(owner[r.Token], r.Who); other != r.Who || r.Token == 0 {
			violations = append(violations, fmt.Sprintf("token %d is held by %s and by %s", r.Token, other, r.Who))
		}
		owner[r.Token] = r.Who
		switch {
		case r.Kind == SaidHolds:
		case r.Admitted && r.Token < highest:
			violations = append(violations, fmt.Sprintf("%s acted with token %d after an action with token %d", r.Who, r.Token, highest))
		case r.Admitted:
			highest = r.Token
		case r.Token >= highest:
			violations = append(violations, fmt.Sprintf("%s was refused with token %d, the highest was %d", r.Who, r.Token, highest))
		}
	}
	return few(violations)
}

// judgeBeliefs looks for two that believed to hold at one time. A contender whose
// process stood still is excused until shortly after: that is what tokens are for.
func judgeBeliefs(records []Record, harms []Harm) (violations []string, excused int) {
	// superseded is, for each token, when the first with a higher one was let in.
	granted := make(map[uint64]time.Duration)
	for _, r := range records {
		if _, again := granted[r.Token]; r.Kind == SaidHolds && !again {
			granted[r.Token] = r.At
		}
	}
	tokens := slices.Sorted(maps.Keys(granted))
	superseded, earliest := make(map[uint64]time.Duration), time.Duration(0)
	for _, token := range slices.Backward(tokens) {
		superseded[token] = earliest
		if at := granted[token]; earliest == 0 || at < earliest {
			earliest = at
		}
	}
	stood := stoodStill(records, harms)
	for _, r := range records {
		switch r.Kind {
		case SaidHolds, SaidActs, SaidCommits:
		default:
			continue
		}
		since := superseded[r.Token]
		if since == 0 || r.At <= since {
			continue
		}
		if excuses(stood[r.Who], since, r.At) {
			excused++
			continue
		}
		violations = append(violations, fmt.Sprintf("%s believed (%s) to hold token %d, %v after another was let in",
			r.Who, r.Kind, r.Token, (r.At-since).Round(time.Microsecond)))
	}
	return few(violations), excused
}

// stoodStill lists when each contender had no processor.
func stoodStill(records []Record, harms []Harm) map[string][]Harm {
	stood := make(map[string][]Harm)
	for _, h := range harms {
		if h.pauses() {
			stood[h.Who] = append(stood[h.Who], h)
		}
	}
	for _, r := range records {
		if r.Kind == SaidStood && r.At-r.From >= stoodExcuse {
			stood[r.Who] = append(stood[r.Who], Harm{Who: r.Who, From: r.From, To: r.At})
		}
	}
	return stood
}

// excuses reports whether a process could not know at the time at what was so since: it
// has been stopped until just now, or it had no processor when that came about.
func excuses(stood []Harm, since, at time.Duration) bool {
	return slices.ContainsFunc(stood, func(h Harm) bool {
		if h.Kind != "" {
			return at >= h.From && at <= h.To+wakeGrace
		}
		return h.To+stoodExcuse >= since && h.From <= at && at <= h.To+stoodExcuse
	})
}

// told returns the changes between the markers, which all watchers must have been
// told in the same order, each once.
func (h ContestHistory) told() (changes []Record, violations []string) {
	for n, who := range h.Watchers {
		mine, whole := h.toldTo(who)
		if !whole {
			violations = append(violations, fmt.Sprintf("%s was not told of both markers", who))
			mine = nil
		}
		for i := 1; i < len(mine); i++ {
			if a, b := mine[i-1].Change, mine[i].Change; b.Index < a.Index || b.Index == a.Index && b.Path == a.Path && b.Kind == a.Kind {
				violations = append(violations, fmt.Sprintf("%s was told %s after %s", who, showChange(mine[i]), showChange(mine[i-1])))
			}
		}
		if n == 0 {
			changes = mine
			continue
		}
		if difference := firstDifference(changes, mine); difference != "" {
			violations = append(violations, fmt.Sprintf("%s and %s were told different changes: %s", h.Watchers[0], who, difference))
		}
	}
	return changes, few(violations)
}

// toldTo returns what one watcher was told between the markers, and whether it was
// told of them.
func (h ContestHistory) toldTo(who string) (changes []Record, whole bool) {
	began := false
	for _, r := range h.Records {
		if r.Kind != SaidChange || r.Who != who {
			continue
		}
		key := trimRoot(r.Change.Path)
		if began = began || key == h.Begin; !began {
			continue
		}
		changes = append(changes, r)
		if key == h.End {
			return changes, true
		}
	}
	return changes, false
}

func showChange(r Record) string {
	c := r.Change
	return fmt.Sprintf("%d %s %s %.40q", c.Index, c.Kind, c.Path, c.Value)
}

// firstDifference shows the first place at which two watchers differ.
func firstDifference(a, b []Record) string {
	for n := range min(len(a), len(b)) {
		if x, y := showChange(a[n]), showChange(b[n]); x != y {
			return fmt.Sprintf("change %d is %s, or %s", n, x, y)
		}
	}
	if len(a) != len(b) {
		return fmt.Sprintf("%d changes, or %d", len(a), len(b))
	}
	return ""
}

// contestLog is the history as the log orders it.
type contestLog struct {
	created map[uint64]Record        // by index, of keys in the queue
	leads   []uint64                 // who was first in the queue, one after the other
	began   map[uint64]time.Duration // when an observer was told of that
	between map[uint64]bool          // those who were so only between changes of one index
	commits map[string]uint64        // where each value was written to the target
	target  string

	violations []string
}

// readLog replays the changes: who stands in the queue, who is first, and whether
// what was written to the target was written by the first.
func readLog(h ContestHistory, told []Record) *contestLog {
	l := &contestLog{created: make(map[uint64]Record), commits: make(map[string]uint64),
		began: make(map[uint64]time.Duration), between: make(map[uint64]bool), target: h.Target}
	queue := make(map[string]uint64) // path to index of creation
	for n, r := range told {
		path := trimRoot(r.Change.Path)
		name, inQueue := strings.CutPrefix(path, h.Queue+"/")
		switch {
		case path == h.Target && r.Change.Kind != "deleted":
			l.write(r, queue)
		case !inQueue || strings.Contains(name, "/"):
		case r.Change.Kind == "created":
			l.created[r.Change.Index] = r
			queue[path] = r.Change.Index
		case r.Change.Kind == "deleted":
			delete(queue, path)
		}
		l.lead(r, lowest(queue), n+1 == len(told) || told[n+1].Change.Index != r.Change.Index)
	}
	if !slices.IsSorted(l.leads) {
		l.violations = append(l.violations, fmt.Sprintf("the first of the queue came out of order: %d", l.leads))
	}
	l.violations = few(l.violations)
	return l
}

// lead notes who is the first of the queue after a change. Changes of one index are one
// step: who was first only between them never led, though an observer may be told so.
func (l *contestLog) lead(r Record, first uint64, whole bool) {
	if first == 0 {
		return
	}
	if len(l.leads) == 0 || l.leads[len(l.leads)-1] != first {
		l.leads, l.began[first], l.between[first] = append(l.leads, first), r.At, true
	}
	if whole {
		delete(l.between, first)
	}
}

// lowest is the index at which the first of the queue was created, 0 if it is empty.
func lowest(queue map[string]uint64) uint64 {
	first := uint64(0)
	for _, index := range queue {
		if first == 0 || index < first {
			first = index
		}
	}
	return first
}

// write notes a write of the target, which must be by the first of the queue.
func (l *contestLog) write(r Record, queue map[string]uint64) {
	value := string(r.Change.Value)
	if at, again := l.commits[value]; again {
		l.violations = append(l.violations, fmt.Sprintf("%q was written at index %d and at %d", value, at, r.Change.Index))
	}
	l.commits[value] = r.Change.Index
	token, _, _ := strings.Cut(value, " ")
	if first := lowest(queue); token != strconv.FormatUint(first, 10) {
		l.violations = append(l.violations, fmt.Sprintf("%q was written at index %d, when %d held", value, r.Change.Index, first))
	}
}

// judgeHolds checks that who was let in was the first of the queue at some time,
// under the name and with the token of its key.
func (l *contestLog) judgeHolds(records []Record) (violations []string) {
	for _, r := range records {
		if r.Kind != SaidHolds {
			continue
		}
		key, ok := l.created[r.Token]
		switch {
		case !ok:
			violations = append(violations, fmt.Sprintf("%s holds token %d, at which nothing was created", r.Who, r.Token))
		case trimRoot(key.Change.Path) != trimRoot(r.Key) || string(key.Change.Value) != r.Who:
			violations = append(violations, fmt.Sprintf("%s holds %s with token %d, which is %s", r.Who, r.Key, r.Token, showChange(key)))
		case !slices.Contains(l.leads, r.Token) || l.between[r.Token]:
			violations = append(violations, fmt.Sprintf("%s held token %d, which was never the first", r.Who, r.Token))
		}
	}
	return few(violations)
}

// judgeCommits compares what contenders were told of their transactions with what
// became of them.
func (l *contestLog) judgeCommits(records []Record) (violations []string) {
	for _, r := range records {
		if r.Kind != SaidCommits {
			continue
		}
		index, written := l.commits[r.Value]
		switch {
		case r.Outcome == Done && index != r.Index:
			violations = append(violations, fmt.Sprintf("%q was acknowledged at index %d and stands at %d", r.Value, r.Index, index))
		case r.Outcome == Refused && written:
			violations = append(violations, fmt.Sprintf("%q was refused and stands at %d: %s", r.Value, index, r.Text))
		}
	}
	return few(violations)
}

// watchSilence is how long an observer may not notice that its node stands still, and
// needs to go on elsewhere.
const watchSilence = 25 * time.Second

// judgeLeaders checks that those who observe an election were told of each leader in
// order, once. They are told the last of several that come together, as they do after a
// reconnect: so some may be missing that came after a node was harmed. They are counted.
func (l *contestLog) judgeLeaders(h ContestHistory) (violations []string, missing int) {
	for _, who := range h.Leaders {
		next, seen := 0, uint64(0)
		var unseen []uint64
		for _, r := range h.Records {
			if r.Who != who || r.Kind != SaidLeader || r.Token == 0 || r.Token == seen {
				continue
			}
			seen = r.Token
			place := slices.Index(l.leads[next:], seen)
			if place < 0 {
				violations = append(violations, fmt.Sprintf("%s was told that %d leads, which does not come behind %d in %d",
					who, seen, next, l.leads))
				break
			}
			unseen = append(unseen, l.leads[next:next+place]...)
			next += place + 1
		}
		unseen = slices.DeleteFunc(append(unseen, l.leads[next:]...), func(token uint64) bool { return l.between[token] })
		missing += len(unseen)
		for _, token := range unseen {
			if !h.disturbed(l.began[token]) {
				violations = append(violations, fmt.Sprintf("%s was not told that %d leads", who, token))
			}
		}
	}
	return few(violations), missing
}

// disturbed reports whether a node had been harmed shortly before.
func (h ContestHistory) disturbed(at time.Duration) bool {
	return slices.ContainsFunc(h.Nodes, func(n Harm) bool { return at >= n.From && at <= n.To+watchSilence })
}
