package chaos

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"
)

// sessionInputLimit is the most that a node may hold under all of this: the history of
// changes and what waits for clients that do not read are bounded.
const sessionInputLimit = 768 << 20

// lorises is how many clients never end their request for a connection.
const lorises = 300

// Sessions, watches and transactions of people who mean no good: everything is refused
// in words, nothing grows, and others are served meanwhile.
func TestSessionInput(t *testing.T) {
	c := smallCluster(t, 3, nil)
	all := newRawCluster(t, c)
	slow := all.startLorises()
	for _, part := range []struct {
		name string
		run  func(*rawCluster)
	}{
		{"malformed paths", malformedPaths},
		{"giant nodes", giantNodes},
		{"endless sequences", endlessSequences},
		{"more ephemeral keys than a session may have", endlessEphemerals},
		{"stolen and expired tokens", stolenTokens},
		{"an older connection", olderConnection},
		{"garbage after the upgrade", garbageAfterUpgrade},
		{"a flood of watches", floodOfWatches},
		{"clients that never read", neverRead},
		{"a death amid changes", deathAmidChanges},
	} {
		t.Run(strings.ReplaceAll(part.name, " ", "-"), func(t *testing.T) {
			others := all.with(t).startOthers()
			defer others.end(t)
			part.run(all.with(t))
		})
		if err := c.Unplanned(); err != nil {
			t.Fatal(err)
		}
		t.Logf("%s: %s", part.name, showMemory(c.memories()))
	}
	all.endLorises(slow)
	if err := c.WaitHealthy(t.Context(), 10*time.Second); err != nil {
		t.Error(err)
	}
	equal(t, c, 20*time.Second)
	if n := all.leaderless.Load(); n > 0 {
		t.Logf("%d times no node led", n)
	}
	if most := c.MaxRSS(); most > sessionInputLimit {
		t.Errorf("a node took %d MiB, at most %d are expected", most>>20, sessionInputLimit>>20)
	}
	for n := range c.Nodes {
		if err := c.Stop(n, 15*time.Second); err != nil {
			t.Error(err)
		}
	}
}

// startLorises begins requests for connections that never come to an end: half of them
// stop somewhere, the others send a byte now and then.
func (r *rawCluster) startLorises() (conns []net.Conn) {
	request := r.upgrade(0, r.open("1m", "1m").Token, 1)
	for n := range lorises {
		conn, begun := r.dial(n%len(r.c.Nodes)), request[:1+n*(len(request)-3)/lorises]
		if n%2 == 0 {
			begun = strings.TrimSuffix(request, "\r\n") + "X-Slow: "
		}
		if _, err := io.WriteString(conn, begun); err != nil {
			r.Fatal(err)
		}
		conns = append(conns, conn)
	}
	ctx := r.Context()
	go func() {
		for hold(ctx, time.Second) == nil {
			for n := 0; n < len(conns); n += 2 {
				_, _ = conns[n].Write([]byte("x")) // until it is cut off
			}
		}
	}()
	return conns
}

// endLorises fails the test unless they have been cut off: they have no longer than
// anybody to send headers, 20 s.
func (r *rawCluster) endLorises(conns []net.Conn) {
	for n, conn := range conns {
		_ = conn.SetReadDeadline(time.Now().Add(25 * time.Second))
		if _, err := io.Copy(io.Discard, conn); timedOut(err) {
			r.Errorf("request %d for a connection is never complete and is waited for", n)
			return
		}
	}
}

