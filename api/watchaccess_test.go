package api

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/synod-go/synod/coordination"
)

// guarded is a tree with a key that its owner alone may look into, and what happened around it.
func guarded(t *testing.T) *fake {
	f := newFake(t, coordination.Config{})
	f.do(t, coordination.Operation{Kind: coordination.Create, Path: "/a", ACL: coordination.ACL{
		{Permissions: coordination.MayRead | coordination.MayCreate, Principal: coordination.Principal{Scheme: "world", ID: "anyone"}}}}) // index 1
	f.do(t, coordination.Operation{Kind: coordination.Create, Path: "/a/box", ACL: coordination.ACL{
		{Permissions: coordination.MayAll, Principal: owner}}}) // index 2
	f.around(t)
	return f
}

var owner = coordination.Principal{Scheme: "digest", ID: DigestID("ann", "secret of ann")}

// around makes, changes and deletes keys, at four indexes.
func (f *fake) around(t *testing.T) {
	f.do(t, coordination.Operation{Kind: coordination.Put, Path: "/a/box/x/y"})
	f.do(t, coordination.Operation{Kind: coordination.Put, Path: "/a/box/x"})
	f.do(t, coordination.Operation{Kind: coordination.Multi, Operations: []coordination.Operation{
		{Kind: coordination.Put, Path: "/a/box"}, {Kind: coordination.Delete, Path: "/a/box/x", Recursive: true}}})
	f.do(t, coordination.Operation{Kind: coordination.Put, Path: "/a/box/z"})
}

// do carries out an operation of the owner.
func (f *fake) do(t *testing.T, o coordination.Operation) {
	t.Helper()
	o.Caller.Principals = []coordination.Principal{owner}
	r, err := f.Propose(t.Context(), o, RequestID{})
	if err = errors.Join(err, r.Err()); err != nil {
		t.Fatal(err)
	}
}

// hidings are watches from index 3 on and what they may tell of around to whom may not read a/box.
var hidings = []struct{ path, scope, parameter, want string }{
	{"", "tree", "&recursive", "5 a/box"},
	{"a/box", "tree", "&recursive", "5 a/box"},
	{"a/box", "children", "&children", ""},
	{"a/box", "node", "", "5 a/box"},
	{"a", "children", "&children", ""},
	// Whoever knows a name below may ask there: that can be read.
	{"a/box/x", "tree", "&recursive", "3 a/box/x, 3 a/box/x/y, 4 a/box/x, 5 a/box/x/y, 5 a/box/x"},
	{"a/box/x", "children", "&children", "3 a/box/x/y, 5 a/box/x/y, 5 a/box/x"},
	{"a/box/z", "node", "", "6 a/box/z"},
}

func TestAWatchTellsNoNameThatAListingHides(t *testing.T) {
	f := guarded(t)
	_, addr := serve(t, Config{Backend: f, Heartbeat: 10 * time.Millisecond})
	for _, test := range hidings {
		request := must(http.NewRequest(http.MethodGet, "http://"+addr+"/v1/kv/"+test.path+"?watch&from=3"+test.parameter, nil))
		if got := f.streamed(t, request); got != test.want {
			t.Errorf("%s of %q: told %q, want %q", test.scope, test.path, got, test.want)
		}
	}
	request := must(http.NewRequest(http.MethodGet, "http://"+addr+"/v1/kv/a/box?watch&from=3&children", nil))
	request.SetBasicAuth("ann", "secret of ann")
	if got, want := f.streamed(t, request), "3 a/box/x, 5 a/box/x, 6 a/box/z"; got != want {
		t.Errorf("the owner is told %q, want %q", got, want)
	}
}

// streamed is what a stream tells until its id is the last index.
func (f *fake) streamed(t *testing.T, r *http.Request) string {
	t.Helper()
	ctx, last := r.Context(), fmt.Sprintf("id: %d", f.at)
	response, err := http.DefaultClient.Do(r.WithContext(ctx))
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	defer time.AfterFunc(20*time.Second, func() { response.Body.Close() }).Stop()
	var told []string
	beat := false // the line before was that of a heartbeat
	for lines := bufio.NewScanner(response.Body); lines.Scan(); beat = strings.HasPrefix(lines.Text(), ":") {
		if beat && lines.Text() == last {
			return strings.Join(told, ", ")
		}
		if data, is := strings.CutPrefix(lines.Text(), "data: "); is {
			told = append(told, pathsIn(t, data)...)
		}
	}
	t.Fatalf("after %q the stream ends without %q", told, last)
	return ""
}

