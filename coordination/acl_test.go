package coordination

import (
	"fmt"
	"strings"
	"testing"
)

func principal(scheme, id string) Principal { return Principal{Scheme: scheme, ID: id} }

func TestPrincipalsAreCoveredAsTheirSchemeSays(t *testing.T) {
	for _, c := range []struct {
		granted Principal
		caller  string // scheme and id
		covered bool
	}{
		{principal("world", "anyone"), "", true},
		{principal("digest", "ann:x"), "digest ann:x", true},
		{principal("digest", "ann:x"), "digest ann:y", false},
		{principal("digest", "ann:x"), "x509 ann:x", false},
		{principal("ip", "10.1.0.0/16"), "ip 10.1.2.3", true},
		{principal("ip", "10.1.0.0/16"), "ip 10.2.2.3", false},
		{principal("ip", "10.1.2.3"), "ip 10.1.2.3", true},
		{principal("ip", "10.1.2.3"), "ip ::ffff:10.1.2.3", true},
		{principal("ip", "10.1.2.3"), "ip nonsense", false},
		{principal("ip", "fd00::/8"), "ip fd12::1", true},
		{principal("ip", "10.1.2.3"), "sasl 10.1.2.3", false},
		{principal("x509", "db1"), "x509 db1", true},
		{principal("sasl", "ann"), "sasl ann", true},
		{principal("digest", "ann:x"), "super root", true},
		{principal("digest", "ann:x"), "", false},
	} {
		r := newReplica(t, Limits{})
		r.must(Operation{Kind: Create, Path: "/n", ACL: ACL{{MayRead, c.granted}}})
		var caller Caller
		if scheme, id, ok := strings.Cut(c.caller, " "); ok {
			caller.Principals = []Principal{principal("digest", "other:z"), principal(scheme, id)}
		}
		want(t, fmt.Sprintf("%v, %q", c.granted, c.caller), r.Permits("/n", MayRead, caller), c.covered)
		if c.caller != "super root" {
			want(t, fmt.Sprintf("%v, %q, ungranted", c.granted, c.caller), r.Permits("/n", MayWrite, caller), false)
		}
	}
}

func TestAccessListsThatMakeNoSenseAreRefused(t *testing.T) {
	long := make(ACL, MaxGrants+1)
	wide := make(ACL, MaxGrants)
	for i := range long {
		long[i] = Grant{MayRead, principal("sasl", fmt.Sprint(i))}
	}
	for i := range wide {
		wide[i] = Grant{MayRead, principal("sasl", fmt.Sprint(i, strings.Repeat("x", 200)))}
	}
	for name, acl := range map[string]ACL{
		"empty": {}, "scheme": {{MayAll, principal("magic", "x")}}, "world": {{MayAll, principal("world", "x")}},
		"digest": {{MayAll, principal("digest", "ann")}}, "digest of three": {{MayAll, principal("digest", "a:b:c")}},
		"ip": {{MayAll, principal("ip", "10.1")}}, "bits": {{MayAll, principal("ip", "10.1.1.1/33")}},
		"x509": {{MayAll, principal("x509", "")}}, "super": {{MayAll, principal("super", "x")}},
		"auth of nobody": {{MayAll, principal("auth", "")}}, "permission": {{MayAll + 1, principal("world", "anyone")}},
		"too long": long, "too wide": wide, "long id": {{MayAll, principal("sasl", strings.Repeat("x", MaxPrincipalBytes+1))}},
	} {
		r := newReplica(t, Limits{})
		code := CodeInvalidACL
		if name == "long id" {
			code = CodeMalformed
		}
		caller := Caller{Principals: []Principal{principal("ip", "10.1.1.1")}} // an address proves nothing
		want(t, name+", create", r.do(Operation{Kind: Create, Path: "/n", ACL: acl, Caller: caller}).Code, code)
		want(t, name+", set", r.do(Operation{Kind: SetACL, Path: "/", ACL: acl, Caller: caller}).Code, code)
		want(t, name+", nodes", r.Status().Nodes, 1)
	}
}

// "auth" is replaced by the principals of whoever sets the list (1.5, "Auth").
func TestAuthStandsForTheCallersPrincipals(t *testing.T) {
	r := newReplica(t, Limits{})
	me := Caller{Principals: []Principal{ann, principal("ip", "10.1.1.1"), principal("x509", "db1")}}
	r.must(Operation{Kind: Create, Path: "/n", Caller: me,
		ACL: ACL{{MayRead, anyone}, {MayAll, principal("auth", "")}, {MayRead, anyone}}})
	acl, version, err := r.Access("/n")
	want(t, "error", err, nil)
	want(t, "version", version, 0)
	same(t, "list", acl, ACL{{MayRead, anyone}, {MayAll, ann}, {MayAll, principal("x509", "db1")}})
	set := Operation{Kind: SetACL, Path: "/n", Version: 1, Caller: me}
	want(t, "set", r.must(set).Stat.ACLVersion, 1)
	want(t, "set again at the old version", r.do(set).Code, CodeVersion)
	want(t, "open", r.Permits("/n", MayAll, Caller{}), true)
	want(t, "events", r.LastIndex(), 1)
}

