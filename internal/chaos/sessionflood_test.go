package chaos

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"
)

const (
	// maxWatches is how many watches a connection of a session may have.
	maxWatches = 1024
	// floods is how many connections are filled with watches, and deaf how many clients
	// never read.
	floods = 60
	deaf   = 60
)

// floodOfWatches asks for as many watches as possible: on one connection there is an end,
// and of all others a change wakes only those whom it concerns.
func floodOfWatches(r *rawCluster) {
	s := r.open("1m", "1s")
	greedy := r.connect(0, s.Token, 1, "")
	for n := range maxWatches + 1 {
		if err := greedy.send(`{"watch":%d,"path":"flood/greedy/%d","scope":"tree"}`, n+1, n); err != nil {
			break // cut off
		}
	}
	if last, err := greedy.ended(20 * time.Second); err != nil || !strings.Contains(last, "E-OVERLOADED") {
		r.Errorf("more watches than a connection may have: %q %v", last, err)
	}
	before := r.c.memories()
	conns := make([]*rawConn, floods)
	var asked sync.WaitGroup
	for n := range conns {
		conns[n] = r.connect(n%3, r.open("1m", "1s").Token, 1, "")
		asked.Go(func() {
			for i := range maxWatches {
				if err := conns[n].send(`{"watch":%d,"path":"flood/%d/%d","scope":"children"}`, i+1, n, i); err != nil {
					r.Errorf("connection %d, watch %d: %v", n, i, err)
					return
				}
			}
			if err := conns[n].await(fmt.Sprintf(`"watching":%d,`, maxWatches), 60*time.Second); err != nil {
				r.Errorf("connection %d: %v", n, err)
			}
		})
	}
	asked.Wait()
	r.Logf("%d watches on %d connections: %s before, %s now", floods*maxWatches, floods, showMemory(before), showMemory(r.c.memories()))
	began := time.Now()
	r.done(http.MethodPost, fmt.Sprintf("/v1/kv/flood/%d/%d/child", 7, 500), "", []byte("here"))
	if err := conns[7].await(`flood/7/500/child`, 10*time.Second); err != nil {
		r.Errorf("who asked for it is not told: %v", err)
	}
	r.Logf("one of them was told after %v", time.Since(began).Round(time.Millisecond))
	for n, conn := range conns[:20] {
		if n == 7 {
			continue
		}
		if err := conn.send(`{"sync":1}`); err != nil {
			r.Fatal(err)
		}
		if err := conn.await(`"synced"`, 10*time.Second); err != nil {
			r.Errorf("connection %d: %v", n, err)
		}
	}
	for _, conn := range conns {
		conn.Close()
	}
}

// neverRead lets clients watch what is written and read nothing. They are cut off, and
// what is kept for them is the history that is kept for everybody.
func neverRead(r *rawCluster) {
	var conns []*rawConn
	for n := range deaf {
		s := r.open("1m", "1m")
		conn := r.connect(n%3, s.Token, 1, "")
		if tcp, is := conn.Conn.(*net.TCPConn); is {
			_ = tcp.SetReadBuffer(4 << 10)
		}
		if err := conn.send(`{"watch":1,"path":"deaf","scope":"tree"}`); err != nil {
			r.Fatal(err)
		}
		if err := conn.await(`"watching":1`, 10*time.Second); err != nil {
			r.Fatal(err)
		}
		conns = append(conns, conn)
	}
	value := bytes.Repeat([]byte("d"), 256<<10)
	most, began := int64(0), time.Now()
	// As long as a client may take to read, and a little more.
	for n := 0; time.Since(began) < 15*time.Second; n++ {
		r.done(http.MethodPut, fmt.Sprintf("/v1/kv/deaf/%d", n%100), "", value)
		_ = hold(r.Context(), 20*time.Millisecond)
		for _, m := range r.c.memories() {
			most = max(most, m.Now)
		}
	}
	r.Logf("at most %d MiB", most>>20)
	if most > sessionInputLimit {
		r.Errorf("a node took %d MiB for clients that do not read", most>>20)
	}
	for n, conn := range conns {
		// What it is sent is answered by RST, when there is nobody any more to read it.
		if err := poll(5*time.Second, func() error {
			if conn.send(`{"sync":1}`) == nil {
				return errors.New("it is still connected")
			}
			return nil
		}); err != nil {
			r.Errorf("client %d does not read and is kept: %v", n, err)
			break
		}
	}
}

// deathAmidChanges ends clients that are just being told changes: their nodes may find
// that out by writing, and must take it for the same as an end that they read.
func deathAmidChanges(r *rawCluster) {
	const dying = 60
	var conns []*rawConn
	for n := range dying {
		s := r.open("1m", "500ms")
		r.done(http.MethodPost, fmt.Sprintf("/v1/kv/dying/%d?mode=ephemeral", n), s.Token, nil)
		conn := r.connect(n%3, s.Token, 1, "{\"touch\":1}\n{\"watch\":1,\"path\":\"busy\",\"scope\":\"tree\"}\n")
		if err := conn.await(`"watching":1`, 10*time.Second); err != nil {
			r.Fatal(err)
		}
		conns = append(conns, conn)
		go io.Copy(io.Discard, conn.lines) // they read until they die
	}
	ctx, cancel := context.WithCancel(r.Context())
	var writing sync.WaitGroup
	change := `{"op":"put","path":"busy/%d","value":"` + strings.Repeat("b", 200) + `"},`
	for n := range 3 {
		body := []byte(`{"operations":[` + strings.TrimSuffix(strings.Repeat(fmt.Sprintf(change, n), 50), ",") + `]}`)
		writing.Go(func() {
			for ctx.Err() == nil {
				_, _, _ = r.askNode(n, http.MethodPost, "/v1/txn", "", body)
			}
		})
	}
	defer writing.Wait()
	defer cancel()
	_ = hold(r.Context(), 200*time.Millisecond)
	term, crowd := r.c.term(r.Context()), watchCrowd(r.Context(), r.TempDir())
	began := time.Now()
	for _, conn := range conns {
		// A socket that is closed with changes in its buffer says RST, as that of a process
		// does that is killed.
		conn.Close()
	}
	r.vanished("dying", 70*time.Second)
	took := time.Since(began)
	if now := r.c.term(r.Context()); now != term { // who came to lead gives each session its whole time
		r.Logf("the leader changed: the keys of %d clients that died are gone after %v", dying, took.Round(time.Millisecond))
		return
	}
	r.Logf("the keys of %d clients that died are gone after %v", dying, took.Round(time.Millisecond))
	if took > afterDeath+time.Second && !crowd.crowded(began, began.Add(took)) {
		r.Errorf("the keys of clients that died are gone after %v, want %v", took.Round(time.Millisecond), afterDeath)
	}
}
