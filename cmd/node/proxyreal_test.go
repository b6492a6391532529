package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/synod-go/synod"
	"github.com/synod-go/synod/api"
	"github.com/synod-go/synod/recipes"
)

// candidate campaigns in a session of its own, and says when it leads.
func candidate(t *testing.T, client *api.Client, addr string) (leads <-chan time.Time, resign func()) {
	t.Helper()
	s, err := client.OpenSession(t.Context(), api.SessionOptions{Timeout: 10 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	c := make(chan time.Time, 1)
	go func() {
		if _, err := recipes.Campaign(t.Context(), s, "web", []byte(addr)); err == nil {
			c <- time.Now()
		}
	}()
	return c, func() { _ = s.Close(context.Background()) } // it is gone then, or the cluster is
}

func TestTheProxyFollowsAnElectionAtOnceAndCutsNobodyOff(t *testing.T) {
	if testing.Short() {
		t.Skip("starts a process")
	}
	f, client := startFleet(t, 1, t.TempDir(), synod.Raft)
	defer f.end()
	defer client.Close()
	p := &proxy{app: &app{out: io.Discard, err: io.Discard}, follower: newFollower("web")}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- p.follower.watch(ctx, client, p.see, p.blind) }()
	defer func() { cancel(); <-ended }()
	addr := startProxy(t, p.follower, false, 10*time.Second, 100)

	var old []*caller
	leads, resign := candidate(t, client, greeter(t, "0"))
	<-leads
	for round := 1; round < 6; round++ {
		before := fmt.Sprint(round - 1)
		c := call(t, addr)
		c.ask("hello", before+" hello")
		old = append(old, c)
		next, resignNext := candidate(t, client, greeter(t, fmt.Sprint(round)))
		resign()
		led := mustLead(t, next)
		for { // until it is followed
			c := call(t, addr)
			fmt.Fprintln(c.conn, "x")
			answer, err := c.r.ReadString('\n')
			if err != nil {
				t.Fatal(err)
			}
			if answer != before+" x\n" {
				break
			}
			if time.Since(led) > 10*time.Second {
				t.Fatalf("ten seconds after %d leads the proxy leads to the one before", round)
			}
		}
		t.Logf("followed after %v", time.Since(led).Round(time.Millisecond))
		for i, c := range old {
			c.ask("still", fmt.Sprintf("%d still", i))
		}
		resign = resignNext
	}
	resign()
}

func mustLead(t *testing.T, c <-chan time.Time) time.Time {
	t.Helper()
	select {
	case at := <-c:
		return at
	case <-time.After(10 * time.Second):
		t.Fatal("nobody leads after 10 s")
		return time.Time{}
	}
}

// TestAConnectionToALeaderThatIsCutOffEnds takes the leader's address away, in a network of its own, so that nothing
// comes from there any more: no end and no refusal.
func TestAConnectionToALeaderThatIsCutOffEnds(t *testing.T) {
	if os.Getenv("PROXY_CUT_OFF") != "" {
		beCutOff(t)
		return
	}
	if testing.Short() {
		t.Skip("waits for 5 s")
	}
	const network = "ip link set lo up && ip address add 10.99.0.1/32 dev lo"
	if out, err := exec.Command("unshare", "--net", "sh", "-c", network).CombinedOutput(); err != nil {
		t.Skipf("no network of its own here: %v %s", err, bytes.TrimSpace(out))
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "unshare", "--net", "sh", "-c", network+` && exec "$0" -test.run '^TestAConnectionToALeaderThatIsCutOffEnds$' -test.v`, self)
	cmd.Env = append(os.Environ(), "PROXY_CUT_OFF=yes")
	out, err := cmd.CombinedOutput()
	t.Logf("%s", out)
	if err != nil {
		t.Fatal(err)
	}
}

func beCutOff(t *testing.T) {
	l, err := net.Listen("tcp", "10.99.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() { _, _ = io.Copy(conn, conn) }() // until the end of the test
		}
	}()
	f := newFollower("web")
	f.set(l.Addr().String())
	addr := startProxy(t, f, false, 5*time.Second, 10)
	silent, asking, talking := call(t, addr), call(t, addr), call(t, addr)
	silent.ask("1", "1")
	asking.ask("1", "1")
	talking.ask("2", "2")
	if out, err := exec.Command("ip", "address", "del", "10.99.0.1/32", "dev", "lo").CombinedOutput(); err != nil {
		t.Fatalf("%v %s", err, out)
	}
	start := time.Now()
	fmt.Fprintln(asking.conn, "who leads") // before anybody knows that it is another
	f.set(greeter(t, "b"))
	call(t, addr).ask("3", "b 3")
	fmt.Fprintln(talking.conn, "are you there")
	const bound = silenceTime * 4 / 5 // what takes longer has not been told of the other leader
	for name, c := range map[string]*caller{"silent": silent, "asking": asking, "talking": talking} {
		if err := c.conn.SetDeadline(start.Add(bound)); err != nil {
			t.Fatal(err)
		}
		_, err := c.r.ReadString('\n')
		if errors.Is(err, os.ErrDeadlineExceeded) || err == nil {
			t.Errorf("the %s connection has not ended after %v: %v", name, bound, err)
		}
		t.Logf("the %s one has ended after %v", name, time.Since(start).Round(time.Millisecond))
	}
}
