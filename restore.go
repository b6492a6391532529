package synod

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/synod-go/synod/actors/group"
	"github.com/synod-go/synod/backup"
	"github.com/synod-go/synod/cluster"
	"github.com/synod-go/synod/consensus"
	"github.com/synod-go/synod/jobs"
	"github.com/synod-go/synod/mesos"
	"github.com/synod-go/synod/replica"
	"github.com/synod-go/synod/storage"
)

// RestoreConfig says where a new cluster begins and as whose.
type RestoreConfig struct {
	// Dir is to become the data directory of the first node. It must not be there, or
	// hold nothing. Required.
	Dir string
	// Name of that node. Required.
	Name string
	// Link is the address of it that others are told until they hear from itself.
	Link string
	// Groups are those that the node will be started with; of each Name, New and Limits
	// count. A group of the backup that is not among them is an error. Required.
	Groups []GroupConfig
}

// Restored is a new cluster that consists of one node, which has not been started.
type Restored struct {
	Cluster string // its id
	Node    uint64
	Groups  []RestoredGroup
}

// RestoredGroup tells where a group goes on.
type RestoredGroup struct {
	Name   string
	Engine Engine
	// Was is the last index of the state's old cluster, Index that of the new one.
	Was, Index uint64
}

// restoresBegin is from when on indexesApart counts.
var restoresBegin = time.Date(2025, 1, 1, 0, 0, 0, 0, time.UTC)

// indexesApart is how far a new cluster's indexes are from the old one's end: far more
// than that one can have gone on by since (at 100,000 writes a second 10^12 last for 115
// days), and further with each microsecond, so that of two clusters that were restored of
// one backup the later one begins behind all that the other one can have reached.
func indexesApart(now time.Time) uint64 {
	return 1_000_000_000_000 + uint64(max(0, now.Sub(restoresBegin).Microseconds()))
}

// ErrNotEmpty: the directory to restore into holds something. Nothing was changed.
var ErrNotEmpty = errors.New("synod: the directory is not empty")

// Restore makes the data directory of the first node of a new cluster from a backup, which
// it first reads from end to end: nothing is written of one that is damaged
// (backup.ErrCorrupt). Start the node on it as if it had been there before; the others join
// it with directories of their own.
//
// The new cluster has another id: no node of the old one can take part in it. Its indexes, masters' terms and numbers
// of jobs' tasks go on far behind those of the old one, and of another cluster that was restored of the same backup
// before, so that fencing tokens only grow. Request ids and
// the results of their commands are kept. Sessions of a coordination.Tree are over, with
// their ephemeral nodes; a mesos.Registry keeps its agents and frameworks. A Restore that
// was interrupted leaves a directory that no node starts on (ErrLost).
func Restore(c RestoreConfig, from io.ReadSeeker) (Restored, error) {
	if !nodeName.MatchString(c.Name) {
		return Restored{}, fmt.Errorf("synod: RestoreConfig.Name %q: want 1 to 63 of a-z, 0-9, - and dot", c.Name)
	}
	head, err := backup.Verify(from)
	if err != nil {
		return Restored{}, err
	}
	for _, g := range head.Groups {
		if i := slices.IndexFunc(c.Groups, func(gc GroupConfig) bool { return gc.Name == g.Name }); i < 0 {
			return Restored{}, fmt.Errorf("synod: the backup has a group %q that RestoreConfig.Groups lacks", g.Name)
		}
		if e := Engine(g.Engine); e != Raft && e != Paxos {
			return Restored{}, fmt.Errorf("synod: group %s of the backup has engine %q, which is not known", g.Name, g.Engine)
		}
	}
	if _, err := from.Seek(0, io.SeekStart); err != nil {
		return Restored{}, fmt.Errorf("synod: restore: %w", err)
	}
	return begin(c, "", func(add addGroup) error { return eachGroup(c, from, add) }, func(string) error { return nil })
}

