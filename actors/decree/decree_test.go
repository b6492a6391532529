package decree

import (
	"bytes"
	"fmt"
	"reflect"
	"slices"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/synod-go/synod/messages"
	"github.com/synod-go/synod/paxos"
	"github.com/synod-go/synod/paxos/founding"
	"github.com/synod-go/synod/storage"
)

func TestEveryMessageArrivesAsItWasSent(t *testing.T) {
	b, c := paxos.Ballot{Round: 3, Node: 0xaf}, paxos.Ballot{Round: 2, Node: 7}
	for _, m := range []paxos.Message{
		paxos.Prepare{Ballot: b}, paxos.Promise{Ballot: b}, paxos.Promise{Ballot: b, Accepted: c, Value: paxos.Value("v")},
		paxos.Accept{Ballot: b, Value: paxos.Value("v")}, paxos.Accepted{Ballot: b, Value: paxos.Value("v")}, paxos.Accepted{},
		paxos.Nack{Ballot: b, Promised: c, Reason: paxos.NotVoting}, paxos.Chosen{Ballot: b, Value: paxos.Value("v")},
		paxos.Chosen{Ballot: b}, paxos.Ask{}, paxos.Finish{}, paxos.Propose{Value: paxos.Value("v")},
	} {
		wire, err := proto.Marshal(Encode(m))
		if err != nil {
			t.Fatal(err)
		}
		w := new(messages.DecreeMessage)
		if err := proto.Unmarshal(wire, w); err != nil {
			t.Fatal(err)
		}
		if got, err := Decode(w); err != nil || !reflect.DeepEqual(got, m) {
			t.Errorf("%T %+v arrives as %+v, %v", m, m, got, err)
		}
		if len(Receivers(w)) == 0 {
			t.Errorf("nobody takes %T", m)
		}
		if e := Message(Acceptor, w, true); e.Kind == "" {
			t.Errorf("%T has no name in a recording", m)
		}
	}
}

func TestWhatNoNodeSendsIsNoMessage(t *testing.T) {
	for _, w := range []*messages.DecreeMessage{nil, {}, EncodeFound(founding.Set{}),
		{Body: &messages.DecreeMessage_Nack{Nack: &messages.DecreeNack{Reason: 99}}}} {
		if m, err := Decode(w); err == nil {
			t.Errorf("%v became %+v", w, m)
		}
	}
	for _, w := range []*messages.DecreeMessage{{Body: &messages.DecreeMessage_Prepare{}}, {Body: &messages.DecreeMessage_Accept{}}} {
		if _, err := Decode(w); err != nil {
			t.Errorf("%v: %v; the core judges it", w, err)
		}
	}
}

func TestTheRecorderKeepsTheLastEventsInTheirOrder(t *testing.T) {
	told := 0
	r := NewRecorder(3, nil, func(Event) { told++ })
	for i := range 5 {
		r.Record(Event{Decree: fmt.Sprint(i)})
	}
	var kept []string
	for _, e := range r.Events() {
		kept = append(kept, e.Decree)
	}
	if told != 5 || !slices.Equal(kept, []string{"2", "3", "4"}) {
		t.Fatalf("told %d of 5, kept %v", told, kept)
	}
}

// disk is a table on a log that writes only when it is told to.
type disk struct {
	t     *testing.T
	fs    *storage.Memory
	store *storage.Store
	log   *Log
	table *Table
}

func (d *disk) open(limits Limits) {
	d.t.Helper()
	var err error
	d.store, err = storage.Open("data", storage.Options{FS: d.fs, Node: "a", Manual: true, SegmentBytes: 1 << 20})
	if err != nil {
		d.t.Fatal(err)
	}
	d.log = NewLog(d.store, 1, func(err error) { d.t.Error(err) })
	d.table = NewTable(d.log, limits)
	if err := d.log.Replay(d.table.Load); err != nil {
		d.t.Fatal(err)
	}
}

func (d *disk) flush() {
	d.t.Helper()
	if err := d.store.Flush(); err != nil {
		d.t.Fatal(err)
	}
}

