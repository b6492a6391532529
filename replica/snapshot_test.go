package replica

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/iotest"
)

// busyGroup has a bit of everything, including gaps among the replies.
func busyGroup(t testing.TB) *group {
	g := newGroup(t, Limits{DigestEvery: 8})
	for range 5 {
		s := g.register()
		for _, sequence := range []uint64{1, 2, 5, 9} {
			g.command(s, sequence, sequence/3, "big")
			g.request(requestAt(g.now+int64(sequence), s), "r")
		}
		g.now += 10
	}
	return g
}

func TestTheSameStateGivesTheSameSnapshot(t *testing.T) {
	g := busyGroup(t)
	other := mustNew(t, Config{Limits: Limits{DigestEvery: 8}}, newLedger())
	if err := other.Apply(g.log, nil); err != nil {
		t.Fatal(err)
	}
	want := g.snapshot()
	if snapshotOf(t, other) != want {
		t.Fatal("two replicas with one log wrote different snapshots")
	}
	g.restart()
	if g.snapshot() != want {
		t.Fatal("a restored replica writes another snapshot")
	}
}

func TestARestoredReplicaGoesOnAsIfItHadSeenAll(t *testing.T) {
	g := busyGroup(t)
	restored := mustNew(t, Config{}, newLedger())
	if err := restored.Restore(strings.NewReader(g.snapshot())); err != nil {
		t.Fatal(err)
	}
	from := len(g.log)
	g.now += 5
	for i := range uint64(20) {
		g.command(1, i+1, i/4, "x")
	}
	if err := restored.Apply(g.log[from:], nil); err != nil {
		t.Fatal(err)
	}
	if got, want := restored.Digest(), g.Digest(); got != want {
		t.Fatalf("digest %+v, want %+v", got, want)
	}
	if got, want := restored.Status(), g.Status(); got != want {
		t.Fatalf("status %+v, want %+v", got, want)
	}
}

func TestAPictureStaysWhileApplyGoesOn(t *testing.T) {
	g := busyGroup(t)
	want := g.snapshot()
	picture, err := g.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	written := make(chan string)
	go func() {
		var b strings.Builder
		if _, err := picture.WriteTo(&b); err != nil {
			t.Error(err)
		}
		written <- b.String()
	}()
	for i := range uint64(200) {
		g.command(1, 10+i, 10+i, "x")
		g.command(8, 10+i%3, 0, "y")
		g.request(requestAt(g.now, 1000+i), "z")
		g.append(Envelope{Kind: KindClose, Session: g.register()})
	}
	if got := <-written; got != want {
		t.Fatalf("the picture changed: %d bytes, want %d", len(got), len(want))
	}
}

func TestEveryTruncationOfASnapshotIsFound(t *testing.T) {
	whole := busyGroup(t).snapshot()
	for n := 0; n < len(whole); n += 1 + n/200 {
		machine := newLedger()
		r := mustNew(t, Config{}, machine)
		if err := r.Restore(strings.NewReader(whole[:n])); !errors.Is(err, ErrCorrupt) {
			t.Fatalf("%d of %d bytes: %v", n, len(whole), err)
		}
		if _, err := VerifySnapshot(strings.NewReader(whole[:n])); !errors.Is(err, ErrCorrupt) {
			t.Fatalf("verify %d of %d bytes: %v", n, len(whole), err)
		}
	}
	header, err := VerifySnapshot(strings.NewReader(whole))
	if err != nil || header.Index != 45 || header.Sessions != 5 || header.Requests != 20 {
		t.Fatalf("%+v, %v", header, err)
	}
	if again, err := ReadSnapshotHeader(iotest.OneByteReader(strings.NewReader(whole))); err != nil || again != header {
		t.Fatalf("%+v, %v; want %+v", again, err, header)
	}
}

