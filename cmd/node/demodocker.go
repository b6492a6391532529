package main

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/synod-go/synod/api"
	"github.com/synod-go/synod/cluster"
)

// dockerDemo is a cluster in containers, in which hosts are cut off and killed.
type dockerDemo struct {
	*demo
	dock     *dock
	material *cluster.TLS
	ports    map[string]int         // of this machine, by node
	own      map[string]*api.Client // each asks one node alone
	hasty    *api.Client            // of the writer, who does not wait for a node that is cut off
	writer   *demoWriter
	dead     string    // the node that was killed
	tasks    int       // how many run
	began    time.Time // from when on no task may be silent
	ended    bool      // all is removed
	sweep    func(context.Context) error
}

// The containers of the demo. Nodes speak among themselves on one network and with agents and tasks on the other; by
// the third one this program reaches nodes, also those that are cut off from the others.
var (
	demoNodes  = []string{"n1", "n2", "n3"}
	demoAgents = []string{"a1", "a2"}
	demoNets   = []string{"control", "agents"}
)

const (
	demoDoor = "door"
	// demoFiles is a container that never runs: through it the volumes are filled and read.
	demoFiles = "files"
	// What is in the volumes, for tasks.
	demoLedgers = "ledgers"
	demoTLS     = "tls"
)

func (a *app) demoDockerCommand() *cobra.Command {
	d := &dockerDemo{demo: &demo{app: a}}
	c := &cobra.Command{
		Use: "docker", Short: "a cluster in containers: cut off the leader, docker kill a master and an elected task", Args: cobra.NoArgs,
		Long: "Make an image of this program alone, and start three nodes and two agents in containers, on networks of their own with\n" +
			"certificates of their own. Run tasks that are containers too, five of which elect a leader. Then cut off a minority,\n" +
			"cut off the leader, and docker kill the leading master and the elected member, and say what was seen: who leads, after what\n" +
			"time, whether every acknowledged write is there and whether a task was lost or run twice.\n\n" +
			"It needs a Docker engine on this machine (DOCKER_HOST, /var/run/docker.sock) and no registry. All that it makes has the\n" +
			"label synod.demo and is removed at its end, also after Ctrl-C and kill -9. It ends by itself with PASS (exit code 0) or\n" +
			"FAIL (1).",
		Example: a.example("demo docker", "demo docker --output json"),
		RunE:    func(c *cobra.Command, _ []string) error { return d.run(c.Context()) },
	}
	c.Flags().IntVar(&d.keys, "keys", 500, "how many keys to write")
	d.next = []string{"demo       the same without containers, in a few seconds", "help agent     runs Docker tasks on this machine"}
	return c
}

func (d *dockerDemo) run(ctx context.Context) (err error) {
	if err := d.checkKeys(); err != nil {
		return err
	}
	random := make([]byte, 3)
	_, _ = rand.Read(random) // never fails
	if d.dock, err = openDock(ctx, "synod-demo-"+hex.EncodeToString(random)); err != nil {
		return err
	}
	defer d.dock.engine.Close()
	if _, err := staticProgram(); err != nil {
		return err
	}
	d.acked, d.sweep = map[string]string{}, func(context.Context) error { return nil }
	defer func() {
		if d.ended {
			return
		}
		if _, failed := d.removeAll(context.WithoutCancel(ctx)); failed != nil {
			err = errors.Join(err, d.notRemoved(failed))
		}
	}()
	return d.perform(ctx, []demoAct{
		{"make an image, 3 networks, certificates", d.prepare},
		{"start 3 nodes, 2 agents (5 containers)", d.startAll},
		{fmt.Sprintf("put %d keys, and write on from now", d.keys), d.putKeys},
		{fmt.Sprintf("run %d tasks, %d elect a leader (containers)", demoChores+demoMembers, demoMembers), d.runTasks},
		{"cut off a minority: a node and an agent", d.cutMinority},
		{"cut off the leader", d.cutLeader},
		{"docker kill the leading master", d.killMaster},
		{"start it again", d.startKilled},
		{"docker kill the elected member", d.killMember},
		{"read all keys back", d.readAll},
		{"read the tasks' own ledgers", d.readLedgers},
		{"compare what the 3 nodes hold", d.compareNodes},
		{"remove all of it", d.removeAll},
	}, d.explain)
}

