package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/synod-go/synod"
	"github.com/synod-go/synod/api"
	"github.com/synod-go/synod/backup"
	"github.com/synod-go/synod/coordination"
	"github.com/synod-go/synod/storage"
)

func (a *app) snapshotCommand() *cobra.Command {
	c := &cobra.Command{Use: "snapshot", Short: "save the state of the whole cluster in a file, and found a new cluster with it",
		Long: "Save the state of the whole cluster in one file while it runs, look into such a file, and found a new cluster\n" +
			"with it when the old one is gone.",
		Example: a.example("snapshot save monday.backup", "snapshot inspect monday.backup", "snapshot restore monday.backup --data data/n1 --name n1")}
	c.AddCommand(a.snapshotSaveCommand(), a.snapshotInspectCommand(), a.snapshotRestoreCommand())
	return c
}

func (a *app) snapshotSaveCommand() *cobra.Command {
	return &cobra.Command{
		Use: "save FILE", Short: "save all keys, agents, frameworks and jobs in FILE", Args: cobra.ExactArgs(1),
		Long: "Save the state of the whole cluster in FILE. Any node that is not an acceptor alone gives it. Every write that\n" +
			"was acknowledged before is in it. FILE appears, with mode 0600, when all of it is verified and on the disk, and\n" +
			"takes the place of one that was there. It holds every key, whatever its access list says: keep it like the data.\n" +
			"--timeout is how long a node may take to begin, or be silent.",
		Example: a.example("snapshot save monday.backup", "snapshot save /backup/synod-$(date +%F).backup --timeout 30s"),
		RunE:    func(c *cobra.Command, args []string) error { return a.saveSnapshot(c.Context(), args[0]) },
	}
}

// savedAnswer is what "snapshot save" and "snapshot restore" tell of the file.
type savedAnswer struct {
	File   string        `json:"file"`
	Bytes  int64         `json:"bytes"`
	SHA256 string        `json:"sha256"` // of all but these 32 bytes, which are its last
	Backup backup.Header `json:"backup"`
}

func (a *app) saveSnapshot(ctx context.Context, name string) error {
	client, err := a.client()
	if err != nil {
		return err
	}
	began := time.Now()
	saved, err := writeWhole(name, func(w io.Writer) error { return client.Backup(ctx, w) })
	if err != nil {
		return err
	}
	return a.answer(saved, func(w io.Writer) {
		fmt.Fprintf(w, "saved %s in %s: %s in %v\n", described(saved.Backup), name, sized(saved.Bytes), time.Since(began).Round(time.Millisecond))
	})
}

// described is what a backup is of, in a few words.
func described(h backup.Header) string {
	var groups []string
	for _, g := range h.Groups {
		groups = append(groups, fmt.Sprintf("%s at index %d", g.Name, g.Index))
	}
	return "cluster " + h.Cluster + ", " + strings.Join(groups, ", ")
}

// writeWhole has a backup written into a file that appears, durable and verified, only when
// it is whole.
func writeWhole(name string, write func(io.Writer) error) (savedAnswer, error) {
	dir := filepath.Dir(name)
	f, err := os.CreateTemp(dir, filepath.Base(name)+".*.part") // with mode 0600
	if err != nil {
		return savedAnswer{}, backupFileError("the backup cannot be written", err)
	}
	defer os.Remove(f.Name()) // nothing is there once it is renamed
	err = write(f)
	saved := savedAnswer{File: name}
	if err == nil {
		saved, err = readBackup(name, f)
	}
	if err == nil {
		err = backupFileError("the backup cannot be made durable", f.Sync())
	}
	if closed := f.Close(); err == nil {
		err = backupFileError("the backup cannot be written", closed)
	}
	if err == nil {
		err = backupFileError("the backup cannot take its name", os.Rename(f.Name(), name))
	}
	if err == nil {
		err = backupFileError("the backup cannot be made durable", syncDir(dir))
	}
	return saved, err
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// backupFileError tells of a file that cannot be used; nil of nil.
func backupFileError(what string, err error) error {
	if err == nil {
		return nil
	}
	code := api.CodeData
	if failStopCode(err) == api.CodeDiskFull {
		code = api.CodeDiskFull
	}
	return &api.Error{Code: code, Message: what, Why: plain(err)}
}

// readBackup verifies a file from its beginning to its end.
func readBackup(name string, f io.ReadSeeker) (savedAnswer, error) {
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return savedAnswer{}, backupFileError("the backup cannot be read", err)
	}
	in, err := backup.NewReader(f)
	if err == nil {
		err = in.Close()
	}
	if err != nil {
		return savedAnswer{}, backupError(name, err)
	}
	size, err := in.Header.Size()
	return savedAnswer{File: name, Bytes: size, SHA256: fmt.Sprintf("%x", in.Sum()), Backup: in.Header}, err
}

// backupError says what is wrong with the file of a backup.
func backupError(name string, err error) error {
	format, newer := errors.AsType[*backup.FormatError](err)
	switch {
	case newer:
		return &api.Error{Code: api.CodeFormat, Message: fmt.Sprintf("the backup %s was written by a newer version", name), Why: plain(format),
			Do: []string{"use the version that wrote it, or a newer one"}}
	case errors.Is(err, backup.ErrCorrupt):
		return &api.Error{Code: api.CodeDamage, Message: fmt.Sprintf("%s is not a whole backup", name), Why: plain(err),
			Do: []string{"take another one"}}
	}
	return backupFileError(fmt.Sprintf("the backup %s cannot be read", name), err)
}