func malformedPaths(r *rawCluster) {
	for _, path := range []string{"a//b", "/a", "a/", "a/./b", "a/../b", "..", "a\x00b", "a\nb", "\xff\xfe", "a\u202eb\x7f", strings.Repeat("a/", 3000), strings.Repeat("x", 20_000)} {
		body, err := json.Marshal(path)
		if err != nil {
			r.Fatal(err)
		}
		if !strings.Contains(string(body), `\ufffd`) { // what is no text is no JSON either
			r.refused("E-REQUEST", http.MethodPost, "/v1/txn", "", fmt.Appendf(nil, `{"operations":[{"op":"create","path":%s}]}`, body))
		}
		if len(path) > 10_000 {
			continue // too long for a request line
		}
		for _, to := range []string{"POST /v1/kv/", "POST /v1/kv/?", "PUT /v1/acl/", "PUT /v1/quota/"} {
			method, prefix, _ := strings.Cut(to, " ")
			prefix, query, _ := strings.Cut(prefix, "?")
			r.malformed(method, prefix+escapeAll(path)+"?"+query)
		}
	}
	for _, query := range []string{"mode=eternal", "mode=ttl", "mode=ttl&ttl=-1s", "mode=ttl&ttl=9999999h", "ttl=1s", "sequential=maybe",
		"acl=x", "mode=container&mode=ttl", "version=1"} {
		r.malformed(http.MethodPost, "/v1/kv/fine?"+query)
	}
	r.refused("E-SESSION", http.MethodPost, "/v1/kv/fine?mode=ephemeral", "", nil) // it needs one
	for _, body := range []string{"", "{", "[]", `{"operations":[]}`, `{"operations":[{}]}`, `{"operations":[{"op":"steal","path":"a"}]}`,
		`{"operations":[{"op":"check","path":"a","value":"x"}]}`, `{"operations":[{"op":"put","path":"a","created":-1}]}`,
		`{"operations":[` + strings.Repeat(`{"op":"put","path":"a"},`, 5000) + `{"op":"put","path":"a"}]}`, strings.Repeat("[", 100_000)} {
		r.refused("E-REQUEST", http.MethodPost, "/v1/txn", "", []byte(body))
	}
	for _, body := range []string{"{", `{"timeout":"-1s"}`, `{"timeout":"x"}`, `{"key":"00"}`, `{"timeout":1}`, `{"unknown":1}`} {
		r.refused("E-REQUEST", http.MethodPost, pathSessions, "", []byte(body))
	}
}

// malformed asks for something that makes no sense: whether the path or the rest is
// looked at first is left open.
func (r *rawCluster) malformed(method, path string) {
	r.Helper()
	status, answer, err := r.ask(method, path, "", []byte("x"))
	if err != nil || status < 400 || status >= 500 || !bytes.Contains(answer, []byte(`"E-REQUEST"`)) && status != http.StatusMovedPermanently {
		r.Errorf("%s %.100q: %d %.300s %v", method, path, status, answer, err)
	}
}

// escapeAll escapes every byte.
func escapeAll(path string) string {
	var b strings.Builder
	for _, c := range []byte(path) {
		fmt.Fprintf(&b, "%%%02x", c)
	}
	return b.String()
}

func giantNodes(r *rawCluster) {
	giant := bytes.Repeat([]byte("g"), 8<<20)
	for _, request := range []string{"POST /v1/kv/giant", "POST /v1/kv/giant?mode=container", "POST /v1/txn", "POST " + pathSessions, "PUT /v1/acl/giant", "PUT /v1/quota/giant"} {
		method, path, _ := strings.Cut(request, " ")
		status, answer, err := r.ask(method, path, "", giant)
		// The server may close the connection before the client has sent all.
		if err == nil && (status != http.StatusRequestEntityTooLarge || !bytes.Contains(answer, []byte("E-TOOLARGE"))) {
			r.Errorf("%s: %d %.300s", request, status, answer)
		}
	}
	// Each is small enough, all together are not.
	one := fmt.Sprintf(`{"op":"put","path":"giant/%%d","value":%q}`, strings.Repeat("v", 64<<10))
	var list []string
	for n := range 100 {
		list = append(list, fmt.Sprintf(one, n))
	}
	r.refused("E-TOOLARGE", http.MethodPost, "/v1/txn", "", []byte(`{"operations":[`+strings.Join(list, ",")+`]}`))
	if status, answer, err := r.settled(http.MethodGet, "/v1/kv/giant", "", nil); status != http.StatusNotFound {
		r.Errorf("something of it is there: %d %.300s %v", status, answer, err)
	}
}

// endlessSequences creates numbered keys until there is no room, and finds that there
// is room again when some are deleted.
func endlessSequences(r *rawCluster) {
	r.done(http.MethodPost, "/v1/kv/endless", "", nil)
	r.done(http.MethodPut, "/v1/quota/endless", "", []byte(`{"nodes":500}`))
	created := 0
	for ; created < 1000; created++ {
		status, answer, err := r.settled(http.MethodPost, "/v1/kv/endless/n-?sequential", "", []byte("x"))
		if err != nil {
			r.Fatal(err)
		}
		if status == http.StatusOK {
			continue
		}
		if status != http.StatusInsufficientStorage || !bytes.Contains(answer, []byte("E-QUOTA")) {
			r.Fatalf("after %d: %d %s", created, status, answer)
		}
		break
	}
	if created != 499 { // the key itself counts too
		r.Errorf("%d keys were created under a quota of 500", created)
	}
	r.done(http.MethodDelete, "/v1/kv/endless/n-0000000000", "", nil)
	answer := r.done(http.MethodPost, "/v1/kv/endless/n-?sequential", "", nil)
	if !bytes.Contains(answer, []byte("endless/n-0000000499")) {
		r.Errorf("a number came twice, or was left out: %s", answer)
	}
	r.refused("E-QUOTA", http.MethodPost, "/v1/txn", "", []byte(`{"operations":[{"op":"create","path":"endless/x"},{"op":"create","path":"endless/y"}]}`))
}