// eachGroup restores the state of each group of a backup, one after the other.
func eachGroup(c RestoreConfig, from io.Reader, add addGroup) error {
	in, err := backup.NewReader(from)
	if err != nil {
		return err
	}
	for {
		g, content, err := in.Next()
		if errors.Is(err, io.EOF) {
			return in.Close()
		}
		if err != nil {
			return err
		}
		i := slices.IndexFunc(c.Groups, func(gc GroupConfig) bool { return gc.Name == g.Name })
		state, err := replica.New(replica.Config{Limits: c.Groups[i].Limits}, renewable(c.Groups[i])())
		if err == nil {
			err = state.Restore(content)
		}
		if err == nil && state.Applied() != g.Index {
			err = fmt.Errorf("%w: its header says index %d, its content %d", backup.ErrCorrupt, g.Index, state.Applied())
		}
		if err != nil {
			return fmt.Errorf("synod: restore group %s: %w", g.Name, err)
		}
		if err := add(g.Name, Engine(g.Engine), state); err != nil {
			return err
		}
	}
}

// renewable makes the state machine of a group. A registry has the numbers renewed that the jobs in it give.
func renewable(gc GroupConfig) func() StateMachine {
	return func() StateMachine {
		m := gc.New()
		if r, is := m.(*mesos.Registry); is {
			r.OnRenew(jobs.Renew)
		}
		return m
	}
}

// addGroup begins a group with a state.
type addGroup func(name string, engine Engine, state *replica.Replica) error

// unreleased says why no node starts on a directory that is whole.
const unreleased = "it holds all of a new cluster: if the directory that it was made of says that its cluster was replaced, remove the file lost in this one, " +
	"and otherwise remove this one and begin again"

