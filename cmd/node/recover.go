package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/synod-go/synod"
	"github.com/synod-go/synod/api"
	"github.com/synod-go/synod/storage"
)

func (a *app) recoverCommand() *cobra.Command {
	var data, into string
	var yes bool
	c := &cobra.Command{
		Use: "recover", Short: "found a new cluster with what one node holds, when the majority is gone for good", Args: cobra.NoArgs,
		Long: "Found a new cluster with what the stopped node of --data holds: a forced new configuration, of this node alone.\n" +
			"Only when the majority is gone for good and there is no newer backup: what only the others had is lost, and\n" +
			"what this node's log has is kept, committed or not. It first says what that is, and asks.\n\n" +
			"The directory becomes that of the new cluster; the old one is kept beside it, with the suffix .replaced, and no\n" +
			"node starts on it again. With --into the new one is made there. What goes on and what ends is as after\n" +
			"\"snapshot restore\". Old nodes that come back after all are refused by the new cluster and end with E-LOST: of\n" +
			"several survivors take the one whose log goes furthest, and move the directories of the others away.",
		Example: a.example("recover --data data/n2", "recover --data data/n2 --yes-lose-unreplicated"),
		RunE: func(c *cobra.Command, _ []string) error {
			if data == "" {
				return &api.Error{Code: api.CodeUsage, Message: "--data is missing", Why: "it is the directory of the node that is left",
					Do: []string{"node recover --data data/n2"}}
			}
			return a.recoverCluster(c.Context(), filepath.Clean(data), into, yes)
		},
	}
	c.Flags().StringVar(&data, "data", "", "data directory of the node that is left, which must not run")
	c.Flags().StringVar(&into, "into", "", "make the new directory here and leave the old one where it is")
	c.Flags().BoolVar(&yes, "yes-lose-unreplicated", false, "do not ask: what only the nodes that are gone had may be lost")
	return c
}

func (a *app) recoverCluster(ctx context.Context, data, into string, yes bool) error {
	survivor, err := synod.OpenSurvivor(data, groupsOfNode())
	if err != nil {
		return survivorError(data, err)
	}
	defer survivor.Close()
	a.warnOfLoss(survivor)
	if !yes {
		if err := a.confirm(ctx, data); err != nil {
			return err
		}
	}
	made := into
	if made == "" {
		made = data + ".recovered"
	}
	restored, err := survivor.Found(made)
	if err != nil {
		return foundError(data, made, restored, err)
	}
	if into == "" {
		if err := swap(data, made); err != nil {
			return &api.Error{Code: api.CodeData, Message: "the new cluster is in " + made + ", it could not take the place of " + data, Why: plain(err),
				Do: []string{"start the node with --data " + made}}
		}
		made = data
	}
	answer := newRestoredAnswer(made, survivor.Node, restored)
	if err := a.answer(answer, answer.show); err != nil {
		return err
	}
	a.startHint(answer)
	return nil
}

// foundError says what is left when a cluster could not be founded in made.
func foundError(data, made string, restored synod.Restored, err error) error {
	switch {
	case errors.Is(err, synod.ErrNotEmpty):
		return &api.Error{Code: api.CodeData, Message: fmt.Sprintf("nothing was done: %s is not empty", made), Why: "it may be left of a recover that was broken off, or be the data of a node",
			Do: []string{"move it away, or make the new one elsewhere:  node recover --data " + data + " --into DIRECTORY"}}
	case restored.Cluster != "":
		return &api.Error{Code: api.CodeData, Message: fmt.Sprintf("the new cluster is whole in %s, but that is still marked as if it was not; %s is marked as replaced", made, data), Why: plain(err),
			Do: []string{"remove the file " + filepath.Join(made, "lost") + ", if it is there", "start the node with --data " + made}}
	}
	return restoreError(data, made, err)
}

// swap puts made in the place of data, which is kept under another name.
func swap(data, made string) error {
	kept := data + ".replaced"
	for i := 2; ; i++ {
		if _, err := os.Lstat(kept); errors.Is(err, os.ErrNotExist) {
			break
		}
		kept = fmt.Sprintf("%s.replaced-%d", data, i)
	}
	if err := os.Rename(data, kept); err != nil {
		return err
	}
	return errors.Join(os.Rename(made, data), syncDir(filepath.Dir(data)))
}

// warnOfLoss says in plain words what is kept and what may be lost.
func (a *app) warnOfLoss(s *synod.Survivor) {
	w := a.err
	fmt.Fprintf(w, "This founds a new cluster with what node %s alone holds of cluster %s.\n", s.Node, s.Cluster)
	for _, g := range s.Groups {
		fmt.Fprintf(w, "  %s (%s): %d %s (%s), of which %d %s. This node's log ends at index %d.\n",
			g.Name, g.Engine, len(g.Members), verbOf(len(g.Members), "member", "members"), strings.Join(g.Members, ", "),
			len(g.Voters), verbOf(len(g.Voters), "votes", "vote"), g.Last)
		if g.Last > g.Known {
			fmt.Fprintf(w, "    Nothing here tells whether the last %d entries, from %d on, were committed: they are kept and count as committed.\n", g.Last-g.Known, g.Known+1)
		}
	}
	fmt.Fprintf(w, "LOST is every write that was acknowledged and has not reached this node: a majority without it could do that.\n"+
		"The nodes that are gone must never run again on their old data: stop them, or be sure that they are destroyed.\n")
}

// confirm asks a person.
func (a *app) confirm(ctx context.Context, data string) error {
	fmt.Fprint(a.err, "Type yes to go on: ")
	line, err := a.firstLine(ctx, "")
	if err != nil || line == "" {
		fmt.Fprintln(a.err)
	}
	if err != nil {
		return err
	}
	if strings.TrimSpace(line) != "yes" {
		return &api.Error{Code: api.CodeUsage, Message: "nothing was done: the loss was not agreed to",
			Do: []string{"answer yes, or:  node recover --data " + data + " --yes-lose-unreplicated"}}
	}
	return nil
}

func survivorError(data string, err error) error {
	code, do := failStopCode(err), []string(nil)
	switch {
	case errors.Is(err, storage.ErrLocked):
		do = []string{"stop the node that uses it"}
	case errors.Is(err, os.ErrNotExist):
		code = api.CodeNotFound
	case code == api.CodeInternal:
		code = api.CodeData
		do = []string{"take the directory of a node that has a state:  node inspect wal " + data}
	}
	return &api.Error{Code: code, Message: fmt.Sprintf("%s cannot be made a cluster by itself", data), Why: plain(err), Do: do}
}
