package chaos

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/synod-go/synod/internal/stranger"
)

// Kinds of entries, parts of a ballot, and reasons of a Nack, as package multipaxos
// has them.
const (
	entryCommand, entryNoOp                  = 0, 1
	epochShift, roundShift                   = 40, 8
	nackLease, nackEpochToCome, nackEpochEnd = 2, 3, 4
)

// A proposer that lies has its lies refused in words or by silence, and whoever is
// left goes on: neither value is lost, and both nodes hold the same one.
func TestForgedPaxosFramesAreRefused(t *testing.T) {
	if *engineFlag != enginePaxos {
		t.Skip("runs with -engine=paxos")
	}
	c := smallCluster(t, 3, nil)
	for n := range 20 { // more than the node keeps behind a snapshot
		write(t, c, fmt.Sprint("large/", n%4), strings.Repeat("x", 1<<20), 10*time.Second)
	}
	trim(t, c)
	targets, err := c.HostileTargets(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	c.Kill(2)
	if _, err := c.WaitLeader(t.Context(), recoverLimit); err != nil {
		t.Fatal(err)
	}
	write(t, c, "during", "1", 10*time.Second)
	i, err := newImpostor(t.Context(), c, targets[2], targets[0])
	if err != nil {
		t.Fatal(err)
	}
	defer i.stop()
	f := forgery{t, i, groupNumber("coordination"), place(targets)}
	t.Run("another cluster", f.anotherCluster)
	t.Run("another group", f.anotherGroup)
	t.Run("another epoch", f.anotherEpoch)
	t.Run("a trimmed slot", f.trimmedSlot)
	t.Run("two values under one ballot", f.twoValues)
	i.stop()
	write(t, c, "after", "1", 10*time.Second)
	agree(t, c, 0, 1)
	if err := c.Unplanned(); err != nil {
		t.Error(err)
	}
}

// trim waits until node 0 has let go of slot 1: for who has asked for it lately, it
// keeps it for half a minute.
func trim(t *testing.T, c *Cluster) {
	t.Helper()
	err := poll(time.Minute, func() error {
		write(t, c, "marker", "2", 10*time.Second)
		status, err := c.Status(t.Context(), 0)
		if err := errors.Join(err, post(t.Context(), c, "/v1/snapshot")); err != nil {
			return err
		}
		if status.FirstIndex > 1 {
			return nil
		}
		return errors.Join(errors.New("slot 1 is still there"), hold(t.Context(), 500*time.Millisecond))
	})
	if err != nil {
		t.Fatal(err)
	}
}

// forgery is what an impostor forges.
type forgery struct {
	t        *testing.T
	impostor *impostor
	group    uint32
	place    uint64 // of whom it claims to be, in the configuration
}

// place is that of the last node in the configuration, which is sorted by id.
func place(targets []HostileTarget) uint64 {
	ids := []uint64{targets[0].ID, targets[1].ID, targets[2].ID}
	slices.Sort(ids)
	return uint64(slices.Index(ids, targets[2].ID))
}

// status is that of the node that is lied to.
func (f *forgery) status(t *testing.T) NodeStatus {
	t.Helper()
	status, err := f.impostor.cluster.Status(t.Context(), 0)
	if err != nil {
		t.Fatal(err)
	}
	return status
}

// ballot is one of the impostor's, far above what the node has promised.
func (f *forgery) ballot(t *testing.T, epochs int) uint64 {
	now := f.status(t).Term
	round := now>>roundShift&(1<<32-1) + 1000
	return (now>>epochShift+uint64(epochs))<<epochShift | round<<roundShift | f.place
}

func (f *forgery) send(t *testing.T, message []byte) {
	t.Helper()
	if err := f.impostor.send(message); err != nil {
		t.Fatal(err)
	}
}

// await returns the body of the first answer of a kind that speaks about ballot.
func (f *forgery) await(t *testing.T, ballot uint64, field stranger.Field) []byte {
	t.Helper()
	message, err := f.impostor.await(5*time.Second, func(message []byte) bool {
		return stranger.Number(message, 4) == ballot && stranger.Body(message, field) != nil
	})
	if err != nil {
		t.Fatalf("answer %d about ballot %x: %v", field, ballot, err)
	}
	return stranger.Body(message, field)
}

func (f *forgery) paxos(group uint32, ballot uint64, field stranger.Field, data []byte, numbers ...uint64) []byte {
	return stranger.Paxos(f.impostor.self.ID, f.impostor.to.ID, group, ballot, field, data, numbers...)
}

func (f *forgery) anotherCluster(t *testing.T) {
	hello := f.impostor.hello()
	hello.Cluster = "ffffffffffffffff"
	conn, err := f.impostor.dial(t.Context(), hello)
	if err == nil {
		conn.Close()
		t.Fatal("who belongs to another cluster is let in")
	}
	if !strings.Contains(err.Error(), "this node belongs to") {
		t.Errorf("the refusal does not say why: %v", err)
	}
}

// What is for another group is not answered, not even by a Nack: the next question is.
func (f *forgery) anotherGroup(t *testing.T) {
	foreign, known := f.ballot(t, 0), f.ballot(t, 0)+1<<roundShift
	f.send(t, f.paxos(f.group+1, foreign, stranger.PaxosPrepare, nil, 1))
	f.send(t, f.paxos(f.group, known, stranger.PaxosPrepare, nil, 1))
	message, err := f.impostor.await(5*time.Second, func(message []byte) bool {
		b := stranger.Number(message, 4)
		return b == foreign || b == known
	})
	if err != nil || stranger.Number(message, 4) != known {
		t.Errorf("another group's Prepare is answered: %x, %v", message, err)
	}
	// Its own is refused, since the node hears a leader (lease).
	if nack := stranger.Body(message, stranger.PaxosNack); err == nil && stranger.Number(nack, 2) != nackLease {
		t.Errorf("a Prepare beside a leader is answered by %x, want a Nack for the lease", message)
	}
}

func (f *forgery) anotherEpoch(t *testing.T) {
	for epochs, reason := range map[int]uint64{1: nackEpochToCome, -1: nackEpochEnd} {
		ballot := f.ballot(t, epochs)
		f.send(t, f.paxos(f.group, ballot, stranger.PaxosAccept, stranger.Vote(ballot, 1<<30, entryCommand, "forged"), 1, 0))
		if nack := f.await(t, ballot, stranger.PaxosNack); stranger.Number(nack, 2) != reason {
			t.Errorf("an Accept %+d epochs away is refused for %d, want %d", epochs, stranger.Number(nack, 2), reason)
		}
	}
}

// A trimmed slot asked for leads to a snapshot, not to silence.
func (f *forgery) trimmedSlot(t *testing.T) {
	f.send(t, f.paxos(f.group, 0, stranger.PaxosLearn, nil, 1))
	learned := f.await(t, 0, stranger.PaxosLearned)
	snapshot := stranger.Body(learned, 3)
	if at := stranger.Number(snapshot, 1); at == 0 || len(stranger.Body(learned, 1)) > 0 {
		t.Errorf("slot 1 is answered with %d bytes of entries and a snapshot at %d, want a snapshot", len(stranger.Body(learned, 1)), at)
	}
}

// Rules A3 and P3: the first value gets its vote; the second one under the same ballot
// gets none, and an operator is told.
func (f *forgery) twoValues(t *testing.T) {
	ballot, slot := f.ballot(t, 0), f.status(t).Commit+1
	accept := func(kind byte, data string) []byte {
		return f.paxos(f.group, ballot, stranger.PaxosAccept, stranger.Vote(ballot, slot, kind, data), slot, 0)
	}
	f.send(t, accept(entryNoOp, "")) // a command of no known kind would end whoever applies it
	if accepted := f.await(t, ballot, stranger.PaxosAccepted); stranger.Number(accepted, 1) != slot {
		t.Fatalf("the vote is for slot %d, want %d", stranger.Number(accepted, 1), slot)
	}
	f.send(t, accept(entryCommand, "another value"))
	err := poll(5*time.Second, func() error {
		log, err := os.ReadFile(f.impostor.cluster.Nodes[0].Log)
		if err == nil && !bytes.Contains(log, []byte("two values with one ballot")) {
			err = errors.New("no line about two values with one ballot")
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
	if answer, err := f.impostor.await(200*time.Millisecond, func(message []byte) bool {
		return stranger.Number(message, 4) == ballot && stranger.Body(message, stranger.PaxosAccepted) != nil
	}); err == nil {
		t.Errorf("the second value got a vote: %x", answer)
	}
}

// agree waits until some nodes have applied the same and hold the same state.
func agree(t *testing.T, c *Cluster, a, b int) {
	t.Helper()
	err := poll(20*time.Second, func() error {
		first, err := c.Status(t.Context(), a)
		second, other := c.Status(t.Context(), b)
		if err := errors.Join(err, other); err != nil {
			return err
		}
		if first.Applied != second.Applied || first.Digest.Index != second.Digest.Index {
			return fmt.Errorf("%s has applied %d, %s %d", first.Node, first.Applied, second.Node, second.Applied)
		}
		if first.Digest != second.Digest {
			return fatal{fmt.Errorf("digests differ: %+v, %+v", first, second)}
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}