// explain keeps what containers said when the last act has failed.
func (d *dockerDemo) explain() {
	if last := d.steps[len(d.steps)-1]; !last.OK {
		ctx, cancel := context.WithTimeout(context.Background(), engineTime)
		defer cancel()
		d.dock.tell(ctx, slices.Concat(demoNodes, demoAgents), &d.logs)
	}
}

// removeAll ends everything, whatever there is.
func (d *dockerDemo) removeAll(ctx context.Context) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, sweepTime)
	defer cancel()
	if d.writer != nil {
		d.writer.end()
	}
	for _, client := range d.own {
		client.Close()
	}
	for _, client := range []*api.Client{d.client, d.hasty} {
		if client != nil {
			client.Close()
		}
	}
	gone, err := d.dock.remove(ctx, sweeperName, demoAgents...)
	if err == nil {
		err = d.sweep(ctx)
	}
	if err == nil {
		err = d.dock.removeImage(ctx)
	}
	d.ended = err == nil
	return gone.String() + " and the image", err
}

func (d *dockerDemo) notRemoved(err error) error {
	return &api.Error{Code: api.CodeData, Message: "not everything of the demo could be removed", Why: plain(err),
		Do: []string{"docker ps -aq --filter label=" + demoLabel + " | xargs -r docker rm -fv"}}
}

// prepare makes all that containers need.
func (d *dockerDemo) prepare(ctx context.Context) (string, error) {
	d.dock.removeOldImages(ctx)
	size, err := d.dock.importImage(ctx)
	if err != nil {
		return "", err
	}
	if d.sweep, err = d.dock.startSweeper(ctx); err != nil {
		return "", err
	}
	for _, name := range demoNets {
		if err := d.dock.addNetwork(ctx, name, true); err != nil {
			return "", err
		}
	}
	if err := d.dock.addNetwork(ctx, demoDoor, false); err != nil {
		return "", err
	}
	for _, name := range []string{demoLedgers, demoTLS} {
		if err := d.dock.addVolume(ctx, name); err != nil {
			return "", err
		}
	}
	if err := d.makeBoxes(ctx); err != nil {
		return "", err
	}
	return fmt.Sprintf("%s of %.1f MB, this program alone; Docker %s", d.dock.image(), float64(size)/1e6, d.dock.version), nil
}

// makeBoxes makes all containers, each with its own certificate.
func (d *dockerDemo) makeBoxes(ctx context.Context) (err error) {
	issue, err := newIssuer(d.dock.id)
	if err != nil {
		return err
	}
	if d.ports, err = demoPorts(demoNodes); err != nil {
		return err
	}
	boxes := append(d.nodeBoxes(), d.agentBoxes()...)
	boxes = append(boxes, box{name: demoFiles, role: cluster.RoleClient,
		volumes: map[string]string{"/ledgers": d.dock.name(demoLedgers), "/tls": d.dock.name(demoTLS)}})
	return parallel(len(boxes), len(boxes), func(i int) error {
		b := boxes[i]
		files, err := issue(b.name, b.role)
		if err == nil && b.role == cluster.RoleClient {
			d.material, err = cluster.NewTLS(files["ca.pem"], files["own.pem"], files["own-key.pem"])
		}
		if err == nil {
			err = d.dock.make(ctx, b)
		}
		if err == nil {
			err = d.dock.put(ctx, b.name, "/tls", files, map[bool]int{true: 0, false: demoUser}[b.root])
		}
		return err
	})
}

