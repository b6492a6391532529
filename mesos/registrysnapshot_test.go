package mesos

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"reflect"
	"strings"
	"testing"
	"time"
)

func snapshotOf(t testing.TB, r *Registry) []byte {
	t.Helper()
	w, err := r.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if n, err := w.WriteTo(&b); err != nil || n != int64(b.Len()) {
		t.Fatalf("wrote %d of %d bytes, %v", n, b.Len(), err)
	}
	return b.Bytes()
}

// furnished has something in every table.
func furnished(t testing.TB) *registered {
	b := elected(t, RegistryLimits{Agents: 10, Roles: 7})
	for _, id := range []AgentID{"a", "b", "c", "d", "e"} {
		b.ok(1, admit(id))
	}
	b.ok(1, DrainAgent{"a", 77}, DrainAgent{"c", 0}, MarkUnreachable{"c", 100}, MarkUnreachable{"d", 101}, MarkGone{"d", 102}, MarkUnreachable{"b", 7},
		PutFramework{Info: frameworkInfo("f"), Connected: true, Time: 5}, PutFramework{Info: FrameworkInfo{ID: "g"}, Time: 6},
		PutFramework{Info: frameworkInfo("h")}, RemoveFramework{"h", 8}, SetWeight{"web", 1500}, SetQuota{"web", true, parsed("cpus:2;mem:64")},
		SetQuota{"batch", true, Resources{}}, PutDocument{"j.web", []byte{1, 2}}, PutDocument{"j.x", nil})
	return b
}

func TestASnapshotBringsBackTheSameRegistry(t *testing.T) {
	b := furnished(t)
	data := snapshotOf(t, b.r)
	other := newRegistered(t, RegistryLimits{Agents: 3})
	other.ok(9, ElectMaster{Name: "x"}, admit("z"))
	if err := other.r.Restore(bytes.NewReader(data)); err != nil {
		t.Fatal(err)
	}
	if other.state() != b.state() || other.r.Digest() != b.r.Digest() || other.r.Status() != b.r.Status() || other.r.Applied() != b.r.Applied() {
		t.Fatalf("restored\n%s\nwant\n%s", other.state(), b.state())
	}
	if again := snapshotOf(t, other.r); !bytes.Equal(again, data) {
		t.Fatal("the snapshot of a restored registry has other bytes")
	}
	if b.r.Status().Bytes == 0 || b.r.Status().Unreachable != 2 || b.r.Status().Gone != 1 || b.r.Status().Removed != 1 {
		t.Fatalf("%+v", b.r.Status())
	}
}

// However it came about, the same state has the same bytes and the same digest.
func TestEqualStatesHaveEqualBytes(t *testing.T) {
	one, two := elected(t, RegistryLimits{}), elected(t, RegistryLimits{})
	one.ok(1, admit("a"))
	one.ok(1, admit("b"), admit("c"), RemoveAgent{"c"}, DrainAgent{"a", 5}, ReactivateAgent{"a"}, SetWeight{"x", 1}, SetWeight{"x", 0})
	two.ok(1, admit("b"))
	two.ok(1, admit("a"))
	if !bytes.Equal(snapshotOf(t, one.r), snapshotOf(t, two.r)) || one.r.Digest() != two.r.Digest() {
		t.Fatal("two histories of one state differ")
	}
	two.ok(1, DeactivateAgent{"a"})
	one.index++
	one.r.Apply(one.index, 0, nil)
	if one.r.Digest() == two.r.Digest() {
		t.Fatal("two states have one digest")
	}
}

// A picture and a clone stay as they are whatever is done to the registry, and the other
// way about.
func TestAPictureDoesNotChange(t *testing.T) {
	b := furnished(t)
	want := snapshotOf(t, b.r)
	state := b.state()
	picture, err := b.r.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	clone := &registered{t: t, r: b.r.Clone(), index: b.index}
	change := []RegistryOperation{RemoveAgent{"a"}, MarkReachable{agentInfo("b"), "boot-b"}, MarkGone{"c", 1}, MarkGone{"e", 2},
		RemoveFramework{"f", 3}, AllowFramework{"h"}, SetWeight{"web", 1}, SetQuota{"batch", false, Resources{}}, Prune{Before: 200},
		PutDocument{"j.web", []byte{3}}, RemoveDocument{"j.x"}, PutDocument{"j.y", []byte{4}}}
	b.ok(1, change...)
	if clone.state() != state {
		t.Fatalf("the clone is\n%s\nwant\n%s", clone.state(), state)
	}
	changed := b.state()
	clone.do(1, append(change[1:3:3], change...)...)
	if b.state() != changed {
		t.Fatal("a change to the clone changed the registry")
	}
	var got bytes.Buffer
	if _, err := picture.WriteTo(&got); err != nil || !bytes.Equal(got.Bytes(), want) {
		t.Fatalf("the picture has changed (%v)", err)
	}
}