// maxEphemerals is how many ephemeral keys a session may have.
const maxEphemerals = 10_000

func endlessEphemerals(r *rawCluster) {
	s := r.open("30s", "30s")
	defer r.gone(s, "crowd", 20*time.Second)
	const portion = 500
	one := strings.Repeat(`{"op":"create","path":"crowd/e-","mode":"ephemeral","sequential":true},`, portion)
	body := []byte(`{"operations":[` + strings.TrimSuffix(one, ",") + `]}`)
	for n := 0; n < maxEphemerals; n += portion {
		r.done(http.MethodPost, "/v1/txn", s.Token, body)
	}
	status, answer, err := r.settled(http.MethodPost, "/v1/txn", s.Token, body)
	if err != nil || status < 400 || status >= 500 && status != http.StatusInsufficientStorage || bytes.Contains(answer, []byte("E-INTERNAL")) {
		r.Errorf("beyond the limit: %d %.300s %v", status, answer, err)
	}
	r.Logf("beyond the limit: %d %.300s", status, answer)
}

// gone closes a session and fails the test unless its keys below path vanish.
func (r *rawCluster) gone(s wireSession, path string, limit time.Duration) {
	r.Helper()
	began := time.Now()
	r.done(http.MethodDelete, "/v1/session", s.Token, nil)
	r.vanished(path, limit)
	r.Logf("the keys of a session that was closed are gone after %v", time.Since(began).Round(time.Millisecond))
}

func (r *rawCluster) vanished(path string, limit time.Duration) {
	r.Helper()
	err := poll(limit, func() error {
		status, answer, err := r.ask(http.MethodGet, "/v1/kv/"+path+"?list&limit=1", "", nil)
		if err != nil || status != http.StatusNotFound && !bytes.Contains(answer, []byte(`"entries":[]`)) {
			return fmt.Errorf("%d %.300s %w", status, answer, err)
		}
		return nil
	})
	if err != nil {
		r.Errorf("keys below %s are left: %v", path, err)
	}
}

func stolenTokens(r *rawCluster) {
	s, other := r.open("30s", "30s"), r.open("30s", "30s")
	r.done(http.MethodPost, "/v1/kv/mine?mode=ephemeral", s.Token, []byte("x"))
	id, password, _ := strings.Cut(s.Token, "-")
	otherID, otherPassword, _ := strings.Cut(other.Token, "-")
	closed := r.open("30s", "30s")
	r.done(http.MethodDelete, "/v1/session", closed.Token, nil)
	for what, token := range map[string]string{
		"a guessed password":        id + "-" + strings.Repeat("0", len(password)),
		"the password of another":   id + "-" + otherPassword,
		"the id of another":         otherID + "-" + password,
		"a session that never was":  "7fffffffffffffff-" + password,
		"a session that was closed": closed.Token,
	} {
		for _, request := range []string{"DELETE /v1/session", "POST /v1/session/touch", "POST /v1/kv/theirs?mode=ephemeral", "PUT /v1/kv/mine"} {
			method, path, _ := strings.Cut(request, " ")
			r.refused("E-SESSION", method, path, token, nil)
		}
		r.refused("E-SESSION", http.MethodPost, "/v1/txn", token, []byte(`{"operations":[{"op":"put","path":"theirs"}]}`))
		if conn, response := r.tryConnect(1, token, 9, ""); response.StatusCode != http.StatusGone {
			r.Errorf("connect with %s: %s", what, response.Status)
			conn.Close()
		}
	}
	for _, token := range []string{"x", "-", "1-", "0-" + password, id, id + "-" + password + "00", id + "-" + strings.Repeat("z", len(password)), strings.Repeat("f", 10_000)} {
		r.refused("E-REQUEST", http.MethodPut, "/v1/kv/theirs", token, nil)
		r.refused("E-REQUEST", http.MethodDelete, "/v1/session", token, nil)
	}
	if answer := r.done(http.MethodGet, "/v1/kv/mine", "", nil); string(answer) != "x" {
		r.Errorf("the key of the session is %s", answer)
	}
	r.done(http.MethodPost, "/v1/session/touch", s.Token, nil)
	if status, answer, err := r.settled(http.MethodGet, "/v1/kv/theirs", "", nil); status != http.StatusNotFound {
		r.Errorf("a stolen token wrote: %d %s %v", status, answer, err)
	}
	if answer := r.done(http.MethodGet, pathSessions+"?limit=1000", "", nil); bytes.Contains(answer, []byte(password)) {
		r.Error("a list of sessions shows passwords")
	}
}

