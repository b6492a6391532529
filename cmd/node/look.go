package main

import (
	"cmp"
	"fmt"
	"io"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/synod-go/synod"
	"github.com/synod-go/synod/api"
)

func (a *app) statusCommand() *cobra.Command {
	var local, checks bool
	c := &cobra.Command{
		Use: "status", Short: "is the cluster well, who leads, who is behind", Args: cobra.NoArgs,
		Long:    "Show the cluster as its leader sees it. Exit code 8 when something is wrong, 5 without a leader,\n4 when no node answers.",
		Example: a.example("status", "status --checks", "status --local --addr 127.0.0.1:4710", "status --output json"),
		RunE: func(c *cobra.Command, _ []string) error {
			client, err := a.client()
			if err != nil {
				return err
			}
			leaders, err := client.Status(c.Context(), false)
			if !local && err != nil {
				return err
			}
			status, own := leaders, ""
			if local {
				if status, err = client.Status(c.Context(), true); err != nil {
					return err
				}
				own = ownPart(status, leaders)
			}
			patience := checksPatience
			if checks {
				patience = askedPatience
			}
			answer := checkedStatus{status, a.memberChecks(c.Context(), client, status, patience)}
			show := func(w io.Writer) {
				io.WriteString(w, own)
				showStatus(w, status)
				showChecks(w, answer.Checks, checks)
			}
			if err := a.answer(answer, show); err != nil {
				return err
			}
			return statusExit(status)
		},
	}
	c.Flags().BoolVar(&checks, "checks", false, "each check of each node, with its reason and since when, also those that are well")
	c.Flags().BoolVar(&local, "local", false, "what the node at --addr itself is and sees, not its leader")
	return c
}

// ownPart says what the node itself is, and how far behind what the leader, asked
// before, knew to be committed; leaders is empty if none answered.
func ownPart(s, leaders api.Status) string {
	term := fmt.Sprintf("term %d", s.Term)
	if s.Ballot != "" {
		term = "ballot " + s.Ballot
	}
	lag := fmt.Sprintf("%d behind %s", max(0, int64(leaders.Commit)-int64(s.Applied)), leaders.Leader)
	switch {
	case s.Role == "leader":
		lag = fmt.Sprintf("applied up to %d", s.Applied)
	case leaders.Leader == "":
		lag = "no leader answers"
	}
	return fmt.Sprintf("NODE %s  %s  %s  %s\n", s.Node, s.Role, term, lag)
}

func statusExit(s api.Status) error {
	switch {
	case s.Leader == "":
		return silent(api.ExitNoQuorum)
	case !s.Healthy:
		return silent(api.ExitUnhealthy)
	}
	return nil
}

func showStatus(w io.Writer, s api.Status) {
	head := []string{"NODE", "ROLE", "STATE", "TERM", "COMMIT", "BEHIND", "GOSSIP", "API"}
	epoch := ""
	if s.Engine == string(synod.Paxos) {
		head[3], head[4], epoch = "BALLOT", "CHOSEN", fmt.Sprintf("epoch %d, ", s.Epoch)
	}
	fmt.Fprintf(w, "CLUSTER %s  %s  %squorum %d of %d, %s\n", s.Cluster, healthOf(s), epoch, s.Quorum, s.Voters, tolerates(s))
	rows := [][]string{head}
	for _, m := range s.Members {
		rows = append(rows, statusRow(s, m))
	}
	columns(w, withRoles(rows, s.Members))
	for _, reason := range s.Reasons {
		fmt.Fprintf(w, "! %s\n", reason)
	}
}

func healthOf(s api.Status) string {
	switch {
	case s.Leader == "":
		return "NO LEADER"
	case !s.Healthy:
		return "UNHEALTHY"
	}
	return "HEALTHY"
}

func tolerates(s api.Status) string {
	switch {
	case s.Leader == "" || s.Up < s.Quorum:
		return "writes wait for a leader"
	case s.Tolerates == 0:
		return "tolerates no more loss"
	case s.Tolerates == 1:
		return "tolerates 1 more loss"
	}
	return fmt.Sprintf("tolerates %d more losses", s.Tolerates)
}

func statusRow(s api.Status, m api.MemberStatus) []string {
	row := []string{m.Name, m.Role, m.State, "?", "?", "?", m.Gossip, cmp.Or(m.API, "-")}
	if m.Role == "leader" {
		row[0] += " *"
	}
	if m.State == "up" {
		row[3] = cmp.Or(s.Ballot, fmt.Sprint(s.Term))
	}
	if m.Name == s.Node {
		row[4] = fmt.Sprint(s.Commit)
	} else if m.Behind != nil {
		row[4] = fmt.Sprint(min(m.Match, s.Commit))
	}
	switch {
	case m.Role == "leader":
		row[5] = "-"
	case m.Behind != nil:
		row[5] = fmt.Sprint(*m.Behind)
	}
	return row
}

func (a *app) membersCommand() *cobra.Command {
	return &cobra.Command{
		Use: "members", Short: "list the members and their addresses", Args: cobra.NoArgs,
		Example: a.example("members", "members --output json"),
		RunE: func(c *cobra.Command, _ []string) error {
			client, err := a.client()
			if err != nil {
				return err
			}
			list, err := client.Members(c.Context())
			if err != nil {
				return err
			}
			return a.answer(list, func(w io.Writer) {
				rows := [][]string{{"NODE", "ID", "VOTES", "ROLE", "GOSSIP", "SEEN", "API", "LINK"}}
				for _, m := range list.Members {
					rows = append(rows, []string{m.Name, m.ID, yes(m.Voter), m.Role, m.Gossip, seen(m), cmp.Or(m.API, "-"), cmp.Or(m.Link, "-")})
				}
				columns(w, withRoles(rows, list.Members))
				fmt.Fprintf(w, "configuration version %d\n", list.ConfigVersion)
			})
		},
	}
}

// seen says how long ago gossip last held a member for alive.
func seen(m api.MemberStatus) string {
	switch {
	case m.LastSeen.IsZero():
		return "-"
	case m.Gossip == "alive":
		return "now"
	}
	return max(time.Since(m.LastSeen), 0).Round(time.Second).String() + " ago"
}

func yes(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}

// versionInfo is what "version" tells.
type versionInfo struct {
	Version string `json:"version"`
	Commit  string `json:"commit,omitempty"`
	Go      string `json:"go"`
	System  string `json:"system"`
}

func (a *app) versionCommand() *cobra.Command {
	return &cobra.Command{
		Use: "version", Short: "print the version", Args: cobra.NoArgs,
		Example: a.example("version", "version --output json"),
		RunE: func(*cobra.Command, []string) error {
			info := ownVersion()
			return a.answer(info, func(w io.Writer) {
				words := []string{"synod", info.Version, info.Commit, info.Go, info.System}
				fmt.Fprintln(w, strings.Join(slices.DeleteFunc(words, func(s string) bool { return s == "" }), " "))
			})
		},
	}
}

func ownVersion() versionInfo {
	return versionInfo{Version: version, Go: runtime.Version(), System: runtime.GOOS + "/" + runtime.GOARCH, Commit: commit()}
}

func commit() string {
	build, ok := debug.ReadBuildInfo()
	if !ok {
		return ""
	}
	for _, s := range build.Settings {
		if s.Key == "vcs.revision" && len(s.Value) >= 12 {
			return s.Value[:12]
		}
	}
	return ""
}
