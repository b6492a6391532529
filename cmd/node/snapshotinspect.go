package main

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/synod-go/synod/backup"
	"github.com/synod-go/synod/coordination"
	"github.com/synod-go/synod/jobs"
	"github.com/synod-go/synod/mesos"
	"github.com/synod-go/synod/replica"
)

func (a *app) snapshotInspectCommand() *cobra.Command {
	return &cobra.Command{
		Use: "inspect FILE", Short: "verify the file of a backup and count what is in it", Args: cobra.ExactArgs(1),
		Long: "Verify the file that \"snapshot save\" has written and count what is in it. A file that is cut off, or in which\n" +
			"a byte has changed, is E-DAMAGE.",
		Example: a.example("snapshot inspect monday.backup", "snapshot inspect monday.backup --output json"),
		RunE:    func(_ *cobra.Command, args []string) error { return a.inspectBackup(args[0]) },
	}
}

// inspectedAnswer is what "snapshot inspect" tells.
type inspectedAnswer struct {
	savedAnswer
	Keys     int   `json:"keys"` // without the root
	KeyBytes int64 `json:"key_bytes"`
	Sessions int   `json:"sessions"`
	Quotas   int   `json:"quotas"`
	// Requests are the request ids whose results are remembered, over all groups.
	Requests   uint64 `json:"requests"`
	Agents     int    `json:"agents"`
	Frameworks int    `json:"frameworks"`
	Jobs       int    `json:"jobs"`
}

func (a *app) inspectBackup(name string) error {
	f, err := openBackup(name)
	if err != nil {
		return err
	}
	defer f.Close()
	answer := inspectedAnswer{}
	if answer.savedAnswer, err = readBackup(name, f); err != nil { // before anything of it is used
		return err
	}
	if _, err = f.Seek(0, io.SeekStart); err == nil {
		err = answer.count(f)
	}
	if err != nil {
		return backupError(name, err)
	}
	return a.answer(answer, answer.show)
}

// count restores each group's state in memory.
func (i *inspectedAnswer) count(f io.Reader) error {
	in, err := backup.NewReader(f)
	if err != nil {
		return err
	}
	for {
		g, content, err := in.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		for _, known := range groupsOfNode() {
			if known.Name == g.Name {
				if err := i.countGroup(known.New(), content); err != nil {
					return fmt.Errorf("%w: group %s: %w", backup.ErrCorrupt, g.Name, err)
				}
			}
		}
	}
}

func (i *inspectedAnswer) countGroup(machine replica.StateMachine, content io.Reader) error {
	r, err := replica.New(replica.Config{}, machine)
	if err == nil {
		err = r.Restore(content)
	}
	if err != nil {
		return err
	}
	i.Requests += uint64(r.Status().Requests)
	switch m := machine.(type) {
	case *coordination.Tree:
		s := m.Status()
		i.Keys, i.KeyBytes, i.Sessions, i.Quotas = s.Nodes-1, s.Bytes, s.Sessions, s.Quotas
	case *mesos.Registry:
		for range m.Agents() {
			i.Agents++
		}
		for range m.UnreachableAgents() {
			i.Agents++
		}
		for range m.Frameworks() {
			i.Frameworks++
		}
		for range m.Documents(jobs.JobPrefix) {
			i.Jobs++
		}
	}
	return nil
}

func (i inspectedAnswer) show(w io.Writer) {
	h := i.Backup
	fmt.Fprintf(w, "%s  %s, whole: SHA-256 %s\n", i.File, sized(i.Bytes), i.SHA256)
	fmt.Fprintf(w, "cluster %s, saved by %s (%s) at %s\n", h.Cluster, h.Node, h.Version, h.Time.Format(time.RFC3339))
	rows := [][]string{{"GROUP", "ENGINE", "INDEX", "TERM", "DIGEST", "SIZE", "MEMBERS"}}
	for _, g := range h.Groups {
		rows = append(rows, []string{g.Name, g.Engine, fmt.Sprint(g.Index), fmt.Sprint(g.Term), g.Digest, sized(g.Size), strings.Join(g.Members, ",")})
	}
	columns(w, rows)
	fmt.Fprintf(w, "keys %d (%s)  sessions %d  quotas %d  request ids %d\n", i.Keys, sized(i.KeyBytes), i.Sessions, i.Quotas, i.Requests)
	fmt.Fprintf(w, "agents %d  frameworks %d  jobs %d\n", i.Agents, i.Frameworks, i.Jobs)
}