// begin makes the directory of the first node of a new cluster, which takes the place of
// the cluster before, if any. Until it is whole, and replace has ended that cluster, it is
// marked as lost. With an error it returns the new cluster's id if replace was done.
func begin(c RestoreConfig, before string, states func(add addGroup) error, replace func(by string) error) (r Restored, err error) {
	dir, err := emptyDir(c.Dir)
	if err != nil {
		return Restored{}, err
	}
	store, err := storage.Open(dir, storage.Options{Node: c.Name})
	if err != nil {
		return Restored{}, err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	if err := store.Condemn("it was not completed: remove it and begin again"); err != nil {
		return Restored{}, err
	}
	r.Node = store.Identity().Incarnation
	r.Cluster = foundedBy(r.Node)
	if before != "" {
		r.Cluster = cluster.Successor(r.Cluster, before)
	}
	apart := indexesApart(time.Now())
	first := consensus.Member{ID: consensus.ID(r.Node), Voter: true, Name: c.Name, Address: c.Link}
	if err := states(func(name string, engine Engine, state *replica.Replica) error {
		g := RestoredGroup{Name: name, Engine: engine, Was: state.Applied(), Index: state.Applied() + apart}
		r.Groups = append(r.Groups, g)
		config := group.Config{Protocol: engine.plain(), Group: groupID(name), Name: name, Store: store}
		return group.Begin(config, state, consensus.Index(g.Index), first)
	}); err != nil {
		return Restored{}, err
	}
	if err := store.SetCluster(r.Cluster); err != nil {
		return Restored{}, err
	}
	if before != "" { // a crash may leave both directories marked: that must not read as if nothing was done
		if err := store.Condemn(unreleased); err != nil {
			return Restored{}, err
		}
	}
	if err := replace(r.Cluster); err != nil {
		return Restored{}, err
	}
	return r, store.Absolve()
}

// emptyDir returns the whole path of a directory that is to be made, or holds nothing.
func emptyDir(dir string) (string, error) {
	names, err := os.ReadDir(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return "", err
	case slices.ContainsFunc(names, func(e fs.DirEntry) bool { return e.Name() != "lost+found" }):
		return "", fmt.Errorf("%w: %s", ErrNotEmpty, dir)
	}
	return filepath.Abs(dir)
}

// Survivor is a node's data directory whose peers are gone for good, opened to found a new
// cluster with what it holds. Nothing else can use the directory until Close.
type Survivor struct {
	Node    string // name of the node
	Cluster string // id of the cluster
	Groups  []SurvivingGroup

	dir    string
	store  *storage.Store
	states []*replica.Replica
}

// SurvivingGroup tells what of a group there is.
type SurvivingGroup struct {
	Name   string
	Engine Engine
	// Last is the end of the log. Behind Known nothing tells what was committed: all of
	// it is taken for committed now. What others have acknowledged behind Last is lost.
	Known, Last uint64
	// Members are the names of the group's nodes, Voters of those that voted.
	Members, Voters []string
}

// OpenSurvivor opens the data directory of a node that is not running and rebuilds the
// state of all its groups in memory. It changes nothing. Errors: storage.ErrLocked,
// ErrLost, *storage.DamageError, and ErrNoStateMachine for a witness.
func OpenSurvivor(dir string, groups []GroupConfig) (s *Survivor, err error) {
	abs, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	report, err := storage.Inspect(storage.OS(), abs)
	if err != nil {
		return nil, err
	}
	if report.Identity == nil || report.Identity.Cluster == "" {
		return nil, fmt.Errorf("synod: %s belongs to no cluster", dir)
	}
	s = &Survivor{Node: report.Identity.Node, Cluster: report.Identity.Cluster, dir: abs}
	if s.store, err = storage.Open(abs, storage.Options{Node: s.Node}); err != nil {
		return nil, lostError(err)
	}
	for _, gc := range groups {
		if err := s.salvage(gc); err != nil && !errors.Is(err, group.ErrEmpty) {
			return nil, errors.Join(err, s.store.Close())
		}
	}
	if len(s.Groups) == 0 {
		return nil, errors.Join(fmt.Errorf("synod: %s holds no group: its node never had a place in a cluster", dir), s.store.Close())
	}
	return s, nil
}

// salvage rebuilds a group, whichever engine has kept its log.
func (s *Survivor) salvage(gc GroupConfig) error {
	config := group.Config{ID: consensus.ID(s.store.Identity().Incarnation), Group: groupID(gc.Name), Name: gc.Name,
		Store: s.store, Machine: renewable(gc), Replica: replica.Config{Limits: gc.Limits}}
	engine := Raft
	config.Protocol = engine.plain()
	found, err := group.Salvage(config)
	if errors.Is(err, group.ErrOtherEngine) {
		engine = Paxos
		config.Protocol = engine.plain()
		found, err = group.Salvage(config)
	}
	if err != nil {
		return err
	}
	g := SurvivingGroup{Name: gc.Name, Engine: engine, Known: uint64(found.Known), Last: uint64(found.Last)}
	for _, m := range found.Configuration.Members {
		g.Members = append(g.Members, m.Name)
		if m.Voter {
			g.Voters = append(g.Voters, m.Name)
		}
	}
	s.Groups, s.states = append(s.Groups, g), append(s.states, found.Replica)
	return nil
}

// Found makes dir, which must not be there or hold nothing, the data directory of a node of
// the same name that is a new cluster by itself, with all that the survivor knows; see
// Restore for what goes on in it and what does not. The survivor's own directory is marked
// before a node can start on the new one, so that none starts on it again (ErrLost), and is
// left as it is otherwise. Nodes of the old cluster that come back after all end with
// ErrLost as soon as one of the new cluster hears of them. Call it once. An error together
// with the id of a new cluster says that all was done but to take the mark off dir, which
// is a file with the name lost: nothing else is left to start on, so do not remove dir.
func (s *Survivor) Found(dir string) (Restored, error) {
	states := func(add addGroup) error {
		for i, g := range s.Groups {
			if err := add(g.Name, g.Engine, s.states[i]); err != nil {
				return err
			}
		}
		return nil
	}
	return begin(RestoreConfig{Dir: dir, Name: s.Node}, s.Cluster, states, func(by string) error {
		return s.store.Condemn("its cluster was replaced by " + by + ", a forced new configuration of what it held")
	})
}

// Close lets the directory go.
func (s *Survivor) Close() error { return s.store.Close() }
