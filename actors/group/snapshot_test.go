package group

import (
	"bytes"
	"strings"
	"testing"

	"github.com/synod-go/synod/consensus"
	"github.com/synod-go/synod/storage"
)

// A snapshot that is on its way to a follower stays readable when newer ones have
// taken its place on the disk, for each follower its own, until it is no longer
// sent: the core goes on with the one that it has begun to send.
func TestASnapshotStaysReadableWhileItIsSent(t *testing.T) {
	store, err := storage.Open("data", storage.Options{FS: storage.NewMemory(7), Node: "n1", SegmentBytes: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	s := &snapshotter{cfg: Config{Group: 1, Store: store}}
	members := consensus.Configuration{Members: []consensus.Member{{ID: 1, Voter: true}}}
	write := func(index consensus.Index, sending map[consensus.ID]consensus.Index) {
		t.Helper()
		_, err := s.write(writeSnapshot{meta: consensus.SnapshotMeta{Index: index, Term: 1, Configuration: members},
			picture: strings.NewReader(strings.Repeat("x", int(index))), sending: sending})
		if err != nil {
			t.Fatal(err)
		}
	}
	wants := func(to consensus.ID, index, want consensus.Index) {
		t.Helper()
		reader, _, err := s.open(consensus.SnapshotRequest{To: to, Index: index, Offset: 1})
		if err != nil {
			t.Fatal(err)
		}
		var content bytes.Buffer
		if _, err := content.ReadFrom(reader); err != nil || reader.Meta().Index != uint64(want) {
			t.Fatalf("follower %d asks for %d and gets %d, error %v; want %d", to, index, reader.Meta().Index, err, want)
		}
	}
	write(1, nil)
	wants(2, 1, 1)
	write(2, map[consensus.ID]consensus.Index{2: 1})
	wants(3, 2, 2)
	for index := consensus.Index(3); index < 8; index++ {
		write(index, map[consensus.ID]consensus.Index{2: 1, 3: 2})
		wants(2, 1, 1)
		wants(3, 2, 2)
	}
	write(8, map[consensus.ID]consensus.Index{3: 2})
	if len(s.reading) != 1 {
		t.Errorf("%d snapshots are kept open, want the one that is still sent", len(s.reading))
	}
	wants(3, 2, 2)
	wants(2, 1, 8) // it is gone
}

// A follower may come by the log to where the snapshot stands that it is being
// sent, and take one of its own there: seen in a simulated world.
func TestAnOwnSnapshotGoesBeforeOneThatIsReceived(t *testing.T) {
	store, err := storage.Open("data", storage.Options{FS: storage.NewMemory(8), Node: "n1", SegmentBytes: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	s := &snapshotter{cfg: Config{Group: 1, Store: store}}
	meta := consensus.SnapshotMeta{Index: 5, Term: 1, Size: 100, Configuration: consensus.Configuration{Members: []consensus.Member{{ID: 1, Voter: true}}}}
	if err := s.receiver(consensus.Chunk{Snapshot: meta, Data: []byte("beginning")}); err != nil {
		t.Fatal(err)
	}
	if _, err := s.write(writeSnapshot{meta: meta, picture: strings.NewReader("own")}); err != nil {
		t.Fatalf("own snapshot: %v", err)
	}
	if s.receiving != nil {
		t.Error("the other one is still being received")
	}
}
