package synod_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/synod-go/synod"
	"github.com/synod-go/synod/backup"
	"github.com/synod-go/synod/mesos"
)

// alone starts the only node of a cluster on a directory.
func alone(t *testing.T, dir string, engine synod.Engine) (*synod.Node, *synod.Group, *journals) {
	t.Helper()
	j := &journals{}
	node, err := synod.Start(t.Context(), synod.Config{Name: "n1", Dir: dir, Bootstrap: true,
		Listen: synod.Addresses{API: "127.0.0.1:0", Link: "127.0.0.1:0", Gossip: "127.0.0.1:0"}, Groups: []synod.GroupConfig{j.group(engine)}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { stopNode(t, node) })
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if err := node.Ready(ctx); err != nil {
		t.Fatal(err)
	}
	return node, node.Group("journal"), j
}

func stopNode(t *testing.T, node *synod.Node) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	if err := node.Stop(ctx); err != nil && !errors.Is(err, synod.ErrStopped) {
		t.Error(err)
	}
}

func linesOf(t *testing.T, g *synod.Group) (lines []string) {
	t.Helper()
	err := g.Read(t.Context(), synod.Linearizable, func(m synod.StateMachine, _ uint64) { lines = slices.Clone(m.(*journal).lines) })
	if err != nil {
		t.Fatal(err)
	}
	return lines
}