// olderConnection makes a second connection of a session: the first one must end, and
// must not come back with its number.
func olderConnection(r *rawCluster) {
	s := r.open("3s", "1s")
	first := r.connect(0, s.Token, 1, "{\"touch\":1}\n")
	if err := first.await(`"alive":1`, 10*time.Second); err != nil {
		r.Fatal(err)
	}
	second := r.connect(1, s.Token, 2, "{\"touch\":1}\n")
	if err := second.await(`"alive":1`, 10*time.Second); err != nil {
		r.Fatal(err)
	}
	again := r.connect(2, s.Token, 1, "{\"touch\":1}\n")
	for _, old := range []*rawConn{first, again} {
		_ = old.send(`{"touch":2}`)
		if last, err := old.ended(10 * time.Second); err != nil || !strings.Contains(last, `"bye"`) {
			r.Errorf("an older connection goes on: %q %v", last, err)
		}
	}
	if err := second.send(`{"touch":2}`); err != nil {
		r.Fatal(err)
	}
	if err := second.await(`"alive":2`, 10*time.Second); err != nil {
		r.Errorf("the newer one does not: %v", err)
	}
}

func garbageAfterUpgrade(r *rawCluster) {
	s := r.open("30s", "30s")
	r.done(http.MethodPost, "/v1/kv/garbage?mode=ephemeral", s.Token, []byte("x"))
	for n, garbage := range []string{
		"\n", "{}\n", "nonsense\n", "[1]\n", "{\"touch\":-1}\n", "{\"touch\":1,\"sync\":1}\n", "{\"touch\":1}{\"touch\":2}\n", "{\"watch\":1,\"path\":\"a//b\"}\n",
		"{\"watch\":1,\"path\":\"a\",\"scope\":\"all\"}\n", "{\"touch\":1e400}\n", "\x00\xff\xfe\n", "GET / HTTP/1.1\r\nHost: x\r\n\r\n",
		strings.Repeat("x", 1<<20), "{\"watch\":1,\"path\":\"" + strings.Repeat("x", 1<<20) + "\"}\n", strings.Repeat("[", 10_000) + "\n",
	} {
		early := garbage[:min(len(garbage), n%2*100)]
		conn := r.connect(n%3, s.Token, 1+n, early)
		_, _ = io.WriteString(conn, garbage[len(early):]) // it may be cut off before it has sent all
		if last, err := conn.ended(15 * time.Second); err != nil || last != "" && !strings.Contains(last, `"bye"`) {
			r.Errorf("%.40q: %q %v", garbage, last, err)
		}
	}
	// None of that was a sign of death.
	r.done(http.MethodPost, "/v1/session/touch", s.Token, nil)
	for _, upgrade := range []string{"", "websocket", "h2c", "synod-session/2"} {
		conn := r.dial(0)
		fmt.Fprintf(conn, "GET %s?number=99 HTTP/1.1\r\nHost: %s\r\nConnection: Upgrade\r\nUpgrade: %s\r\n%s: %s\r\n\r\n", pathConnect, r.c.Nodes[0].API, upgrade, headerSession, s.Token)
		_ = conn.SetReadDeadline(time.Now().Add(10 * time.Second))
		answer := make([]byte, 15)
		if _, err := io.ReadFull(conn, answer); err != nil || !slices.Contains([]string{"HTTP/1.1 400 Bad", "HTTP/1.1 426 Up"}, string(answer)) && !strings.HasPrefix(string(answer), "HTTP/1.1 4") {
			r.Errorf("upgrade to %q: %q %v", upgrade, answer, err)
		}
	}
	for _, number := range []string{"0", "-1", "x", "99999999999999999999", ""} {
		status, answer, err := r.ask(http.MethodGet, pathConnect+"?number="+number, s.Token, nil)
		if err != nil || status != http.StatusBadRequest {
			r.Errorf("connection number %q: %d %s %v", number, status, answer, err)
		}
	}
}
