package api

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/synod-go/synod/cluster"
	"github.com/synod-go/synod/coordination"
)

// userClient is a client that shows a password.
func userClient(t *testing.T, addr, user string) *Client {
	t.Helper()
	c := must(NewClient(ClientConfig{Addrs: []string{addr}, User: user, Password: "secret of " + user}))
	t.Cleanup(c.Close)
	return c
}

func TestWhoMayNotReadAKeySeesNothingOfItsValue(t *testing.T) {
	f := newFake(t, coordination.Config{})
	_, addr := serve(t, Config{Backend: f})
	ann, bob := userClient(t, addr, "ann"), userClient(t, addr, "bob")
	ctx := t.Context()
	acl := ACL{{Scheme: "auth", Permissions: "cdrwa"}}
	made, err := ann.Create(ctx, "box/secret", []byte("gold"), CreateOptions{ACL: acl})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := ann.Put(ctx, "box/secret/inner", []byte("gold"), WriteOptions{}); err != nil {
		t.Fatal(err)
	}
	if entry, _, err := ann.Get(ctx, "box/secret", ReadOptions{}); err != nil || string(entry.Value) != "gold" {
		t.Fatalf("its owner reads %q, %v", entry.Value, err)
	}
	_, _, readErr := bob.Get(ctx, "box/secret", ReadOptions{})
	_, writeErr := bob.Put(ctx, "box/secret", nil, WriteOptions{})
	_, txnErr := bob.Commit(ctx, []TxnOperation{{Op: "put", Path: "box/secret"}}, RequestID{})
	_, listErr := bob.List(ctx, "box/secret", ListOptions{})
	_, aclErr := bob.Access(ctx, "box/secret")
	for name, err := range map[string]error{"read": readErr, "write": writeErr, "transaction": txnErr, "list": listErr, "access list": aclErr,
		"set access": bob.SetAccess(ctx, "box/secret", nil)} {
		if CodeOf(err) != CodeDenied {
			t.Errorf("%s by somebody else: %v, want %s", name, err, CodeDenied)
		}
	}
	page, err := bob.List(ctx, "box", ListOptions{Recursive: true})
	if err != nil || len(page.Entries) != 1 || page.Entries[0].Path != "box/secret" || len(page.Entries[0].Value) > 0 {
		t.Errorf("listed by somebody else: %+v, %v; want the key alone, without its value", page.Entries, err)
	}
	s := openSession(t, bob, SessionOptions{})
	for name, watch := range map[string]func(context.Context, string, WatchOptions, func(Change) error) error{"stream": bob.Watch, "session": s.Watch} {
		err := watch(ctx, "box/secret", WatchOptions{From: made.Index, Once: true}, func(c Change) error {
			if !c.Denied || len(c.Value) > 0 {
				t.Errorf("%s: told %+v", name, c)
			}
			return nil
		})
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestAPageThatBeginsWithinAHiddenKeyHidesItToo(t *testing.T) {
	f := newFake(t, coordination.Config{})
	_, addr := serve(t, Config{Backend: f})
	ann, bob := userClient(t, addr, "ann"), userClient(t, addr, "bob")
	for _, path := range []string{"a/1", "a/2", "b"} {
		if _, err := ann.Put(t.Context(), path, nil, WriteOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	if err := ann.SetAccess(t.Context(), "a", ACL{{Scheme: "auth", Permissions: "cdrwa"}}); err != nil {
		t.Fatal(err)
	}
	for _, after := range []string{"", "a", "a/1"} {
		page, err := bob.List(t.Context(), "", ListOptions{Recursive: true, After: after})
		if err != nil || slices.ContainsFunc(page.Entries, func(e Entry) bool { return strings.HasPrefix(e.Path, "a/") }) ||
			!slices.ContainsFunc(page.Entries, func(e Entry) bool { return e.Path == "b" }) {
			t.Errorf("after %q: %+v, %v; want b and nothing below a", after, page.Entries, err)
		}
	}
}

func TestAnAccessListIsReadBackAsItWasSet(t *testing.T) {
	f := newFake(t, coordination.Config{})
	_, addr := serve(t, Config{Backend: f})
	ann := userClient(t, addr, "ann")
	f.put(t, "a", nil)
	set := ACL{{Scheme: "world", ID: "anyone", Permissions: "r"}, {Scheme: "digest", ID: DigestID("ann", "secret of ann"), Permissions: "cdrwa"}}
	if err := ann.SetAccess(t.Context(), "a", set); err != nil {
		t.Fatal(err)
	}
	got, err := ann.Access(t.Context(), "a")
	if err != nil || !slices.Equal(got, set) {
		t.Errorf("got %+v, %v; want %+v", got, err, set)
	}
}

func TestASuperUserMayDoEverything(t *testing.T) {
	f := newFake(t, coordination.Config{})
	_, addr := serve(t, Config{Backend: f, Super: DigestID("root", "secret of root")})
	ann, root := userClient(t, addr, "ann"), userClient(t, addr, "root")
	if _, err := ann.Create(t.Context(), "a", nil, CreateOptions{ACL: ACL{{Scheme: "auth", Permissions: "cdrwa"}}}); err != nil {
		t.Fatal(err)
	}
	if _, err := root.Put(t.Context(), "a", nil, WriteOptions{}); err != nil {
		t.Error(err)
	}
}

// The leader must see who has sent a request to another node, and believe only nodes.
func TestPrincipalsGoAlongWithAForwardedRequest(t *testing.T) {
	leader := newFake(t, coordination.Config{})
	_, leaderAddr := serve(t, Config{Backend: leader})
	follower := newFake(t, coordination.Config{})
	follower.refuse = func() error {
		return &Error{Code: CodeNoLeader, Message: "not here", Leader: &Leader{Name: "n2", API: leaderAddr}}
	}
	_, addr := serve(t, Config{Backend: follower, Name: "n1"})
	ann, bob := userClient(t, addr, "ann"), userClient(t, addr, "bob")
	if _, err := ann.Create(t.Context(), "a", nil, CreateOptions{ACL: ACL{{Scheme: "auth", Permissions: "cdrwa"}}}); err != nil {
		t.Fatal(err)
	}
	if _, err := bob.Put(t.Context(), "a", nil, WriteOptions{}); CodeOf(err) != CodeDenied {
		t.Errorf("somebody else: %v, want %s", err, CodeDenied)
	}
	if _, err := ann.Put(t.Context(), "a", nil, WriteOptions{}); err != nil {
		t.Errorf("the owner: %v", err)
	}
}

func TestOnlyANodeIsBelievedForWhomItSpeaks(t *testing.T) {
	f := newFake(t, coordination.Config{})
	who := func(s tls.ConnectionState) (cluster.Identity, bool) {
		name := s.PeerCertificates[0].Subject.CommonName
		return cluster.Identity{Name: name, Role: map[bool]cluster.Role{true: cluster.RoleNode, false: cluster.RoleAdmin}[name == "n2"]}, true
	}
	server := must(NewServer(Config{Backend: f, TLS: &tls.Config{}, Who: who}))
	for name, test := range map[string]struct {
		certificate, forwarded string
		want                   string
	}{
		"a node":                   {"n2", "n2", "ann"},
		"a node of its own":        {"n2", "", "n2"},
		"a client":                 {"eve", "", "eve"},
		"a client that says it is": {"eve", "n2", "eve"},
	} {
		r := httptest.NewRequest("GET", "/v1/kv/a", nil)
		r.TLS = &tls.ConnectionState{PeerCertificates: []*x509.Certificate{{Subject: pkix.Name{CommonName: test.certificate}}}}
		r.Header = http.Header{headerPrincipal: {"x509 ann"}}
		if test.forwarded != "" {
			r.Header.Set(headerForwarded, test.forwarded)
		}
		got, err := server.principals(r)
		if err != nil || !slices.Contains(got, coordination.Principal{Scheme: "x509", ID: test.want}) {
			t.Errorf("%s: %v, %v; want x509 %s", name, got, err, test.want)
		}
	}
}

// With tokens and no TLS the leader cannot tell where the sender of a request is that a follower sends on: it is not there
// where the follower is.
func TestAnAddressIsNotThatOfTheNodeWhichSendsOn(t *testing.T) {
	tokens, shown := tokensOf(t, "ann/use")
	leader, follower := newFake(t, coordination.Config{}), newFake(t, coordination.Config{})
	leader.put(t, "a", nil)
	_, leaderAddr := serve(t, Config{Backend: leader, Tokens: tokens})
	follower.refuse = func() error {
		return &Error{Code: CodeNoLeader, Message: "not here", Leader: &Leader{Name: "n2", API: leaderAddr}}
	}
	_, addr := serve(t, Config{Backend: follower, Name: "n1", Tokens: tokens})
	clients := map[string]*Client{}
	for _, at := range []string{addr, leaderAddr} {
		c, err := NewClient(ClientConfig{Addrs: []string{at}, Token: shown[0]})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		clients[at] = c
	}
	if err := clients[leaderAddr].SetAccess(t.Context(), "a", ACL{{Scheme: "ip", ID: "127.0.0.1", Permissions: "w"}}); err != nil {
		t.Fatal(err)
	}
	if _, err := clients[addr].Put(t.Context(), "a", nil, WriteOptions{}); CodeOf(err) != CodeDenied {
		t.Errorf("by way of a follower: %v, want %s", err, CodeDenied)
	}
	if _, err := clients[leaderAddr].Put(t.Context(), "a", nil, WriteOptions{}); err != nil {
		t.Errorf("from the address of the list: %v", err)
	}
	for secure, want := range map[bool]bool{false: false, true: true} { // a client with TLS cannot take its own address away
		server := must(NewServer(Config{Backend: leader, Tokens: tokens, TLS: map[bool]*tls.Config{true: {}}[secure]}))
		r := httptest.NewRequest("GET", "/v1/kv/a", nil)
		r.Header.Set(headerForwarded, "n1")
		got, err := server.principals(r)
		if has := slices.ContainsFunc(got, func(p coordination.Principal) bool { return p.Scheme == "ip" }); err != nil || has != want {
			t.Errorf("with TLS %v: %v, %v", secure, got, err)
		}
	}
}

func TestPrincipalsSurviveTheirHeader(t *testing.T) {
	want := []coordination.Principal{{Scheme: "digest", ID: "a b:+/=\n"}, {Scheme: "ip", ID: "::1"}, {Scheme: "super"}}
	got, err := decodePrincipals(encodePrincipals(want))
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("got %v, %v; want %v", got, err, want)
	}
	for _, lines := range [][]string{{"x509 %zz"}, {""}, slices.Repeat([]string{"ip ::1"}, maxPrincipals+1)} {
		if _, err := decodePrincipals(lines); CodeOf(err) != CodeRequest {
			t.Errorf("%q: %v, want %s", lines, err, CodeRequest)
		}
	}
}

func TestAQuotaBoundsASubtreeAndTellsWhatIsUsed(t *testing.T) {
	f := newFake(t, coordination.Config{})
	_, addr := serve(t, Config{Backend: f})
	c := newTestClient(t, addr)
	f.put(t, "q", nil)
	if err := c.SetQuota(t.Context(), Quota{Path: "q", Nodes: 2}); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Put(t.Context(), "q/1", []byte("12345"), WriteOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Put(t.Context(), "q/2", nil, WriteOptions{}); CodeOf(err) != CodeQuota {
		t.Errorf("one too many: %v, want %s", err, CodeQuota)
	}
	quotas, err := c.Quotas(t.Context())
	if want := (Quota{Path: "q", Nodes: 2, UsedNodes: 2, UsedBytes: 5}); err != nil || !slices.Equal(quotas, []Quota{want}) {
		t.Errorf("got %+v, %v; want %+v", quotas, err, want)
	}
	if err := c.SetQuota(t.Context(), Quota{Path: "q"}); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Put(t.Context(), "q/2", nil, WriteOptions{}); err != nil {
		t.Errorf("without a quota: %v", err)
	}
}

func TestAnOperatorSeesAndEndsSessions(t *testing.T) {
	f := newFake(t, coordination.Config{})
	_, addr := serve(t, Config{Backend: f})
	c := newTestClient(t, addr)
	f.claim(t)
	var ids []uint64
	for range 3 {
		_, id := rawSession(t, c, "10s")
		ids = append(ids, id)
	}
	list, err := c.Sessions(t.Context(), ids[0], 10)
	if err != nil || len(list) != 2 || list[0].ID != ids[1] || list[0].Timeout.Seconds() != 10 {
		t.Fatalf("after %d: %+v, %v", ids[0], list, err)
	}
	if err := c.EndSession(t.Context(), ids[1]); err != nil {
		t.Fatal(err)
	}
	if err := c.EndSession(t.Context(), ids[1]); CodeOf(err) != CodeNotFound {
		t.Errorf("ended twice: %v, want %s", err, CodeNotFound)
	}
}

func TestAQuotaForWhichTooMuchWouldBeCountedIsRefusedWithAnAdvice(t *testing.T) {
	f := newFake(t, coordination.Config{Limits: coordination.Limits{DeleteNodes: 2}})
	_, addr := serve(t, Config{Backend: f})
	for _, path := range []string{"a/x/1", "b/x/1"} {
		f.put(t, path, nil)
	}
	c := newTestClient(t, addr)
	err := c.SetQuota(t.Context(), Quota{Path: "a", Nodes: 9})
	if CodeOf(err) != CodeTooLarge || !strings.Contains(err.Error(), "quota") {
		t.Errorf("got %v, want %s", err, CodeTooLarge)
	}
	for _, path := range []string{"a/x", "a"} {
		if err := c.SetQuota(t.Context(), Quota{Path: path, Nodes: 9}); err != nil {
			t.Errorf("from below, %s: %v", path, err)
		}
	}
}
