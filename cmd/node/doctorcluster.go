package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/synod-go/synod/api"
	"github.com/synod-go/synod/internal/doctor"
)

// Steps between the clocks of two machines: the first is worth a look, the second makes request ids of clients
// and timetables wrong.
const clockStep, clockLeap = 500 * time.Millisecond, 5 * time.Second

// seenNode is what one node has said of itself.
type seenNode struct {
	name, version string
	err           error
	live          api.Document
	checks        []api.Check
}

// clusterFindings looks at the cluster through any node that answers.
func (a *app) clusterFindings(ctx context.Context, client *api.Client) []doctor.Finding {
	ask, cancel := context.WithTimeout(ctx, doctor.ProbeTimeout)
	defer cancel()
	status, err := client.Status(ask, false)
	if err != nil {
		return []doctor.Finding{a.unreached(err)}
	}
	nodes := seeNodes(ctx, client, status.Members)
	return []doctor.Finding{health(status), readiness(nodes), clocks(nodes), versions(nodes), shared(nodes)}
}

const whyCluster = "a cluster without a leader takes no writes, and without a spare voter it survives no more loss"

// unreached tells why there is nothing to tell of a cluster. That no node answers is no failure unless somebody has said
// where the cluster is; that one refuses always is.
func (a *app) unreached(err error) doctor.Finding {
	f := doctor.Finding{Name: "cluster", State: doctor.OK, Why: whyCluster, Value: "no node answers at " + a.addr + ": this machine alone was looked at"}
	wrong, is := errors.AsType[*api.Error](err)
	switch {
	case !is:
		f.State, f.Value = doctor.Fail, plain(err)
	case wrong.Code != api.CodeReach:
		f.State, f.Value, f.Do = doctor.Fail, wrong.Error(), strings.Join(wrong.Do, ", or ")
	case a.addr != defaultAddrs:
		f.State, f.Value, f.Do = doctor.Fail, wrong.Message, "node start  on one of them, or correct  --addr"
	}
	return f
}

func health(s api.Status) doctor.Finding {
	f := doctor.Finding{Name: "cluster", State: doctor.OK, Why: whyCluster}
	f.Value = fmt.Sprintf("%s leads, %d of %d voters are up, %s", s.Leader, s.Up, s.Voters, tolerates(s))
	switch {
	case s.Leader == "":
		f.State, f.Value, f.Do = doctor.Fail, "no node leads", "start the nodes that are down:  node members"
	case !s.Healthy:
		f.State, f.Value, f.Do = doctor.Fail, strings.Join(s.Reasons, "; "), "node status"
	case s.Voters < 3:
		f.State, f.Do = doctor.Warn, "start more nodes with  --join"
	}
	return f
}

// seeNodes asks each member itself, all at once.
func seeNodes(ctx context.Context, client *api.Client, members []api.MemberStatus) []seenNode {
	ctx, cancel := context.WithTimeout(ctx, doctor.ProbeTimeout)
	defer cancel()
	nodes := make([]seenNode, 0, len(members)) // never moves: each place is filled beside the others
	var wait sync.WaitGroup
	for _, m := range members {
		if m.API == "" {
			continue
		}
		nodes = append(nodes, seenNode{name: m.Name, version: m.Version})
		n := &nodes[len(nodes)-1]
		wait.Go(func() {
			for range 3 { // the answer that came fastest tells the clock best
				live, err := client.Fetch(ctx, m.API, "/livez", "text/plain", 1024)
				if n.err = err; err != nil {
					return
				}
				if !n.live.ClockKnown || live.Took < n.live.Took {
					n.live = live
				}
			}
			n.checks, n.err = readChecks(ctx, client, m.API)
		})
	}
	wait.Wait()
	return nodes
}

// readChecks are the named checks of one node.
func readChecks(ctx context.Context, client *api.Client, addr string) ([]api.Check, error) {
	document, err := client.Fetch(ctx, addr, "/readyz", "application/json", 1<<20)
	if err != nil {
		return nil, err
	}
	var answer struct {
		Checks []api.Check `json:"checks"`
	}
	if err := json.Unmarshal(document.Body, &answer); err != nil {
		return nil, fmt.Errorf("it answered %s", http.StatusText(document.Status))
	}
	return answer.Checks, nil
}