func TestADamagedSnapshotIsRefusedAndChangesNothing(t *testing.T) {
	data := snapshotOf(t, furnished(t).r)
	b := furnished(t)
	b.ok(1, RemoveAgent{"a"})
	before, digest := b.state(), b.r.Digest()
	check := func(what string, damaged []byte) {
		t.Helper()
		if err := b.r.Restore(bytes.NewReader(damaged)); !errors.Is(err, ErrRegistryCorrupt) {
			t.Fatalf("%s: %v", what, err)
		}
	}
	for i := range data {
		check(fmt.Sprint("cut to ", i), data[:i])
		for bit := range 8 {
			damaged := bytes.Clone(data)
			damaged[i] ^= 1 << bit
			check(fmt.Sprint("bit ", bit, " of byte ", i), damaged)
		}
	}
	failure := errors.New("disk")
	if err := b.r.Restore(io.MultiReader(bytes.NewReader(data[:20]), errorReader{failure})); !errors.Is(err, failure) || errors.Is(err, ErrRegistryCorrupt) {
		t.Fatalf("the reader's error became %v", err)
	}
	if b.state() != before || b.r.Digest() != digest {
		t.Fatal("a refused snapshot changed the registry")
	}
}

type errorReader struct{ err error }

func (r errorReader) Read([]byte) (int, error) { return 0, r.err }

// What only a program could have written, with a right checksum and digest.
func TestASnapshotThatContradictsItselfIsRefused(t *testing.T) {
	for what, spoil := range map[string]func(r *Registry){
		"admitted and unreachable":  func(r *Registry) { r.unreachable.set("a", UnreachableAgent{ID: "a"}) },
		"admitted and gone":         func(r *Registry) { r.gone.set("a", GoneAgent{ID: "a"}) },
		"unreachable and gone":      func(r *Registry) { r.gone.set("b", GoneAgent{ID: "b"}) },
		"removed and not":           func(r *Registry) { r.removed.set("f", RemovedFrameworkRecord{ID: "f"}) },
		"a name with a slash":       func(r *Registry) { r.gone.set("x/y", GoneAgent{ID: "x/y"}) },
		"a weight of nothing":       func(r *Registry) { r.weights.set("x", RoleWeight{"x", 0}) },
		"a draining active agent":   func(r *Registry) { r.agents.set("x", AgentRecord{Info: agentInfo("x"), Drain: Drain{Draining: true}}) },
		"too many agents":           func(r *Registry) { r.limits.Agents = 1 },
		"no limit":                  func(r *Registry) { r.limits.Bytes = 0 },
		"a master without a name":   func(r *Registry) { r.master.Name = "" },
		"a master of no term":       func(r *Registry) { r.master.Term = 0 },
		"a document without a name": func(r *Registry) { r.documents.set("", Document{}) },
		"rows out of order":         func(r *Registry) { r.agents.rows[0], r.agents.rows[1] = r.agents.rows[1], r.agents.rows[0] },
		"a row under another name": func(r *Registry) {
			r.agents.rows[1] = &registryRow[AgentRecord]{key: "zz", value: r.agents.rows[0].value}
		},
	} {
		b := furnished(t)
		spoil(b.r)
		if err := newRegistered(t, RegistryLimits{}).r.Restore(bytes.NewReader(snapshotOf(t, b.r))); !errors.Is(err, ErrRegistryCorrupt) {
			t.Errorf("%s: %v", what, err)
		}
	}
}

// fill sets every field that v has, deeply, to something that is not zero.
func fill(v reflect.Value, n *int) {
	*n++
	switch v.Kind() {
	case reflect.String:
		v.SetString(fmt.Sprint("s", *n))
	case reflect.Int, reflect.Int64:
		v.SetInt(int64(*n))
	case reflect.Uint8:
		v.SetUint(uint64(*n) % 256)
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 2, 2))
		fill(v.Index(0), n)
		fill(v.Index(1), n)
	case reflect.Map:
		v.Set(reflect.ValueOf(map[string]string{fmt.Sprint("k", *n): "v", "k": fmt.Sprint(*n)}))
	case reflect.Struct:
		if v.Type() == reflect.TypeFor[Resources]() {
			v.Set(reflect.ValueOf(parsed(fmt.Sprintf("cpus:%d;ports:[1-%d]", *n, *n))))
			return
		}
		for i := range v.NumField() {
			fill(v.Field(i), n)
		}
	default:
		panic(v.Kind())
	}
}

