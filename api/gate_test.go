package api

import (
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/synod-go/synod/cluster"
	"github.com/synod-go/synod/coordination"
)

// everyMethod is what a route may be asked with; the last is none that there is.
var everyMethod = []string{"GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "NONSENSE"}

// secured is a server whose callers have to say who they are: by a certificate, which is the header Cert here, or by
// a token. Its routes are those of a node.
func secured(t *testing.T, tokens *Tokens) *Server {
	t.Helper()
	server, err := NewServer(Config{Backend: newFake(t, coordination.Config{}), TLS: &tls.Config{}, Tokens: tokens,
		Who: func(s tls.ConnectionState) (cluster.Identity, bool) {
			return cluster.Identity{Name: "x", Role: cluster.Role(s.ServerName)}, s.ServerName != ""
		}})
	if err != nil {
		t.Fatal(err)
	}
	return server
}

// ask sends a request whose certificate has a role, "" for none. Its caller has gone already, so that no stream lasts.
func ask(h http.Handler, role cluster.Role, method, path string, header http.Header) *httptest.ResponseRecorder {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	r := httptest.NewRequest(method, path, nil).WithContext(ctx)
	r.TLS = &tls.ConnectionState{ServerName: string(role)}
	if header != nil {
		r.Header = header
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

var patternPart = regexp.MustCompile(`\{[a-z]+(\.\.\.)?\}`)

// pathOf is an address that a pattern covers.
func pathOf(pattern string) string {
	return patternPart.ReplaceAllString(strings.ReplaceAll(pattern, "{$}", ""), "a")
}

func denied(w *httptest.ResponseRecorder) bool {
	return strings.Contains(w.Body.String(), string(CodeAccess)) || strings.Contains(w.Body.String(), string(CodeRole)) || w.Code == http.StatusUnauthorized
}

// needs is the role that a method of a route takes: the table's, and that of who looks for what is not there.
func needs(routes []route, pattern, method string) (need cluster.Role, there bool) {
	if method == "HEAD" {
		method = "GET"
	}
	for _, r := range routes {
		if r.pattern == pattern && r.methods[method] != nil {
			return r.need, true
		}
	}
	return cluster.RoleView, false
}

// All routes with all methods, asked by a stranger and with every role.
func TestEveryRouteIsForItsRolesOnly(t *testing.T) {
	server := secured(t, nil)
	roles := append(cluster.ClientRoles(), "", cluster.RoleNode, cluster.RoleAgent, "king")
	asked := 0
	for _, route := range server.routes() {
		for _, method := range everyMethod {
			need, _ := needs(server.routes(), route.pattern, method)
			for _, role := range roles {
				w := ask(server.handler, role, method, pathOf(route.pattern), nil)
				may := need == anyone || role.May(need)
				if asked++; denied(w) == may {
					t.Errorf("%s %s, which takes %s, asked by %q: %d %s", method, route.pattern, need, role, w.Code, w.Body)
				}
				if role == "" && need != anyone && w.Code != http.StatusUnauthorized {
					t.Errorf("%s %s asked by a stranger: %d", method, route.pattern, w.Code)
				}
			}
		}
	}
	if asked < 1000 {
		t.Errorf("only %d questions were asked", asked)
	}
}

// A stranger does not learn either what there is not, or why a node is not ready.
func TestAStrangerHearsWhetherANodeLivesAndNoMore(t *testing.T) {
	server := secured(t, nil)
	f := server.backend().(*fake)
	f.checks = []Check{{Name: "disk", Reason: "the disk of n7 is full"}}
	for _, path := range []string{"/", "/v1", "/v1/nosuch", "/index.html", "/v1/kv/a?watch", "/debug/pprof/", "/v1/kv/?list"} {
		if w := ask(server.handler, "", "GET", path, nil); w.Code != http.StatusUnauthorized || strings.Contains(w.Body.String(), "disk") {
			t.Errorf("%s: %d %s", path, w.Code, w.Body)
		}
	}
	for _, path := range []string{"/livez", "/readyz", "/readyz?verbose"} {
		for _, accept := range []string{"", "application/json"} {
			w := ask(server.handler, "", "GET", path, http.Header{"Accept": {accept}})
			if strings.Contains(w.Body.String(), "disk") || w.Code != 200 && w.Code != 503 {
				t.Errorf("%s as %q: %d %s", path, accept, w.Code, w.Body)
			}
		}
	}
	if w := ask(server.handler, cluster.RoleView, "GET", "/readyz?verbose", nil); !strings.Contains(w.Body.String(), "n7") {
		t.Errorf("who may look hears %s", w.Body)
	}
}

// Who says that it is a node, and has a client's certificate or token, is none.
func TestAClientIsNoNodeWhateverItsHeadersSay(t *testing.T) {
	tokens, shown := tokenFile(t, cluster.RoleAdmin)
	server := secured(t, tokens)
	plain, err := NewServer(Config{Backend: newFake(t, coordination.Config{}), Tokens: tokens})
	if err != nil {
		t.Fatal(err)
	}
	says := func(more string) http.Header {
		h := http.Header{headerForwarded: {"n2"}, headerPrincipal: {"super ", "x509 n2"}}
		if more != "" {
			h.Set("Authorization", "Bearer "+more)
		}
		return h
	}
	for _, c := range []struct {
		name   string
		server *Server
		role   cluster.Role
		header http.Header
		node   bool
	}{
		{"a node", server, cluster.RoleNode, says(""), true},
		{"an admin", server, cluster.RoleAdmin, says(""), false},
		{"an agent", server, cluster.RoleAgent, says(""), false},
		{"a stranger", server, "", says(""), false},
		{"an admin's token", server, "", says(shown), false},
		{"an admin's token in plain text", plain, "", says(shown), false},
	} {
		r := httptest.NewRequest("GET", "/v1/kv/a", nil)
		r.Header, r.TLS = c.header, &tls.ConnectionState{ServerName: string(c.role)}
		list, err := c.server.principals(r)
		super := slices.Contains(list, coordination.Principal{Scheme: "super"})
		if err != nil || c.server.fromNode(r) != c.node || super != c.node {
			t.Errorf("%s is believed as a node: %v, %v, %v", c.name, c.server.fromNode(r), list, err)
		}
	}
}

// What one operation of a batch takes is not had by putting it beside reads.
func TestABatchGivesNoMoreThanItsOperationsAlone(t *testing.T) {
	server := secured(t, nil)
	for role, want := range map[cluster.Role]string{cluster.RoleView: string(CodeRole), cluster.RoleUse: `"index":`} {
		for _, method := range []string{"POST", "PUT", "DELETE"} {
			body := fmt.Sprintf(`{"method":"GET","path":"b"}`+"\n"+`{"method":%q,"path":"a"}`, method)
			if method == "DELETE" {
				_ = ask(server.handler, cluster.RoleUse, "PUT", "/v1/kv/a", nil)
			}
			r := httptest.NewRequest("POST", batchPath, strings.NewReader(body))
			r.TLS = &tls.ConnectionState{ServerName: string(role)}
			w := httptest.NewRecorder()
			server.handler.ServeHTTP(w, r)
			_, second, _ := strings.Cut(w.Body.String(), "\n")
			if w.Code != 200 || !strings.Contains(second, want) && !(role == cluster.RoleUse && !strings.Contains(second, "E-ROLE")) {
				t.Errorf("%s, %s in a batch: %d %s, want %s", role, method, w.Code, w.Body, want)
			}
		}
	}
}

func TestARouteWithoutARoleIsNotServed(t *testing.T) {
	for _, role := range []cluster.Role{"", "king", cluster.RoleNode, cluster.RoleClient} {
		if _, err := secured(t, nil).newHandler([]route{{"/x", role, nil}}); err == nil {
			t.Errorf("a route for %q is taken", role)
		}
	}
}

// What is public is said here too, and an agent's server has no other rules.
func TestOnlyHealthIsForEverybody(t *testing.T) {
	agent, err := NewAgentServer(AgentServerConfig{Agent: &fakeAgent{}, TLS: &tls.Config{}, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range append(secured(t, nil).routes(), agent.routes()...) {
		changes := slices.ContainsFunc(everyMethod[2:], func(m string) bool { return r.methods[m] != nil })
		switch {
		case r.need == anyone && r.pattern != "/livez" && r.pattern != "/readyz":
			t.Errorf("%s is for everybody", r.pattern)
		case r.need == cluster.RoleAgent && r.pattern != agentConnectPath:
			t.Errorf("%s is for agents", r.pattern)
		case changes && r.need == cluster.RoleView && r.pattern != batchPath:
			t.Errorf("%s changes something, and takes view", r.pattern)
		}
	}
	for _, r := range agent.routes() {
		for _, method := range everyMethod {
			need, _ := needs(agent.routes(), r.pattern, method)
			if w := ask(agent.Handler(), "", method, pathOf(r.pattern), nil); denied(w) == (need == anyone) {
				t.Errorf("%s %s on an agent, asked by a stranger: %d", method, r.pattern, w.Code)
			}
		}
	}
}

// docs/api.md has the table of roles; it names each method of each route in the row of its role.
func TestTheDocumentedRolesAreThoseOfTheRoutes(t *testing.T) {
	text, err := os.ReadFile("../docs/api.md")
	if err != nil {
		t.Fatal(err)
	}
	rows := map[string]string{}
	for line := range strings.Lines(string(text)) {
		if cells := strings.Split(line, "|"); len(cells) == 5 {
			rows[strings.Trim(strings.TrimSpace(cells[1]), "`")] = cells[3]
		}
	}
	known := 0
	for _, r := range secured(t, nil).routes() {
		for method := range r.methods {
			known++
			if want := "`" + method + " " + r.pattern + "`"; !strings.Contains(rows[string(r.need)], want) {
				t.Errorf("docs/api.md does not name %s in the row of %s", want, r.need)
			}
		}
	}
	told := 0
	for _, role := range append(cluster.ClientRoles(), cluster.RoleAgent, anyone) {
		told += strings.Count(rows[string(role)], "` ") + strings.Count(rows[string(role)], "`,")
	}
	if told != known {
		t.Errorf("docs/api.md names %d requests, there are %d", told, known)
	}
}

// tokenFile is a file with one token for each role, and the token of the first.
func tokenFile(t *testing.T, roles ...cluster.Role) (*Tokens, string) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "tokens")
	first, text := "", "# who may come in\n\n"
	for _, role := range roles {
		token, line, err := NewToken("bob-"+string(role), role)
		if err != nil {
			t.Fatal(err)
		}
		text += line + "\n"
		if first == "" {
			first = token
		}
	}
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	tokens, err := OpenTokens(file, nil)
	if err != nil {
		t.Fatal(err)
	}
	return tokens, first
}

func TestATokenStandsForACertificate(t *testing.T) {
	tokens, shown := tokenFile(t, cluster.RoleUse, cluster.RoleAdmin)
	server := secured(t, tokens)
	put := func(header http.Header) *httptest.ResponseRecorder {
		r := httptest.NewRequest("PUT", "/v1/kv/a", strings.NewReader("1"))
		r.Header, r.TLS = header, &tls.ConnectionState{}
		w := httptest.NewRecorder()
		server.handler.ServeHTTP(w, r)
		return w
	}
	basic := func(user, password string) http.Header {
		r := http.Request{Header: http.Header{}}
		r.SetBasicAuth(user, password)
		return r.Header
	}
	for name, c := range map[string]struct {
		header http.Header
		in     bool
	}{
		"a bearer":                 {http.Header{"Authorization": {"Bearer " + shown}}, true},
		"a browser":                {basic("whoever", shown), true},
		"nothing":                  {http.Header{}, false},
		"half a token":             {http.Header{"Authorization": {"Bearer " + shown[:30]}}, false},
		"another token":            {http.Header{"Authorization": {"Bearer " + strings.ToUpper(shown)}}, false},
		"an empty one":             {http.Header{"Authorization": {"Bearer "}}, false},
		"a password":               {basic("bob-use", "secret"), false},
		"the digest for the token": {http.Header{"Authorization": {"Bearer " + fmt.Sprintf("%x", (*tokens.list)[0].sum)}}, false},
	} {
		if w := put(c.header); denied(w) == c.in {
			t.Errorf("%s: %d %s", name, w.Code, w.Body)
		} else if !c.in && len(w.Header().Values("WWW-Authenticate")) != 2 {
			t.Errorf("%s: a browser is not told to ask", name)
		}
	}
	if w := ask(server.handler, "", "DELETE", "/v1/sessions/1", http.Header{"Authorization": {"Bearer " + shown}}); !strings.Contains(w.Body.String(), string(CodeRole)) {
		t.Errorf("a token of role use ends others' sessions: %d %s", w.Code, w.Body)
	}
	r := httptest.NewRequest("GET", "/v1/kv/a", nil)
	r.Header.Set("Authorization", "Bearer "+shown)
	if list, err := server.principals(r); err != nil || !slices.Contains(list, coordination.Principal{Scheme: "sasl", ID: "bob-use"}) {
		t.Errorf("access lists know the token's holder as %v, %v", list, err)
	}
}

// In plain text nobody vouches for whom it sends on: the token itself goes along.
func TestATokenIsPassedOnInPlainTextOnly(t *testing.T) {
	tokens, shown := tokenFile(t, cluster.RoleUse)
	leader := newFake(t, coordination.Config{})
	_, leaderAddr := serve(t, Config{Backend: leader, Tokens: tokens})
	follower := newFake(t, coordination.Config{})
	follower.refuse = func() error {
		return &Error{Code: CodeNoLeader, Message: "not here", Leader: &Leader{Name: "n2", API: leaderAddr}}
	}
	_, addr := serve(t, Config{Backend: follower, Tokens: tokens})
	for token, want := range map[string]Code{shown: "", "": CodeAccess} {
		client := must(NewClient(ClientConfig{Addrs: []string{addr}, Token: token}))
		defer client.Close()
		if _, err := client.Put(t.Context(), "a", nil, WriteOptions{}); CodeOf(err) != want {
			t.Errorf("with token %q: %v, want %q", token, err, want)
		}
	}
	for _, c := range []struct {
		secure bool
		want   string
	}{{false, "Bearer " + shown}, {true, ""}} {
		r := httptest.NewRequest("GET", "/v1/kv/a", nil)
		r.Header.Set("Authorization", "Bearer "+shown)
		to := http.Header{"Authorization": {"Basic x"}}
		g := gate{tls: c.secure, tokens: tokens}
		g.passToken(to, r)
		if got := to.Get("Authorization"); got != c.want {
			t.Errorf("with TLS %v: %q goes along, want %q", c.secure, got, c.want)
		}
	}
}

func TestAFileOfTokensIsReadAgain(t *testing.T) {
	tokens, shown := tokenFile(t, cluster.RoleUse)
	tokens.age, tokens.wait = 0, time.Minute
	if _, ok := tokens.find(shown); !ok {
		t.Fatal("the token is not known")
	}
	other, line, err := NewToken("eve", cluster.RoleView)
	if err != nil {
		t.Fatal(err)
	}
	replace := func(text string, mode os.FileMode) { // as an editor does
		t.Helper()
		next := tokens.file + ".new"
		_ = os.Remove(next)
		if err := os.WriteFile(next, []byte(text), mode); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(next, tokens.file); err != nil {
			t.Fatal(err)
		}
	}
	replace(line, 0o600)
	if _, ok := tokens.find(shown); ok {
		t.Error("a token that was removed is still taken")
	}
	if id, ok := tokens.find(other); !ok || id.Name != "eve" || id.Role != cluster.RoleView {
		t.Errorf("the new token is %v, %v", id, ok)
	}
	for name, c := range map[string]struct {
		text string
		mode os.FileMode
	}{"nonsense": {"nonsense", 0o600}, "readable by others": {"", 0o644}} {
		replace(c.text, c.mode)
		if _, ok := tokens.find(other); !ok {
			t.Errorf("after a file that is %s the token from before is not known", name)
		}
	}
	replace("", 0o600)
	if _, ok := tokens.find(other); ok {
		t.Error("an empty file lets somebody in")
	}
	if time.Since(tokens.looked) > time.Minute {
		t.Error("the file was not looked at")
	}
}

func TestWrongFilesOfTokensAreRefusedInWords(t *testing.T) {
	sum := strings.Repeat("ab", 32)
	for name, c := range map[string]struct {
		text string
		mode os.FileMode
		want string
	}{
		"open":         {"a view " + sum, 0o640, "0600"},
		"few words":    {"a view", 0o600, "line 1: it has 2 words"},
		"no role":      {"# x\na king " + sum, 0o600, "line 2: the role"},
		"a node":       {"a node " + sum, 0o600, "line 1: the role"},
		"no digest":    {"a view synod_x", 0o600, "line 1: the third word"},
		"short digest": {"a view abab", 0o600, "line 1: the third word"},
		"twice":        {"a view " + sum + "\nb use " + sum, 0o600, "line 2: the same token"},
		"a long line":  {strings.Repeat("x", 1<<17), 0o600, "token too long"},
		"too long":     {strings.Repeat("#\n", maxTokensBytes), 0o600, "longer"},
		"no name":      {"a/b view " + sum, 0o600, "line 1: the name"},
	} {
		file := filepath.Join(t.TempDir(), "tokens")
		if err := os.WriteFile(file, []byte(c.text), c.mode); err != nil {
			t.Fatal(err)
		}
		_, err := OpenTokens(file, nil)
		if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "synod_x") {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
	if _, err := OpenTokens(t.TempDir(), nil); err == nil {
		t.Error("a directory is taken")
	}
}
