package coordination

import (
	"errors"
	"fmt"
	"strings"
	"testing"
)

// story prints events in short.
func story(events []Event) string {
	var all []string
	for _, e := range events {
		all = append(all, fmt.Sprintf("%d:%s %s v%d %q", e.Index, e.Kind, e.Path, e.Version, e.Data))
	}
	return strings.Join(all, "\n")
}

func (r *replica) since(after uint64, w Watch) Events {
	r.t.Helper()
	page, err := r.EventsSince(after, w)
	if err != nil {
		r.t.Fatalf("events since %d: %v", after, err)
	}
	return page
}

func TestEventsTellEveryChangeInOrder(t *testing.T) {
	r := newReplica(t, Limits{})
	r.put("/a/b", "1")
	r.put("/a/b", "2")
	r.do(Operation{Kind: Put, Path: "/a/b", Version: 9})
	r.put("/a/c", "3")
	r.delete("/a/b")
	r.put("/ab", "4")
	r.delete("/a")
	all := `1:created /a v0 ""
1:created /a/b v1 "1"
2:changed /a/b v2 "2"
4:created /a/c v1 "3"
5:deleted /a/b v2 ""
6:created /ab v1 "4"
7:deleted /a/c v1 ""
7:deleted /a v0 ""`
	want(t, "all", story(r.since(0, Watch{Path: "/", Scope: OnTree}).Events), all)
	want(t, "one node", story(r.since(0, Watch{Path: "/a"}).Events), "1:created /a v0 \"\"\n7:deleted /a v0 \"\"")
	want(t, "below one", len(r.since(0, Watch{Path: "/a", Scope: OnTree}).Events), 7)
	want(t, "later", story(r.since(5, Watch{Path: "/a", Scope: OnTree}).Events), "7:deleted /a/c v1 \"\"\n7:deleted /a v0 \"\"")
	want(t, "next", r.since(2, Watch{Path: "/none"}).Next, 7)
	want(t, "from the future", r.since(99, Watch{Path: "/a"}).Next, 99)
}

func TestAPageNeverPartsTheEventsOfOneIndex(t *testing.T) {
	r := newReplica(t, Limits{})
	r.put("/a/b/c/d", "")
	r.put("/x", "")
	r.delete("/a")
	w := Watch{Path: "/", Scope: OnTree, Limit: 1}
	var lengths []int
	after := uint64(0)
	for more := true; more; {
		page := r.since(after, w)
		lengths = append(lengths, len(page.Events))
		after, more = page.Next, page.More
	}
	want(t, "pages", fmt.Sprint(lengths), "[4 1 4]")
}

// A watcher goes on at another replica, restored from a snapshot, and misses
// and repeats nothing.
func TestAWatcherResumesOnARestoredReplica(t *testing.T) {
	r := newReplica(t, Limits{})
	for i := range 1000 {
		r.put(fmt.Sprintf("/w/%d", i%7), fmt.Sprint(i))
	}
	other := newReplica(t, Limits{})
	other.restore(r.snapshot())
	w := Watch{Path: "/w", Scope: OnTree, Limit: 10}
	var got []Event
	after, more := uint64(1), true
	for turn := 0; more; turn++ {
		from := r
		if turn%2 == 1 {
			from = other
		}
		page := from.since(after, w)
		got = append(got, page.Events...)
		after, more = page.Next, page.More
	}
	want(t, "count", len(got), 999)
	for i, e := range got {
		if e.Index != uint64(i+2) || string(e.Data) != fmt.Sprint(i+1) {
			t.Fatalf("event %d: %+v", i, e)
		}
	}
}

func TestHistoryThatIsGoneIsSaidToBeGone(t *testing.T) {
	for name, l := range map[string]Limits{
		"count": {HistoryEvents: 300},
		"bytes": {HistoryBytes: 300 * (eventOverhead + int64(len("/a1000")))},
	} {
		t.Run(name, func(t *testing.T) {
			r := newReplica(t, l)
			for i := range 1000 {
				r.put("/a", fmt.Sprint(1000+i))
			}
			want(t, "oldest", r.OldestIndex(), 700)
			want(t, "kept", r.Status().Events, 300)
			for range 2 {
				want(t, "from the oldest", len(r.since(700, Watch{Path: "/a"}).Events), 300)
				if _, err := r.EventsSince(699, Watch{Path: "/a"}); !errors.Is(err, ErrHistoryGone) {
					t.Fatalf("got %v", err)
				}
				r.restore(r.snapshot())
			}
		})
	}
}

func TestALongScanComesInPages(t *testing.T) {
	r := newReplica(t, Limits{})
	for range 2*maxScan + 10 {
		r.put("/busy", "")
	}
	r.put("/rare", "")
	after, found, pages := uint64(0), 0, 0
	for more := true; more; pages++ {
		page := r.since(after, Watch{Path: "/rare"})
		found += len(page.Events)
		after, more = page.Next, page.More
	}
	want(t, "found", found, 1)
	want(t, "pages", pages, 3)
}

func TestDroppedEventsOfMuchDataDoNotStayInMemory(t *testing.T) {
	const piece = 256 << 10
	r := newReplica(t, Limits{HistoryBytes: 16 * piece})
	for range 200 {
		r.put("/a", strings.Repeat("x", piece))
	}
	held := 0
	for _, block := range r.history.blocks {
		for _, e := range block {
			held += len(e.Data)
		}
	}
	if held > 16*piece+2*int(blockBytes) {
		t.Fatalf("%d bytes are held, the history may have %d", held, 16*piece)
	}
}