// openBackup opens the file of a backup.
func openBackup(name string) (*os.File, error) {
	f, err := os.Open(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, &api.Error{Code: api.CodeNotFound, Message: fmt.Sprintf("there is no file %q", name)}
	}
	return f, backupFileError(fmt.Sprintf("the backup %s cannot be read", name), err)
}

func (a *app) snapshotRestoreCommand() *cobra.Command {
	var data, name string
	c := &cobra.Command{
		Use: "restore FILE", Short: "make the data directory of the first node of a new cluster from FILE", Args: cobra.ExactArgs(1),
		Long: "Make the data directory of the first node of a new cluster from FILE, which \"snapshot save\" has written. Start\n" +
			"that node as if it had been there before; start the others with empty directories and --join: they are filled\n" +
			"from it. The old cluster must be gone: if it runs, clients and agents may go on with it.\n\n" +
			"What goes on: all keys with their versions, request ids and the results of their writes, quotas and access\n" +
			"lists, agents, frameworks and jobs with their ids. Indexes, which are fencing tokens, go on far above those of\n" +
			"the old cluster. What ends: all sessions, and so ephemeral keys and locks; watches list again (E-GONE). Agents\n" +
			"that are started as they were find the new cluster by --master, and their tasks run on.",
		Example: a.example("snapshot restore monday.backup --data data/n1 --name n1"),
		RunE: func(_ *cobra.Command, args []string) error {
			if data == "" {
				return &api.Error{Code: api.CodeUsage, Message: "--data is missing", Why: "the directory is to be made of the backup",
					Do: []string{"node snapshot restore " + args[0] + " --data data/n1 --name n1"}}
			}
			return a.restoreSnapshot(args[0], data, name)
		},
	}
	c.Flags().StringVar(&data, "data", "", "data directory to make; it must not be there, or be empty")
	c.Flags().StringVar(&name, "name", "n1", "name of the node")
	return c
}

// restoredAnswer is what "snapshot restore" and "recover" tell of the new cluster.
type restoredAnswer struct {
	Data    string          `json:"data"`
	Node    string          `json:"node"`
	ID      string          `json:"id"`
	Cluster string          `json:"cluster"`
	Groups  []restoredGroup `json:"groups"`
}

type restoredGroup struct {
	Name   string `json:"name"`
	Engine string `json:"engine"`
	Was    uint64 `json:"was"`
	Index  uint64 `json:"index"`
}

func newRestoredAnswer(data, node string, r synod.Restored) restoredAnswer {
	answer := restoredAnswer{Data: data, Node: node, ID: fmt.Sprintf("%016x", r.Node), Cluster: r.Cluster}
	for _, g := range r.Groups {
		answer.Groups = append(answer.Groups, restoredGroup{g.Name, string(g.Engine), g.Was, g.Index})
	}
	return answer
}

func (r restoredAnswer) show(w io.Writer) {
	fmt.Fprintf(w, "%s holds node %s of the new cluster %s\n", r.Data, r.Node, r.Cluster)
	rows := [][]string{{"GROUP", "ENGINE", "WAS AT", "GOES ON AT"}}
	for _, g := range r.Groups {
		rows = append(rows, []string{g.Name, g.Engine, fmt.Sprint(g.Was), fmt.Sprint(g.Index)})
	}
	columns(w, rows)
}

// startHint is how the node is started that now is a cluster by itself.
func (a *app) startHint(r restoredAnswer) {
	engine := ""
	for _, g := range r.Groups {
		if g.Name == coordinationGroup && g.Engine != string(synod.Raft) {
			engine = " --engine " + g.Engine
		}
	}
	a.hint("Next:  node start --name %s --data %s%s --bootstrap    and the others, with empty directories, with --join", r.Node, r.Data, engine)
}

func (a *app) restoreSnapshot(file, data, name string) error {
	f, err := openBackup(file)
	if err != nil {
		return err
	}
	defer f.Close()
	data = filepath.Clean(data)
	restored, err := synod.Restore(synod.RestoreConfig{Dir: data, Name: name, Groups: groupsOfNode()}, f)
	if err != nil {
		return restoreError(file, data, err)
	}
	answer := newRestoredAnswer(data, name, restored)
	if err := a.answer(answer, answer.show); err != nil {
		return err
	}
	a.startHint(answer)
	return nil
}

// groupsOfNode are the groups of every node, for a directory whose node does not run.
func groupsOfNode() []synod.GroupConfig {
	newTree := func() synod.StateMachine {
		t, err := coordination.New(coordination.Config{})
		if err != nil {
			panic(err) // the defaults are right
		}
		return t
	}
	return []synod.GroupConfig{{Name: coordinationGroup, New: newTree}, {Name: registryGroup, New: newRegistry}}
}

func restoreError(file, data string, err error) error {
	_, newer := errors.AsType[*backup.FormatError](err)
	code := failStopCode(err)
	switch {
	case newer, errors.Is(err, backup.ErrCorrupt):
		return backupError(file, err)
	case errors.Is(err, synod.ErrNotEmpty):
		return &api.Error{Code: api.CodeData, Message: fmt.Sprintf("nothing was restored: %s is not empty", data), Why: "it may be the data of a node",
			Do: []string{"move it away, or give another --data"}}
	case errors.Is(err, storage.ErrLocked):
		return &api.Error{Code: code, Message: fmt.Sprintf("nothing was restored: a process uses %s", data)}
	case strings.Contains(err.Error(), "RestoreConfig.Name"):
		return &api.Error{Code: api.CodeUsage, Message: "the node cannot have that name", Why: plain(err)}
	}
	return &api.Error{Code: code, Message: fmt.Sprintf("%s was not restored to %s", file, data), Why: plain(err),
		Do: []string{"remove the directory before you try again: no node starts on it"}}
}