func saved(t *testing.T, node *synod.Node) []byte {
	t.Helper()
	b, err := node.Backup(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	var file bytes.Buffer
	if n, err := b.WriteTo(&file); err != nil || n != b.Size() || int64(file.Len()) != n {
		t.Fatalf("%d bytes written, %d there, size %d, %v", n, file.Len(), b.Size(), err)
	}
	return file.Bytes()
}

// proposed fails the test unless the command is done; it returns index and result.
func proposed(t *testing.T, g *synod.Group, id synod.RequestID, command string) (uint64, string) {
	t.Helper()
	r, err := g.ProposeOnce(t.Context(), id, []byte(command))
	if err != nil {
		t.Fatalf("%s: %v", command, err)
	}
	return r.Index, string(r.Value)
}

func TestARestoredClusterGoesOnAfterTheBackup(t *testing.T) {
	for _, engine := range []synod.Engine{synod.Raft, synod.Paxos} {
		t.Run(string(engine), func(t *testing.T) {
			node, g, j := alone(t, t.TempDir(), engine)
			first, second := synod.NewRequestID(), synod.NewRequestID()
			at, _ := proposed(t, g, first, "one")
			file := saved(t, node)
			after, _ := proposed(t, g, second, "two")
			old := node.Cluster()
			stopNode(t, node)

			dir := filepath.Join(t.TempDir(), "n1")
			r, err := synod.Restore(synod.RestoreConfig{Dir: dir, Name: "n1", Groups: []synod.GroupConfig{j.group(engine)}}, bytes.NewReader(file))
			if err != nil {
				t.Fatal(err)
			}
			node, g, _ = alone(t, dir, engine)
			if node.Cluster() != r.Cluster || r.Cluster == old || node.ID() != r.Node {
				t.Errorf("node %x of cluster %s, restored was %+v, the old one was %s", node.ID(), node.Cluster(), r, old)
			}
			if got := linesOf(t, g); !slices.Equal(got, []string{"one"}) {
				t.Fatalf("the machine has %q, want what was there at the backup", got)
			}
			if index, result := proposed(t, g, first, "one"); index != at || result != "1" {
				t.Errorf("a repetition ran again, at %d with %q: want that of index %d", index, result, at)
			}
			if index, result := proposed(t, g, second, "two"); index < after+1_000_000_000 || result != "2" {
				t.Errorf("what the backup lacks went to index %d with %q: want one far above %d, and 2", index, result, after)
			}
			stopNode(t, node)
			_, g, _ = alone(t, dir, engine)
			if got := linesOf(t, g); !slices.Equal(got, []string{"one", "two"}) {
				t.Errorf("after another start the machine has %q", got)
			}
		})
	}
}

func TestNothingIsRestoredOfADamagedBackup(t *testing.T) {
	node, g, j := alone(t, t.TempDir(), synod.Raft)
	proposed(t, g, synod.NewRequestID(), "one")
	file := saved(t, node)
	config := synod.RestoreConfig{Name: "n1", Groups: []synod.GroupConfig{j.group(synod.Raft)}}
	try := func(what string, file []byte) {
		t.Helper()
		config.Dir = filepath.Join(t.TempDir(), "n1")
		_, err := synod.Restore(config, bytes.NewReader(file))
		if _, there := os.Stat(config.Dir); !errors.Is(err, backup.ErrCorrupt) || there == nil {
			t.Fatalf("%s: %v, directory there: %t", what, err, there == nil)
		}
	}
	for n := range file {
		try("cut off", file[:n])
	}
	try("longer", append(slices.Clone(file), 0))
	for i := 0; i < len(file); i += 7 {
		damaged := slices.Clone(file)
		if damaged[i] ^= 1 << (i % 8); i >= 8 && i < 12 {
			continue // the version: another error
		}
		try("a bit", damaged)
	}
}

func TestARestoreIntoADirectoryThatHoldsSomethingChangesNothing(t *testing.T) {
	dir := t.TempDir()
	node, _, j := alone(t, t.TempDir(), synod.Raft)
	file := saved(t, node)
	if err := os.WriteFile(filepath.Join(dir, "mine"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := synod.Restore(synod.RestoreConfig{Dir: dir, Name: "n1", Groups: []synod.GroupConfig{j.group(synod.Raft)}}, bytes.NewReader(file))
	if entries, _ := os.ReadDir(dir); !errors.Is(err, synod.ErrNotEmpty) || len(entries) != 1 {
		t.Errorf("%v, and %d files", err, len(entries))
	}
}

// stubborn is a machine that no snapshot can be taken of.
type stubborn struct{ journal }

func (s *stubborn) Snapshot() (io.WriterTo, error) { return nil, errors.New("no picture today") }

func TestADirectoryOfARestoreThatWasInterruptedStartsNoNode(t *testing.T) {
	node, _, _ := alone(t, t.TempDir(), synod.Raft)
	file, dir := saved(t, node), t.TempDir()
	broken := synod.GroupConfig{Name: "journal", New: func() synod.StateMachine { return &stubborn{} }}
	if _, err := synod.Restore(synod.RestoreConfig{Dir: dir, Name: "n1", Groups: []synod.GroupConfig{broken}}, bytes.NewReader(file)); err == nil {
		t.Fatal("restored without a snapshot")
	}
	_, err := synod.Start(t.Context(), synod.Config{Name: "n1", Dir: dir, Bootstrap: true, Groups: []synod.GroupConfig{(&journals{}).group(synod.Raft)}})
	if !errors.Is(err, synod.ErrLost) {
		t.Errorf("a node starts on it: %v", err)
	}
}

// A backup may be restored twice: the first new cluster was lost too. In a microsecond no cluster writes anything.
func TestTwoClustersOfOneBackupHaveNoIndexInCommon(t *testing.T) {
	node, g, j := alone(t, t.TempDir(), synod.Raft)
	proposed(t, g, synod.NewRequestID(), "one")
	file := saved(t, node)
	restored := func() uint64 {
		r, err := synod.Restore(synod.RestoreConfig{Dir: filepath.Join(t.TempDir(), "n1"), Name: "n1", Groups: []synod.GroupConfig{j.group(synod.Raft)}}, bytes.NewReader(file))
		if err != nil {
			t.Fatal(err)
		}
		return r.Groups[0].Index
	}
	first, second := restored(), restored()
	if first < 1_000_000_000_000 || second < first+100 {
		t.Errorf("one cluster begins at index %d, the next one at %d: want at least 10^12, and a microsecond apart for each", first, second)
	}
}

func TestNumbersOfTasksAndTermsGoOnFarBehindThoseOfABackup(t *testing.T) {
	config := synod.GroupConfig{Name: "registry", Engine: synod.Paxos, Master: &synod.MasterConfig{}, New: func() synod.StateMachine {
		r, err := mesos.NewRegistry(mesos.RegistryConfig{})
		if err != nil {
			t.Fatal(err)
		}
		return r
	}}
	start := func(dir string) (node *synod.Node, term mesos.Term, next string) {
		node, err := synod.Start(t.Context(), synod.Config{Name: "n1", Dir: dir, Bootstrap: true,
			Listen: synod.Addresses{API: "127.0.0.1:0", Link: "127.0.0.1:0", Gossip: "127.0.0.1:0"}, Groups: []synod.GroupConfig{config}})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { stopNode(t, node) })
		for deadline := time.Now().Add(30 * time.Second); term == 0; time.Sleep(5 * time.Millisecond) {
			err := node.Group("registry").Read(t.Context(), synod.Linearizable, func(m synod.StateMachine, _ uint64) {
				if r := m.(*mesos.Registry); node.Group("registry").Master().Leads() == nil {
					d, _ := r.Document("jobs.number")
					term, next = r.Master().Term, string(d.Data)
				}
			})
			if time.Now().After(deadline) {
				t.Fatalf("no master leads: %v", err)
			}
		}
		return node, term, next
	}
	node, term, next := start(t.TempDir())
	file := saved(t, node)
	stopNode(t, node)
	dir := filepath.Join(t.TempDir(), "n1")
	if _, err := synod.Restore(synod.RestoreConfig{Dir: dir, Name: "n1", Groups: []synod.GroupConfig{config}}, bytes.NewReader(file)); err != nil {
		t.Fatal(err)
	}
	_, later, renewed := start(dir)
	var number struct{ Next uint64 }
	if err := json.Unmarshal([]byte(renewed), &number); err != nil || number.Next < 1_000_000_000 || later < term+1_000_000_000 {
		t.Errorf("term %d and numbers %q become term %d and %q, %v: want both 10^9 further", term, next, later, renewed, err)
	}
}