// newIssuer makes an authority and a gossip key, and returns what gives a container its files.
func newIssuer(name string) (func(name string, role cluster.Role) (map[string][]byte, error), error) {
	ca, err := cluster.NewCA(name, 0)
	if err != nil {
		return nil, err
	}
	var gossip [32]byte
	_, _ = rand.Read(gossip[:]) // never fails
	return func(name string, role cluster.Role) (map[string][]byte, error) {
		certificate, key, err := ca.Issue(cluster.IssueOptions{Role: role, Name: name, Hosts: []string{name, "127.0.0.1", "localhost"}})
		files := map[string][]byte{"ca.pem": ca.CertificatePEM, "own.pem": certificate, "own-key.pem": key}
		if role == cluster.RoleNode {
			files["gossip.key"] = []byte(base64.StdEncoding.EncodeToString(gossip[:]) + "\n")
		}
		return files, err
	}, nil
}

// demoPorts are free ports of this machine.
func demoPorts(names []string) (map[string]int, error) {
	ports, taken := map[string]int{}, map[int]bool{}
	for _, name := range names {
		port, err := freePort(0, taken)
		if err != nil {
			return nil, &api.Error{Code: api.CodePort, Message: "no free port on 127.0.0.1", Why: plain(err)}
		}
		ports[name], taken[port] = port, true
	}
	return ports, nil
}

// demoEnv is how programs in the containers reach the nodes.
func demoEnv(addr string) []string {
	return []string{"NODE_ADDR=" + addr, "NODE_TLS_CA=/tls/ca.pem", "NODE_TLS_CERT=/tls/own.pem", "NODE_TLS_KEY=/tls/own-key.pem"}
}

func (d *dockerDemo) nodeBoxes() (boxes []box) {
	for _, name := range demoNodes {
		args := []string{"start", "--name", name, "--data", "/data/" + name, "--listen", "0.0.0.0", "--advertise", name,
			"--gossip-key", "/tls/gossip.key", "--log-format", "text"}
		if name == demoNodes[0] {
			args = append(args, "--bootstrap")
		}
		for _, other := range demoNodes {
			if other != name {
				args = append(args, "--join", other+":4702")
			}
		}
		boxes = append(boxes, box{name: name, role: cluster.RoleNode, args: args, env: demoEnv(name + ":4700"), first: demoDoor, networks: demoNets,
			port: d.ports[name], volumes: map[string]string{"/data": "", "/tls": ""}})
	}
	return boxes
}

// demoAPI are the nodes as containers know them.
func demoAPI() string { return strings.Join(demoNodes, ":4700,") + ":4700" }

func (d *dockerDemo) agentBoxes() (boxes []box) {
	for _, name := range demoAgents {
		boxes = append(boxes, box{name: name, role: cluster.RoleAgent, root: true, socket: true, env: demoEnv(demoAPI()), first: "agents",
			volumes: map[string]string{"/data": "", "/tls": "", "/tmp": ""},
			args: []string{"agent", "--name", name, "--work", "/data/" + name, "--listen", "0.0.0.0", "--advertise", name, "--cgroup", "-",
				"--master", demoAPI(), "--resources", "cpus:2;mem:1024;ports:[31000-31099]", "--docker", "unix://" + engineSocket,
				"--docker-networks", d.dock.name("agents"), "--log-format", "text"}})
	}
	return boxes
}

// newClient asks nodes by the ports of this machine.
func (d *dockerDemo) newClient(timeout time.Duration, names ...string) (*api.Client, error) {
	var addrs []string
	for _, name := range names {
		addrs = append(addrs, net.JoinHostPort("127.0.0.1", strconv.Itoa(d.ports[name])))
	}
	return api.NewClient(api.ClientConfig{Addrs: addrs, TLS: d.clientTLS(), Timeout: timeout})
}

func (d *dockerDemo) clientTLS() *tls.Config { return d.material.ClientConfig(cluster.RoleNode) }
