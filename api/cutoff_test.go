package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/synod-go/synod"
	"github.com/synod-go/synod/coordination"
)

// localAPI is the HTTP interface of a cluster within this process. What its nodes
// send on goes over the same cuts as their other messages.
type localAPI struct {
	*synod.LocalCluster
	addrs []string

	mu  sync.Mutex
	cut int // the node that is cut off; -1: none
}

func serveLocal(t *testing.T, n int) *localAPI {
	t.Helper()
	tree, err := NewTree(coordination.Config{})
	if err != nil {
		t.Fatal(err)
	}
	c := &localAPI{cut: -1}
	c.LocalCluster = synod.Local(t, n, synod.GroupConfig{Name: "g", Sessions: true, New: func() synod.StateMachine { return tree.New() }})
	for i := range n {
		backend, err := NewBackend(c.Node(i), "g", tree)
		if err != nil {
			t.Fatal(err)
		}
		server, addr := serve(t, Config{Backend: backend, Name: c.Node(i).Name(), Hosts: []string{"n1", "n2", "n3"}})
		server.forwards.Transport.(*http.Transport).DialContext = func(ctx context.Context, network, to string) (net.Conn, error) {
			return c.dial(ctx, i, network, to)
		}
		c.addrs = append(c.addrs, addr)
	}
	return c
}

// dial connects node i with the API of another, which is called "n1:1".
func (c *localAPI) dial(ctx context.Context, i int, network, to string) (net.Conn, error) {
	for j, addr := range c.addrs {
		if to != fmt.Sprintf("n%d:1", j+1) {
			continue
		}
		c.mu.Lock()
		apart := i == c.cut || j == c.cut
		c.mu.Unlock()
		if apart {
			return nil, &net.OpError{Op: "dial", Net: network, Err: errors.New("no route to host")}
		}
		var d net.Dialer
		return d.DialContext(ctx, network, addr)
	}
	return nil, &net.OpError{Op: "dial", Net: network, Err: fmt.Errorf("there is no %s", to)}
}

// cutOff isolates node i; -1 heals.
func (c *localAPI) cutOff(i int) {
	c.mu.Lock()
	c.cut = i
	c.mu.Unlock()
	if c.Heal(); i >= 0 {
		c.Isolate(i)
	}
}

// localAnswer is what one read at one node gave.
type localAnswer struct {
	status int
	value  string
	index  uint64
	code   Code
	text   string // the error
	later  bool   // says when to try again
}

func (c *localAPI) read(t *testing.T, i int, query string) (a localAnswer) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), "GET", "http://"+c.addrs[i]+"/v1/kv/colour?"+query, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set(headerTimeout, "1s")
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	a.status, a.later = response.StatusCode, response.Header.Get("Retry-After") != ""
	a.index, _ = strconv.ParseUint(response.Header.Get(headerIndex), 10, 64)
	if a.status == http.StatusOK {
		a.value = string(body)
		return a
	}
	var e Error
	if err := json.Unmarshal(body, &e); err != nil {
		t.Fatalf("%d %s: %v", a.status, body, err)
	}
	a.code, a.text = e.Code, e.Error()
	return a
}

// untilRead reads until good, and fails the test on an answer that is not bearable.
func (c *localAPI) untilRead(t *testing.T, i int, query string, good, bearable func(localAnswer) bool) {
	t.Helper()
	for began := time.Now(); ; <-time.After(10 * time.Millisecond) {
		a := c.read(t, i, query)
		if good(a) {
			return
		}
		if !bearable(a) || time.Since(began) > 20*time.Second {
			t.Fatalf("n%d ?%s after %v: %+v", i+1, query, time.Since(began), a)
		}
	}
}

func (c *localAPI) put(t *testing.T, without int, value string) uint64 {
	t.Helper()
	var addrs []string
	for i, addr := range c.addrs {
		if i != without {
			addrs = append(addrs, addr)
		}
	}
	client, err := NewClient(ClientConfig{Addrs: addrs, Timeout: 20 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	done, err := client.Put(t.Context(), "colour", []byte(value), WriteOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return done.Index
}

func TestANodeThatIsCutOffAnswersOnlyStaleReads(t *testing.T) {
	c := serveLocal(t, 3)
	for round, role := range []string{"follower", "leader"} {
		old, next := fmt.Sprint("old", round), fmt.Sprint("next", round)
		before := c.put(t, -1, old)
		_, cut, err := c.Leader(t.Context(), "g")
		if err != nil {
			t.Fatal(err)
		}
		if role == "follower" {
			cut = (cut + 1) % 3
		}
		at := "level=sequential&index=" + fmt.Sprint(before)
		isOld := func(a localAnswer) bool { return a.status == 200 && a.value == old && a.index >= before }
		c.untilRead(t, cut, at, isOld, isOld)

		c.cutOff(cut)
		after := c.put(t, cut, next) // the others lead and write on
		for _, level := range []string{"stale", "sequential"} {
			if a := c.read(t, cut, "level="+level); !isOld(a) || a.index >= after {
				t.Errorf("%s, %s: %+v, want %s of before the cut", role, level, a, old)
			}
		}
		if a := c.read(t, cut, at); !isOld(a) {
			t.Errorf("%s, ?%s: %+v, want %s", role, at, a, old)
		}
		beyond := "level=sequential&index=" + fmt.Sprint(after)
		if a := c.read(t, cut, beyond); a.status != 504 || a.code != CodeTimeout {
			t.Errorf("%s, ?%s: %+v, want 504 %s: it has not applied so much", role, beyond, a, CodeTimeout)
		}
		// Until it has noticed, it may take all its time; it never answers.
		refused := func(a localAnswer) bool { return a.status == 503 && a.code == CodeNoLeader && a.later }
		waited := func(a localAnswer) bool { return a.status == 504 && a.code == CodeTimeout }
		for _, level := range []string{"lease", "linearizable"} {
			c.untilRead(t, cut, "level="+level, refused, waited)
		}

		c.cutOff(-1)
		isNext := func(a localAnswer) bool { return a.status == 200 && a.value == next && a.index >= after }
		for _, level := range []string{"linearizable", "lease"} {
			c.untilRead(t, cut, "level="+level, isNext, func(a localAnswer) bool { return refused(a) || waited(a) })
		}
		c.untilRead(t, cut, beyond, isNext, waited)
		for _, level := range []string{"sequential", "stale"} {
			if a := c.read(t, cut, "level="+level); !isNext(a) {
				t.Errorf("%s, %s after the cut: %+v, want %s", role, level, a, next)
			}
		}
	}
}