func TestEachOperationNeedsItsPermission(t *testing.T) {
	for _, c := range []struct {
		o      Operation
		path   string // whose list counts
		needed Permission
	}{
		{Operation{Kind: Create, Path: "/top/mid/new"}, "/top/mid", MayCreate},
		{Operation{Kind: Create, Path: "/top/mid/x/new", MakeParents: true}, "/top/mid", MayCreate},
		{Operation{Kind: Put, Path: "/top/mid/x/new"}, "/top/mid", MayCreate},
		{Operation{Kind: Put, Path: "/top/mid"}, "/top/mid", MayWrite},
		{Operation{Kind: Delete, Path: "/top/mid/leaf"}, "/top/mid", MayDelete},
		{Operation{Kind: Delete, Path: "/top/mid", Recursive: true}, "/top", MayDelete},
		{Operation{Kind: Delete, Path: "/top", Recursive: true}, "/top/mid", MayDelete},
		{Operation{Kind: Check, Path: "/top/mid"}, "/top/mid", MayRead},
		{Operation{Kind: SetACL, Path: "/top/mid"}, "/top/mid", MayAdmin},
		{Operation{Kind: SetQuota, Path: "/top/mid", QuotaNodes: 9}, "/top/mid", MayAdmin},
	} {
		try := func(granted Permission) Code {
			r := newReplica(t, Limits{})
			r.put("/top", "")
			r.put("/top/mid", "")
			r.put("/top/mid/leaf", "")
			r.must(Operation{Kind: SetACL, Path: c.path, ACL: ACL{{granted, anyone}}})
			return r.do(c.o).Code
		}
		want(t, fmt.Sprintf("%+v with all but it", c.o), try(MayAll&^c.needed), CodeAccess)
		want(t, fmt.Sprintf("%+v with it alone", c.o), try(c.needed), CodeOK)
	}
}

func TestTheTreeItselfDeletesWithoutPermission(t *testing.T) {
	r := newReplica(t, Limits{})
	me := r.open(Operation{})
	closed := ACL{{MayCreate | MayRead, anyone}}
	r.must(Operation{Kind: Create, Path: "/box", Mode: Container, ACL: closed})
	r.createOwned(me, "/box/mine")
	r.must(Operation{Kind: SetACL, Path: "/", ACL: closed})
	want(t, "by somebody", r.do(Operation{Kind: Delete, Path: "/box/mine"}).Code, CodeAccess)
	want(t, "by the session's end", r.must(Operation{Kind: CloseSession, Caller: me}).Nodes, 2)
}

func TestEqualAccessListsShareMemoryWithinABound(t *testing.T) {
	r := newReplica(t, Limits{})
	for i := range 5000 {
		r.must(Operation{Kind: Create, Path: "/n", Sequential: true, ACL: ACL{{MayRead, principal("sasl", fmt.Sprint(i/2))}}})
		r.must(Operation{Kind: Create, Path: "/m", Sequential: true, ACL: ACL{{MayRead, principal("sasl", fmt.Sprint("m", i))}}})
	}
	want(t, "shared", r.nodes["/n0000000000"].rules == r.nodes["/n0000000002"].rules, true)
	for i := range 1000 {
		wide := ACL{{MayRead, principal("sasl", fmt.Sprintf("%01000d", i))}, {MayRead, principal("x509", fmt.Sprintf("%01000d", i))}}
		want(t, "a list for nothing", r.do(Operation{Kind: Create, Path: "/", ACL: wide}).Code, CodeExists)
	}
	bytes := 0
	for encoded := range r.shared {
		bytes += len(encoded)
	}
	if bytes > maxShared {
		t.Fatalf("%d lists of %d bytes are kept to be shared", len(r.shared), bytes)
	}
	before := r.bytes
	root := Caller{Principals: []Principal{principal("super", "root")}}
	r.must(Operation{Kind: SetACL, Path: "/n0000000000", Caller: root, ACL: ACL{{MayRead, principal("sasl", strings.Repeat("x", 1000))}}})
	if r.bytes < before+900 {
		t.Fatalf("a list of 1000 bytes counts %d", r.bytes-before)
	}
	full := newReplica(t, Limits{TreeBytes: 3 * nodeOverhead})
	full.put("/a", "")
	wide := ACL{{MayRead, principal("sasl", strings.Repeat("x", 1000))}}
	want(t, "no room", full.do(Operation{Kind: SetACL, Path: "/a", ACL: wide}).Code, CodeTreeFull)
	want(t, "no room for a new one", full.do(Operation{Kind: Create, Path: "/b", ACL: wide}).Code, CodeTreeFull)
}