func readiness(nodes []seenNode) doctor.Finding {
	f := doctor.Finding{Name: "nodes", State: doctor.OK, Why: "a node that is not ready counts for nothing"}
	var wrong, soon []string
	for _, n := range nodes {
		if n.err != nil {
			wrong = append(wrong, n.name+" does not answer: "+api.Reason(n.err))
		}
		for _, check := range n.checks {
			if !check.OK {
				wrong = append(wrong, fmt.Sprintf("%s: %s: %s", n.name, check.Name, check.Reason))
			} else if check.Warn {
				soon = append(soon, fmt.Sprintf("%s: %s: %s", n.name, check.Name, check.Reason))
			}
		}
	}
	switch f.Value = fmt.Sprintf("%d of %d are ready", len(nodes), len(nodes)); {
	case len(wrong) > 0:
		f.State, f.Value, f.Do = doctor.Fail, strings.Join(wrong, "; "), "node status --checks  and the log of that node"
	case len(soon) > 0:
		f.State, f.Value, f.Do = doctor.Warn, strings.Join(soon, "; "), "node tls renew  and copy the files there"
	}
	return f
}

func clocks(nodes []seenNode) doctor.Finding {
	f := doctor.Finding{Name: "clocks", State: doctor.OK, Why: "request ids, timetables and what people read in logs go by them"}
	var worst seenNode
	known := 0
	for _, n := range nodes {
		if n.live.ClockKnown {
			known++
			if worst.name == "" || n.live.Ahead.Abs() > worst.live.Ahead.Abs() {
				worst = n
			}
		}
	}
	step, off := worst.live.Ahead.Abs(), worst.live.Took/2
	switch f.Value = fmt.Sprintf("%d %s within %s of this machine", known, verbOf(known, "node is", "nodes are"), rounded(step+off)); {
	case known == 0:
		f.Value = "no node has told its clock"
	case step-off > clockStep:
		side := "ahead of"
		if worst.live.Ahead < 0 {
			side = "behind"
		}
		f.State, f.Value, f.Do = doctor.Warn, fmt.Sprintf("%s is %s %s this machine", worst.name, rounded(step), side), "timedatectl set-ntp true  on both"
		if step-off > clockLeap {
			f.State = doctor.Fail
		}
	}
	return f
}

// shared compares what all nodes must have alike: whom they trust, and the keys of gossip.
func shared(nodes []seenNode) doctor.Finding {
	f := doctor.Finding{Name: "shared keys", State: doctor.OK, Value: "no TLS, or none that the nodes tell of", Why: "while an authority or a gossip key is replaced, all nodes must have done one step before the next"}
	said := map[string][]string{}
	for _, n := range nodes {
		for _, check := range n.checks {
			text := check.Name + ": " + check.Reason
			if _, signer, is := strings.Cut(check.Reason, ", signed by "); is && check.Name == "certificate" {
				text = "certificate: signed by " + signer
			} else if check.Name != "authorities" && check.Name != "gossip key" {
				continue
			}
			said[text] = append(said[text], n.name)
		}
	}
	if len(said) == 0 {
		return f
	}
	var differ []string
	for _, text := range sortedKeys(said) {
		if len(said[text]) < len(nodes) {
			differ = append(differ, strings.Join(said[text], ", ")+" "+text)
		}
	}
	if f.Value = strings.Join(sortedKeys(said), "; "); len(differ) > 0 {
		f.State, f.Value, f.Do = doctor.Warn, strings.Join(differ, "; "), "copy ca.pem, gossip.key and their own certificates to all nodes"
	}
	return f
}

func rounded(d time.Duration) time.Duration {
	switch {
	case d >= time.Second:
		return d.Round(100 * time.Millisecond)
	case d >= time.Millisecond:
		return d.Round(100 * time.Microsecond)
	}
	return d.Round(time.Microsecond)
}

func versions(nodes []seenNode) doctor.Finding {
	f := doctor.Finding{Name: "versions", State: doctor.OK, Why: "nodes of two versions work together while one is replaced by the other, and no longer than that"}
	found := map[string][]string{version: {"this machine"}}
	for _, n := range nodes {
		if n.version != "" {
			found[n.version] = append(found[n.version], n.name)
		}
	}
	var parts []string
	for _, v := range sortedKeys(found) {
		parts = append(parts, v+" on "+strings.Join(slices.Compact(found[v]), ", "))
	}
	if f.Value = "all have " + version; len(parts) > 1 {
		f.State, f.Value, f.Do = doctor.Warn, strings.Join(parts, "; "), "bring the nodes to one version, one after the other"
	}
	return f
}
