package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/synod-go/synod/api"
	"github.com/synod-go/synod/cluster"
	"github.com/synod-go/synod/internal/doctor"
)

// checkup is the answer of "doctor".
type checkup struct {
	// Healthy: nothing has failed; there may be warnings.
	Healthy bool             `json:"healthy"`
	Machine []doctor.Finding `json:"machine"`
	Cluster []doctor.Finding `json:"cluster"`
}

// doctorUses are the flags of start that doctor looks at; the others are there for files.
var doctorUses = map[string]bool{"config": true, "name": true, "data": true, "join": true, "listen": true, "advertise": true,
	"api-port": true, "link-port": true, "gossip-port": true, "gossip-key": true}

func (a *app) doctorCommand() *cobra.Command {
	f := &startFlags{}
	c := &cobra.Command{
		Use: "doctor", Short: "look for what keeps this machine or the cluster from running well", Args: cobra.NoArgs,
		Long: "Look at this machine as a node with these flags, or with that configuration file, would meet it: ports, disk, clock,\n" +
			"gossip, limits, cgroups, Docker, names and certificates; and at the cluster, if a node of it answers at --addr. Each\n" +
			"probe ends after a second. It starts nothing, and changes nothing but for a file of some KiB in the data directory,\n" +
			"which is gone at once. Exit code 8 if something has failed; warnings alone are 0.",
		Example: a.example("doctor", "doctor --config server1.yaml", "doctor --data /var/lib/synod --listen 10.0.0.1 --addr 10.0.0.2:4700", "doctor --output json"),
		RunE: func(c *cobra.Command, _ []string) error {
			if _, err := settleFlags(c, f.config); err != nil {
				return err
			}
			found := a.checkup(c.Context(), f)
			if err := a.answer(found, func(w io.Writer) { a.showCheckup(w, found) }); err != nil {
				return err
			}
			if !found.Healthy {
				return silent(api.ExitUnhealthy)
			}
			return nil
		},
	}
	f.add(c)
	c.Flags().VisitAll(func(flag *pflag.Flag) { flag.Hidden = !doctorUses[flag.Name] })
	return c
}

// checkup looks at everything. What cannot be looked at is a finding too.
func (a *app) checkup(ctx context.Context, f *startFlags) checkup {
	client, err := a.client()
	if err == nil {
		defer client.Close()
	}
	m := f.machine(a.addrs())
	if client != nil {
		m.Running = f.runs(ctx, client)
	}
	found := checkup{Machine: append(doctor.Look(ctx, m), a.certificateFinding(f))}
	if err != nil {
		found.Cluster = []doctor.Finding{a.unreached(err)}
	} else {
		found.Cluster = a.clusterFindings(ctx, client)
	}
	found.Healthy = true
	for _, list := range [][]doctor.Finding{found.Machine, found.Cluster} {
		for _, finding := range list {
			found.Healthy = found.Healthy && finding.State != doctor.Fail
		}
	}
	return found
}

// machine is what a node with these flags needs of its machine.
func (f *startFlags) machine(addrs []string) doctor.Machine {
	return doctor.Machine{Dir: f.dir(), Listen: f.listen, Advertise: f.advertise, Ports: f.ports, Peers: append(addrs, f.join...)}
}

// runs returns the node's name if it holds its port of the API already.
func (f *startFlags) runs(ctx context.Context, client *api.Client) string {
	ctx, cancel := context.WithTimeout(ctx, doctor.ProbeTimeout)
	defer cancel()
	document, err := client.Fetch(ctx, net.JoinHostPort(cmp.Or(f.advertise, f.listen), strconv.Itoa(f.ports[0])), "/livez", "text/plain", 1024)
	if err != nil || document.Node != f.name {
		return ""
	}
	return document.Node
}

func (a *app) showCheckup(w io.Writer, found checkup) {
	counts := map[doctor.State]int{}
	for _, part := range []struct {
		title string
		list  []doctor.Finding
	}{{"MACHINE", found.Machine}, {"CLUSTER", found.Cluster}} {
		fmt.Fprintln(w, part.title)
		for _, f := range part.list {
			counts[f.State]++
			fmt.Fprintf(w, "%-4s  %-14s  %s\n", f.State, f.Name, f.Value)
			if f.State != doctor.OK {
				fmt.Fprintf(w, "      why  %s\n      do   %s\n", f.Why, a.ownName(f.Do))
			}
		}
	}
	fmt.Fprintf(w, "%d ok, %d to look at, %d failed\n", counts[doctor.OK], counts[doctor.Warn], counts[doctor.Fail])
}

// certificateFinding looks at the files of TLS and gossip.
func (a *app) certificateFinding(f *startFlags) doctor.Finding {
	finding := doctor.Finding{Name: "certificates", State: doctor.OK, Why: "without them, or after they have expired, nobody beyond this machine is let in"}
	material, err := a.loadTLS()
	if err == nil && material != nil && (f.config != "" || material.Identity().Role == cluster.RoleNode) { // a client's is for its own machine
		err = f.checkCertificate(material)
	}
	if err == nil {
		_, err = loadGossipKeys(f.gossipKey)
	}
	e, is := err.(*api.Error)
	switch {
	case is:
		finding.State, finding.Value, finding.Do = doctor.Fail, strings.TrimSuffix(e.Message+": "+e.Why, ": "), strings.Join(e.Do, ", or ")
	case material == nil:
		finding.Value = "no TLS: for this machine alone, or a network that is trusted"
	default:
		id, until := material.Identity(), material.State().Until
		left := int(time.Until(until) / (24 * time.Hour))
		finding.Value = fmt.Sprintf("of %s %s, valid for %d days", id.Role, id.Name, left)
		if left < 30 {
			finding.State, finding.Do = doctor.Warn, "node tls renew "+id.Name
		}
	}
	return finding
}
