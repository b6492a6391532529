package coordination

import (
	"bytes"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
)

// fullOperations has an operation of each kind with all fields it may have.
func fullOperations() []Operation {
	caller := Caller{Session: 1 << 60, Key: SessionKey{1, 15: 9}, Principals: []Principal{ann, {"", ""}}}
	put := Operation{Kind: Put, Path: "/a", Data: []byte("x"), Version: Unwritten, CreateIndex: 1<<64 - 1}
	del := Operation{Kind: Delete, Path: "/a", Version: 1<<63 - 1, CreateIndex: 3, Recursive: true}
	create := Operation{Kind: Create, Path: "/a/", Data: []byte("x"), Mode: TTL, TTL: MaxTTL, Sequential: true, MakeParents: true,
		ACL: ACL{{MayAll, ann}, {0, Principal{"auth", ""}}}}
	check := Operation{Kind: Check, Path: "/a", Version: 7, CreateIndex: 3}
	set := Operation{Kind: SetACL, Path: "/a", Version: 7, CreateIndex: 3, ACL: ACL{}}
	all := []Operation{put, del, create, check, set, {Kind: SetQuota, Path: "/a", QuotaNodes: 1<<63 - 1, QuotaBytes: 1},
		{Kind: Multi, Operations: []Operation{put, del, create, check, set}}, {Kind: CloseSession}}
	for i := range all {
		all[i].Caller = caller
	}
	caller.Session = 0
	return append(all, Operation{Kind: OpenSession, Timeout: 5, Linger: 1<<63 - 1, Caller: caller}, Operation{Kind: ClaimSessions},
		Operation{Kind: ExpireSessions, Sessions: []uint64{1, 1<<64 - 1}, Epoch: 9}, Operation{Kind: Reap, Epoch: 9},
		Operation{Kind: AttachSessions, Sessions: []uint64{1, 7}, Connections: []uint64{0, 1<<64 - 1}, Epoch: 9})
}

func TestOperationsAreReadBackAsTheyWere(t *testing.T) {
	for _, o := range fullOperations() {
		encoded := o.Append([]byte("before"))[len("before"):]
		got, err := DecodeOperation(encoded)
		if len(got.Data) == 0 {
			got.Data = nil
		}
		for i := range got.Operations {
			if p := &got.Operations[i]; len(p.Data) == 0 {
				p.Data = nil
			}
		}
		if err != nil || !reflect.DeepEqual(got, o) {
			t.Errorf("kind %d: got %+v, %v, want %+v", o.Kind, got, err, o)
		}
		for n := range encoded {
			cut, err := DecodeOperation(encoded[:n])
			if err == nil && (cut.Kind != Put && cut.Kind != Create || bytes.Equal(cut.Append(nil), encoded)) {
				t.Errorf("kind %d: %d of %d bytes were read as %+v", o.Kind, n, len(encoded), cut)
			}
		}
	}
}

// A log of before there were extras is read as ever.
func TestAPlainOperationHasAPlainEncoding(t *testing.T) {
	put := Operation{Kind: Put, Path: "/a", Data: []byte("xy"), Version: 3}
	want(t, "put", string(put.Append(nil)), "\x01\x00\x06\x02/axy")
	want(t, "delete", string(Operation{Kind: Delete, Path: "/a", Recursive: true}.Append(nil)), "\x02\x01\x00\x02/a")
	stat := Stat{1, 2, 3, 4, 5, 6, 7, 8, 0, 9, 10}
	want(t, "result", string((&Result{Index: 1, Nodes: 2, Stat: stat}).appendTo(nil)), "\x00\x01\x02\x01\x02\x03\x04\x05\x06\x07\x08\x09\x0a")
}

func TestFieldsThatAKindDoesNotHaveAreRefused(t *testing.T) {
	caller := " Session Key Principals"
	has := map[OperationKind]string{
		Put: "Path Data Version Unwritten CreateIndex" + caller, Delete: "Path Version CreateIndex Recursive" + caller,
		Create: "Path Data Mode TTL Sequential MakeParents ACL" + caller, Check: "Path Version CreateIndex" + caller,
		SetACL: "Path Version CreateIndex ACL" + caller, SetQuota: "Path QuotaNodes QuotaBytes" + caller,
		Multi: "Operations" + caller, OpenSession: "Timeout Linger Key Principals", CloseSession: caller, ClaimSessions: "",
		ExpireSessions: "Sessions Epoch", Reap: "Epoch",
		AttachSessions: "Epoch", // and as many Sessions as Connections
	}
	fields := map[string]Operation{
		"Path": {Path: "/"}, "Data": {Data: []byte("x")}, "Version": {Version: 1}, "Unwritten": {Version: Unwritten},
		"CreateIndex": {CreateIndex: 1}, "Recursive": {Recursive: true}, "Mode": {Mode: Container}, "TTL": {TTL: 1},
		"Sequential": {Sequential: true}, "MakeParents": {MakeParents: true}, "ACL": {ACL: ACL{}}, "QuotaNodes": {QuotaNodes: 1},
		"QuotaBytes": {QuotaBytes: 1}, "Operations": {Operations: []Operation{{Kind: Put}}}, "Timeout": {Timeout: 1}, "Linger": {Linger: 1},
		"Sessions": {Sessions: []uint64{1}}, "Epoch": {Epoch: 1}, "Session": {Caller: Caller{Session: 1}},
		"Connections": {Connections: []uint64{1}},
		"Key":         {Caller: Caller{Key: testKey}}, "Principals": {Caller: Caller{Principals: []Principal{ann}}},
	}
	for kind, names := range has {
		for name, o := range fields {
			o.Kind = kind
			_, err := DecodeOperation(o.Append(nil))
			want(t, fmt.Sprintf("kind %d takes %s", kind, name), err == nil, slices.Contains(strings.Fields(names), name))
		}
	}
}