// swapped chunks have good checksums each, but not in that order.
func TestChunksCannotBeSwappedOrLeftOut(t *testing.T) {
	var b bytes.Buffer
	w := newChunkWriter(&b)
	for i := range 3 {
		fmt.Fprint(w, strings.Repeat(string(rune('a'+i)), chunkBytes))
	}
	if err := w.finish(); err != nil {
		t.Fatal(err)
	}
	size := chunkHeader + chunkBytes
	chunk := func(i int) []byte { return b.Bytes()[i*size : min((i+1)*size, b.Len())] }
	for name, order := range map[string][]int{"whole": {0, 1, 2, 3}, "swapped": {0, 2, 1, 3}, "left out": {0, 2, 3},
		"repeated": {0, 0, 1, 2, 3}, "ended early": {0, 1, 3}} {
		var mixed bytes.Buffer
		for _, i := range order {
			mixed.Write(chunk(i))
		}
		_, err := io.Copy(io.Discard, newChunkReader(&mixed))
		if good := name == "whole"; good != (err == nil) || !good && !errors.Is(err, ErrCorrupt) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestABadSnapshotLeavesAWorkingReplicaAlone(t *testing.T) {
	g := busyGroup(t)
	whole := []byte(g.snapshot())
	before := g.snapshot()
	whole[30] ^= 1
	if err := g.Restore(bytes.NewReader(whole)); !errors.Is(err, ErrCorrupt) || errors.Is(err, ErrStopped) {
		t.Fatalf("got %v", err)
	}
	if g.snapshot() != before {
		t.Fatal("the replica changed")
	}
}

func TestAnOldSnapshotIsRefused(t *testing.T) {
	g := newGroup(t, Limits{})
	g.plain("a")
	old := g.snapshot()
	g.plain("b")
	if err := g.Restore(strings.NewReader(old)); !errors.Is(err, ErrOldSnapshot) || g.Applied() != 2 {
		t.Fatalf("got %v, applied %d", err, g.Applied())
	}
}

func TestAMachineThatCannotRestoreStopsTheReplica(t *testing.T) {
	g := newGroup(t, Limits{})
	g.plain("a")
	whole := g.snapshot()
	for name, m := range map[string]StateMachine{
		"error": &ledger{bad: true}, "panic": panickyMachine{newLedger()}, "digest": forgetfulMachine{newLedger()},
	} {
		t.Run(name, func(t *testing.T) {
			r := mustNew(t, Config{}, m)
			if err := r.Restore(strings.NewReader(whole)); !errors.Is(err, ErrFailed) {
				t.Fatalf("got %v", err)
			}
			wantStopped(t, r, ErrFailed)
		})
	}
}

type panickyMachine struct{ *ledger }

func (panickyMachine) Restore(io.Reader) error        { panic("restore") }
func (panickyMachine) Snapshot() (io.WriterTo, error) { panic("snapshot") }

type forgetfulMachine struct{ *ledger }

func (forgetfulMachine) Restore(io.Reader) error { return nil }

func TestAReplicaSurvivesAMachineThatCannotTakeAPicture(t *testing.T) {
	r := mustNew(t, Config{}, panickyMachine{newLedger()})
	if _, err := r.Snapshot(); err == nil || errors.Is(err, ErrStopped) {
		t.Fatalf("got %v", err)
	}
	if err := r.Apply([]Entry{{Index: 1}}, nil); err != nil {
		t.Fatal(err)
	}
}

func TestAFailedWriteIsReported(t *testing.T) {
	g := busyGroup(t)
	for i := range uint64(40) { // more than one chunk
		g.append(Envelope{Kind: KindRegister})
		g.command(1, 10+i, 3, strings.Repeat("x", 2000))
	}
	for n := range 2 {
		s, err := g.Snapshot()
		if err != nil {
			t.Fatal(err)
		}
		full := errors.New("disk full")
		if _, err := s.WriteTo(&failingWriter{after: n, err: full}); !errors.Is(err, full) {
			t.Fatalf("after %d writes: got %v", n, err)
		}
	}
}

type failingWriter struct {
	after int
	err   error
}

func (w *failingWriter) Write(p []byte) (int, error) {
	if w.after--; w.after < 0 {
		return 0, w.err
	}
	return len(p), nil
}

func TestLargeRepliesTravelInASnapshot(t *testing.T) {
	g := newGroup(t, Limits{})
	s := g.register()
	large := strings.Repeat("x", 3*chunkBytes)
	first := g.command(s, 1, 0, large)
	g.restart()
	again := g.command(s, 1, 0, large)
	if again.Code != CodeDuplicate || !bytes.Equal(again.Value, first.Value) {
		t.Fatalf("code %d and %d bytes, want %d bytes", again.Code, len(again.Value), len(first.Value))
	}
}

// What a checksum vouches for may still make no sense.
func TestASnapshotThatMakesNoSenseIsRefused(t *testing.T) {
	g := newGroup(t, Limits{SessionWindow: 8})
	g.request(requestAt(0, 1), "b")
	g.now += 600_001
	g.command(g.register(), 2, 0, "a")
	g.register()
	g.request(requestAt(g.now, 1), "b")
	g.request(requestAt(g.now, 2), "b")
	var plain bytes.Buffer
	if _, err := plain.ReadFrom(newChunkReader(strings.NewReader(g.snapshot()))); err != nil {
		t.Fatal(err)
	}
	const header, sessions = 8, 8 + 8*(7+limitCount)
	reply := sessions + 5*8
	second := reply + 3*8 + len("a@2#1")
	requests := second + 5*8
	spans := requests + 2*(16+3*8+len("b@5#2"))
	for name, damage := range map[string]struct {
		offset int
		value  byte
	}{
		"magic": {0, 'x'}, "version": {7, 9}, "log time": {header + 8, 1}, "sessions": {header + 4*8, 1},
		"requests": {header + 5*8, 1}, "forgotten spans": {header + 6*8, 1}, "limit": {header + 7*8, 0xff},
		"session beyond the index": {sessions + 7, 99}, "timeout": {sessions + 8, 1}, "floor": {sessions + 3*8 + 7, 0},
		"sequence below the floor": {reply + 7, 0}, "sequence beyond the window": {reply + 7, 9},
		"length of a reply": {reply + 2*8, 1}, "reply cut off": {reply + 2*8 + 5, 1}, "sessions out of order": {second + 7, 1},
		"requests out of order": {requests + 15 - 2, 0xff}, "kept until": {requests + 16 + 8, 0xff},
		"a span that ends before it begins": {spans, 1},
	} {
		data := bytes.Clone(plain.Bytes())
		data[damage.offset] = damage.value
		var b bytes.Buffer
		w := newChunkWriter(&b)
		if _, err := w.Write(data); err != nil {
			t.Fatal(err)
		}
		if err := w.finish(); err != nil {
			t.Fatal(err)
		}
		r := mustNew(t, Config{}, newLedger())
		if err := r.Restore(&b); !errors.Is(err, ErrCorrupt) || errors.Is(err, ErrStopped) {
			t.Errorf("%s: got %v", name, err)
		}
	}
}