// everyOperation has each kind once, with every field set.
func everyOperation() []RegistryOperation {
	n := 0
	var list []RegistryOperation
	for _, o := range []RegistryOperation{ElectMaster{}, AdmitAgent{}, UpdateAgent{}, MarkUnreachable{}, MarkReachable{}, MarkGone{},
		RemoveAgent{}, DrainAgent{}, DeactivateAgent{}, ReactivateAgent{}, PutFramework{}, DisconnectFramework{}, RemoveFramework{},
		AllowFramework{}, SetWeight{}, SetQuota{}, Prune{}, PutDocument{}, RemoveDocument{}} {
		v := reflect.New(reflect.TypeOf(o)).Elem()
		fill(v, &n)
		list = append(list, v.Interface().(RegistryOperation))
	}
	return list
}

// A field that somebody adds to an Info or an operation must go through the log, too.
func TestEveryFieldOfEveryOperationIsEncoded(t *testing.T) {
	operations := everyOperation()
	c := RegistryCommand{Term: 1 << 40, Operations: operations}
	if err := c.Check(); err != nil {
		t.Fatal(err)
	}
	got, err := DecodeRegistryCommand(c.Append([]byte("x"))[1:])
	if err != nil || !reflect.DeepEqual(got, c) {
		t.Fatalf("%+v was read back as %+v, %v", c, got, err)
	}
	for i, o := range operations {
		if o.kind() != registryKind(i+1) {
			t.Errorf("%T has kind %d, want %d: the numbers are in the log", o, o.kind(), i+1)
		}
		b := elected(t, RegistryLimits{})
		if r := b.r.Carry(2, RegistryCommand{Term: 1, Operations: []RegistryOperation{o}}).Results[0]; r.Code == CodeInvalid {
			t.Errorf("%+v is invalid", o)
		}
	}
}

// One value has one encoding, so that equal states, and retries of a command, have equal bytes.
func TestOtherEncodingsOfTheSameValueAreRefused(t *testing.T) {
	command := string(RegistryCommand{Term: 5, Operations: []RegistryOperation{admit("a")}}.Append(nil))
	if _, err := DecodeRegistryCommand([]byte(command)); err != nil {
		t.Fatal(err)
	}
	disk, rack := "\x04disk\x03ssd", "\x04rack\x02r1"
	for what, other := range map[string]string{
		"a longer number":     strings.Replace(command, "\x01\x05", "\x01\x85\x00", 1),
		"labels out of order": strings.Replace(command, disk+rack, rack+disk, 1),
		"a label twice":       strings.Replace(command, disk+rack, disk+disk, 1),
		"bytes behind":        command + "x",
		"another version":     "\x02" + command[1:],
		"no operation":        "\x01\x05\x00",
	} {
		if _, err := DecodeRegistryCommand([]byte(other)); !errors.Is(err, ErrRegistryMalformed) || other == command {
			t.Errorf("%s: %v", what, err)
		}
	}
}

// The bytes are in logs and snapshots of clusters that run: they do not change.
func TestTheFormatsStayAsTheyAre(t *testing.T) {
	command := RegistryCommand{Term: 300, Operations: []RegistryOperation{ElectMaster{"m", "n:1"}, MarkUnreachable{"a", time.Second},
		SetWeight{"web", 1500}, Prune{300, 5}, PutDocument{"d", []byte{7}}, RemoveDocument{"d"}}}
	wantHex(t, "command", command.Append(nil), "01ac0206"+"01016d036e3a31"+"04016180"+"94ebdc03"+"0f03776562dc0b"+"11ac0205"+"1201640107"+"130164")
	results := RegistryResults{Code: CodeOK, Term: 300, Results: []RegistryResult{{Code: CodeAgentGone, Was: StandingGone, Since: 300}, {Changed: true, Dropped: 2}}}
	wantHex(t, "results", results.Append(nil), "00ac0202"+"070003ac0200"+"0001000002")
	b := newRegistered(t, RegistryLimits{Agents: 1, Unreachable: 2, Gone: 3, Removed: 4, Frameworks: 5, Roles: 6, Documents: 7, DocumentBytes: 8, Bytes: 7000})
	b.ok(2, ElectMaster{"m", "n:1"}, AdmitAgent{AgentInfo{ID: "a"}, "b"}, MarkGone{"a", 300})
	wantHex(t, "snapshot", snapshotOf(t, b.r), strings.Join([]string{"73796e6f64520001", "0102030405060708d836", "0102", "016d036e3a31", "0000010000000000",
		"5ae2e5a341de02ef", "04", "0161ac02", "4f1ed195"}, ""))
}

func wantHex(t *testing.T, what string, got []byte, want string) {
	t.Helper()
	if hex.EncodeToString(got) != want {
		t.Errorf("%s: %x, want %s", what, got, want)
	}
}