func TestOperationsBeyondTheBoundsAreRefused(t *testing.T) {
	nested := Operation{Kind: Multi, Operations: []Operation{{Kind: Put, Path: "/a"}}}
	for name, o := range map[string]Operation{
		"a Multi in a Multi":    {Kind: Multi, Operations: []Operation{nested}},
		"a session in a Multi":  {Kind: Multi, Operations: []Operation{{Kind: OpenSession}}},
		"a quota in a Multi":    {Kind: Multi, Operations: []Operation{{Kind: SetQuota, Path: "/"}}},
		"a caller in a Multi":   {Kind: Multi, Operations: []Operation{{Kind: Put, Path: "/a", Caller: Caller{Session: 1}}}},
		"operations":            {Kind: Multi, Operations: make([]Operation, MaxOperations+1)},
		"sessions":              {Kind: ExpireSessions, Sessions: make([]uint64, MaxExpired+1)},
		"connections":           {Kind: AttachSessions, Sessions: make([]uint64, MaxExpired+1), Connections: make([]uint64, MaxExpired+1)},
		"too few connections":   {Kind: AttachSessions, Sessions: []uint64{1, 2}, Connections: []uint64{1}},
		"principals":            {Kind: Put, Path: "/a", Caller: Caller{Principals: make([]Principal, MaxPrincipals+1)}},
		"a long principal":      {Kind: Put, Path: "/a", Caller: Caller{Principals: []Principal{{"sasl", strings.Repeat("x", MaxPrincipalBytes+1)}}}},
		"a TTL":                 {Kind: Create, Path: "/a", Mode: TTL, TTL: MaxTTL + 1},
		"a mode":                {Kind: Create, Path: "/a", Mode: TTL + 1},
		"a negative timeout":    {Kind: OpenSession, Timeout: -1},
		"a negative quota":      {Kind: SetQuota, Path: "/a", QuotaBytes: -1},
		"a session that opens":  {Kind: OpenSession, Caller: Caller{Session: 1}},
		"a kind":                {Kind: AttachSessions + 1},
		"a kind between others": {Kind: Multi + 1},
	} {
		if _, err := DecodeOperation(o.Append(nil)); !errors.Is(err, ErrMalformed) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, command := range map[string]string{
		"tags out of order": "\x01\x02\x00\x02/a\x0e\x01\x01\x01\x00", "a tag twice": "\x01\x02\x00\x02/a\x01\x01\x01\x01\x00",
		"an unknown tag": "\x01\x02\x00\x02/a\x11\x01\x00", "no end": "\x01\x02\x00\x02/a\x01\x01",
		"a short key": "\x01\x02\x00\x02/a\x0f\x01\x00",
	} {
		if _, err := DecodeOperation([]byte(command)); !errors.Is(err, ErrMalformed) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestResultsAreReadBackAsTheyWere(t *testing.T) {
	stat := Stat{1, 2, 3, 4, 5, 6, 7, ContainerOwner, 1<<63 - 1, 9, 10}
	part := Result{Code: CodeVersion, Index: 7, Stat: stat, Path: "/a"}
	for _, r := range []Result{{}, part, {Index: 3, Session: SessionInfo{1, 2, 3, 4, 5, 6, true}}, {Expired: MaxExpired, Nodes: 1<<64 - 1},
		{Code: CodeNotFound, Failed: 2, Results: []Result{{}, {Index: 7, Nodes: 2}, part, {Code: CodeMulti}}}} {
		encoded := r.appendTo(nil)
		got, err := DecodeResult(encoded)
		if err != nil || !reflect.DeepEqual(got, r) {
			t.Errorf("got %+v, %v, want %+v", got, err, r)
		}
		for n := range encoded {
			if cut, err := DecodeResult(encoded[:n]); err == nil && reflect.DeepEqual(cut, r) {
				t.Errorf("%d of %d bytes are enough for %+v", n, len(encoded), r)
			}
		}
	}
	inner := Result{Results: []Result{{Code: CodeMulti}}}
	if got, err := DecodeResult((&Result{Results: []Result{inner}}).appendTo(nil)); !errors.Is(err, ErrMalformed) {
		t.Errorf("a Multi's result in a Multi's result: %+v, %v", got, err)
	}
	if got, err := DecodeResult([]byte("\x80\x01\x00\x04\x00\x01\x01\x01\x01")); !errors.Is(err, ErrMalformed) {
		t.Errorf("session 0 was opened: %+v, %v", got, err)
	}
	if got := fmt.Sprint(CodeMultiTooLarge.Err(), Code(99).Err()); !strings.Contains(got, "too many operations") || !strings.Contains(got, "code 99") {
		t.Errorf("errors: %s", got)
	}
}