func TestNothingLeavesBeforeWhatItSpeaksOfIsDurable(t *testing.T) { // A4
	d := &disk{t: t, fs: storage.NewMemory(1)}
	d.open(Limits{Rows: 8, Bytes: 1 << 20})
	var left []string
	leave := func(what string) func() { return func() { left = append(left, what) } }
	d.log.Save(nil, leave("idle"))
	if !slices.Equal(left, []string{"idle"}) {
		t.Fatalf("with nothing under way left %v", left)
	}
	d.log.Save([]storage.Record{d.table.Put("x", []byte("1"))}, leave("vote"))
	d.log.Save(nil, leave("repeated answer"))
	if len(left) != 1 {
		t.Fatalf("before the flush left %v", left)
	}
	d.flush()
	if !slices.Equal(left, []string{"idle", "vote", "repeated answer"}) {
		t.Fatalf("after the flush left %v", left)
	}
}

func TestNothingLeavesAfterAFailedSave(t *testing.T) { // A5
	fs := storage.NewMemory(1)
	store, err := storage.Open("data", storage.Options{FS: fs, Node: "a", Manual: true, SegmentBytes: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	failed := 0
	log := NewLog(store, 1, func(error) { failed++ })
	table := NewTable(log, Limits{Rows: 8, Bytes: 1 << 20})
	fs.SetFault(func(o storage.Operation) storage.Fault {
		if o.Changes() {
			return storage.Fail
		}
		return 0
	})
	left := func() { t.Error("an answer has left") }
	log.Save([]storage.Record{table.Put("x", []byte("1"))}, left)
	_ = store.Flush()
	log.Save(nil, left)
	_ = store.Flush()
	if failed == 0 {
		t.Fatal("nobody was told that the save failed")
	}
}

func TestCompactionKeepsTheNewestRowsThroughAnyCrash(t *testing.T) {
	const cold, coldBytes, hotBytes = 12, 40 << 10, 20 << 10
	limits := Limits{Rows: 64, Bytes: 1 << 20}
	compacted := 0
	for stop := 55; stop < 155; stop++ { // the step before the power cut; the first compaction begins at about 75
		d := &disk{t: t, fs: storage.NewMemory(uint64(stop))}
		d.open(limits)
		acknowledged := 0 // the version of the hot row
		for i := range cold {
			d.log.Save([]storage.Record{d.table.Put(fmt.Sprint("cold ", i), bytes.Repeat([]byte{byte(i)}, coldBytes))}, func() {})
		}
		for version := 1; version <= stop; version++ {
			data := append([]byte{byte(version)}, make([]byte, hotBytes)...)
			d.log.Save([]storage.Record{d.table.Put("hot", data)}, func() { acknowledged = version })
			d.table.Compact()
			if version%3 == 0 || version < 55 {
				d.flush()
			}
		}
		if d.store.Released(1) > 0 {
			compacted++
		}
		want := acknowledged
		d.fs.Crash()
		d.open(limits)
		for i := range cold {
			if got, ok := d.table.Get(fmt.Sprint("cold ", i)); !ok || len(got) != coldBytes || got[0] != byte(i) {
				t.Fatalf("stop %d: cold row %d has %d bytes after the crash", stop, i, len(got))
			}
		}
		if got, _ := d.table.Get("hot"); len(got) == 0 || int(got[0]) < want {
			t.Fatalf("stop %d: the hot row is %.1v after the crash, version %d was acknowledged", stop, got, want)
		}
	}
	if compacted < 50 || compacted == 100 {
		t.Fatalf("%d of 100 crashes came after a compaction: the test is about the time around it", compacted)
	}
}

func TestATableIsBounded(t *testing.T) {
	d := &disk{t: t, fs: storage.NewMemory(1)}
	d.open(Limits{Rows: 2, Bytes: 1000})
	d.table.Put("a", make([]byte, 100))
	if !d.table.Room("b", 100) || d.table.Room("b", 900) {
		t.Fatal("the bytes are not bounded")
	}
	d.table.Put("b", make([]byte, 100))
	if d.table.Room("c", 1) {
		t.Fatal("the decrees are not bounded")
	}
	if !d.table.Room("a", 100) || !d.table.Room("a", 200) || d.table.Room("a", 900) {
		t.Fatal("a decree that is there does not get what is left")
	}
}