// pathsIn is the index and path of a change, nothing of any other line.
func pathsIn(t *testing.T, data string) []string {
	var c struct {
		Path  *string
		Index uint64
	}
	if err := json.Unmarshal([]byte(data), &c); err != nil {
		t.Fatal(err)
	}
	if c.Path == nil {
		return nil
	}
	return []string{fmt.Sprint(c.Index, " ", *c.Path)}
}

// The watches of a session share one look at the history, once they have caught up.
func TestEachWatchOfASessionTellsNoNameThatAListingHides(t *testing.T) {
	f := guarded(t)
	_, addr := serve(t, Config{Backend: f})
	token, id := rawSession(t, newTestClient(t, addr), "1m")
	w, _ := connectRaw(t, addr, token, "1")
	for i, test := range hidings {
		w.say(`{"watch":%d,"path":%q,"scope":%q,"from":3}`, i+1, test.path, test.scope)
	}
	missed := w.changesUntil(f.at)
	if id != 7 {
		t.Fatalf("void: session %d", id)
	}
	f.do(t, coordination.Operation{Kind: coordination.Delete, Path: "/a/box/z"})
	before := f.at
	f.around(t)
	live := w.changesUntil(f.at)
	for i, test := range hidings {
		if got := missed[i+1]; got != test.want {
			t.Errorf("%s of %q: what it missed is %q, want %q", test.scope, test.path, got, test.want)
		}
		want := moved(t, test.want, before-2)
		if test.path == "a/box/z" {
			want = "8 a/box/z, " + want
		}
		if got := live[i+1]; got != want {
			t.Errorf("%s of %q: told %q, want %q", test.scope, test.path, got, want)
		}
	}
}

// moved is a list of changes at indexes so much higher.
func moved(t *testing.T, list string, by uint64) string {
	var all []string
	for one := range strings.SplitSeq(list, ", ") {
		var index uint64
		var path string
		if _, err := fmt.Sscan(one, &index, &path); err == nil {
			all = append(all, fmt.Sprint(index+by, " ", path))
		} else if list != "" {
			t.Fatal(err)
		}
	}
	return strings.Join(all, ", ")
}

// changesUntil is what each watch is told up to an index.
func (w *wire) changesUntil(index uint64) map[int]string {
	w.t.Helper()
	w.say(`{"sync":%d}`, index)
	told := map[int]string{}
	for synced := false; !synced; {
		var line struct {
			Change *Change
			Watch  []int
			Synced uint64
		}
		text := w.line()
		if strings.HasPrefix(text, `{"watching"`) {
			continue
		}
		if err := json.Unmarshal([]byte(text), &line); err != nil {
			w.t.Fatalf("%v in %q", err, text)
		}
		for _, number := range line.Watch {
			told[number] += fmt.Sprint(line.Change.Index, " ", line.Change.Path, ", ")
		}
		synced = line.Synced > 0
	}
	for number := range told {
		told[number] = strings.TrimSuffix(told[number], ", ")
	}
	return told
}

// Only the last change of an index that is told carries the id.
func TestALeftOutChangeTakesNoIDAway(t *testing.T) {
	f := guarded(t)
	server, _ := serve(t, Config{Backend: f})
	all := coordination.Watch{Path: "/", Scope: coordination.OnTree, Limit: changesPage}
	page, err := server.changes(t.Context(), ReadOptions{Level: Stale}, coordination.Caller{}, all, 4, nil)
	if err != nil || page.next != f.at {
		t.Fatalf("looked up to %d, %v; want %d", page.next, err, f.at)
	}
	answer := newRecorder()
	out := newStream(answer, must(http.NewRequest(http.MethodGet, "/", nil)), time.Second)
	if err := sendChanges(out, page.changes); err != nil {
		t.Fatal(err)
	}
	if lines := strings.Split(answer.Body.String(), "\n"); !slices.Contains(lines, "id: 5") || slices.Contains(lines, "id: 6") {
		t.Errorf("told %q, want the change at 5 with its id", lines)
	}
}

func TestTheLowestKeyThatMayNotBeReadHidesFromAllAboveIt(t *testing.T) {
	f := guarded(t)
	f.do(t, coordination.Operation{Kind: coordination.Create, Path: "/a/box/in", ACL: coordination.ACL{{Permissions: coordination.MayAll, Principal: owner}}})
	c := shown(f.live, coordination.Event{Kind: coordination.Created, Path: "/a/box/in/x"}, "/", coordination.Caller{})
	for path, want := range map[string]bool{"/": false, "/a": false, "/a/box": false, "/a/box/in": false, "/a/box/in/x": true} {
		if got := c.shows(coordination.Watch{Path: path, Scope: coordination.OnTree}); got != want {
			t.Errorf("a watch of %s tells: %t, want %t", path, got, want)
		}
	}
}
