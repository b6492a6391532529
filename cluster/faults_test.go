package cluster

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"testing"
	"time"
)

// faultyPair is a connection through f, and its other end.
func faultyPair(t *testing.T, f *Faults) (near net.Conn, far net.Conn, addr string) {
	t.Helper()
	l, err := TCP{}.Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	addr = l.Addr().String()
	if near, err = f.Over(TCP{}).Dial(t.Context(), addr); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { near.Close() })
	if far, err = l.Accept(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { far.Close() })
	return near, far, addr
}

// silent fails the test if anything comes in a while.
func silent(t *testing.T, what string, c net.Conn) {
	t.Helper()
	_ = c.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
	if n, err := c.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatalf("%s: %d bytes came, %v", what, n, err)
	}
	_ = c.SetReadDeadline(time.Time{})
}

func expect(t *testing.T, c net.Conn, want string) {
	t.Helper()
	_ = c.SetReadDeadline(time.Now().Add(10 * time.Second))
	got := make([]byte, len(want))
	if _, err := io.ReadFull(c, got); err != nil || string(got) != want {
		t.Fatalf("came %q, %v, want %q", got, err, want)
	}
}

func TestACutHoldsWhatIsSentAndLetsItPassWhenItIsHealed(t *testing.T) {
	f := &Faults{}
	near, far, addr := faultyPair(t, f)
	f.Set(map[string]Fault{addr: {Cut: true}})
	fmt.Fprint(near, "to far, ")
	fmt.Fprint(near, "in order")
	fmt.Fprint(far, "to near")
	silent(t, "out of a cut", far)
	silent(t, "into a cut", near)
	f.Set(nil)
	expect(t, far, "to far, in order")
	expect(t, near, "to near")
	fmt.Fprint(near, "after")
	expect(t, far, "after")
}

func TestNobodyConnectsThroughACut(t *testing.T) {
	f := &Faults{}
	_, _, addr := faultyPair(t, f)
	f.Set(map[string]Fault{addr: {Cut: true}})
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if conn, err := f.Over(TCP{}).Dial(ctx, addr); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("connected through a cut: %v, %v", conn, err)
	}
}

func TestASlowConnectionDeliversLaterAndInOrder(t *testing.T) {
	f := &Faults{}
	near, far, addr := faultyPair(t, f)
	const delay = 150 * time.Millisecond
	f.Set(map[string]Fault{addr: {Delay: delay}})
	for _, way := range []struct{ from, to net.Conn }{{near, far}, {far, near}} {
		began := time.Now()
		fmt.Fprint(way.from, "one ")
		fmt.Fprint(way.from, "two")
		expect(t, way.to, "one two")
		if took := time.Since(began); took < delay {
			t.Errorf("it took %v, want at least %v", took, delay)
		}
	}
	f.Set(nil)
	fmt.Fprint(near, "three")
	expect(t, far, "three")
}

func TestACutThatLastsBreaksConnections(t *testing.T) {
	f := &Faults{}
	near, far, addr := faultyPair(t, f)
	f.Set(map[string]Fault{addr: {Cut: true}})
	fmt.Fprint(near, "lost")
	f.breakAll(addr) // as the timer does after cutBreaks
	_ = far.SetReadDeadline(time.Now().Add(10 * time.Second))
	if got, err := io.ReadAll(far); err != nil || len(got) != 0 {
		t.Fatalf("came %q, %v, want the end", got, err)
	}
	if _, err := near.Read(make([]byte, 1)); err == nil {
		t.Fatal("the broken connection reads")
	}
	f.Set(nil)
}

func TestAWriterOfACutConnectionWaitsAtTheLimit(t *testing.T) {
	f := &Faults{}
	near, far, addr := faultyPair(t, f)
	f.Set(map[string]Fault{addr: {Cut: true}})
	written := make(chan int, 1)
	go func() {
		n := 0
		for range 3 {
			m, _ := near.Write(make([]byte, maxHeldBytes/2))
			n += m
		}
		written <- n
	}()
	select {
	case n := <-written:
		t.Fatalf("%d bytes were taken, want a writer that waits", n)
	case <-time.After(50 * time.Millisecond):
	}
	f.Set(nil)
	if n, err := io.CopyN(io.Discard, far, 3*maxHeldBytes/2); err != nil {
		t.Fatalf("%d bytes came: %v", n, err)
	}
	if n := <-written; n != 3*maxHeldBytes/2 {
		t.Fatalf("%d bytes were taken", n)
	}
}

func TestGossipIsCutToo(t *testing.T) {
	faults := &Faults{}
	a := startGossip(t, 1, nil)
	b := startGossip(t, 2, func(c *GossipConfig) { c.Seeds, c.Faults = []string{a.Addr()}, faults })
	a.await(t, "both", sees(1, 2))
	b.await(t, "both", sees(1, 2))
	// b sends nothing and hears no answer; what a sends arrives, since a is not told.
	faults.Set(map[string]Fault{a.Addr(): {Cut: true}})
	b.await(t, "itself alone", sees(2))
	faults.Set(nil)
	if _, err := b.Join(a.Addr()); err != nil {
		t.Fatal(err)
	}
	b.await(t, "both again", sees(1, 2))
	a.await(t, "both again", sees(1, 2))
}
