package chaos

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// refused starts a node that must end by itself within limit, with code, and with
// each of texts in what it prints.
func refused(t *testing.T, c *Cluster, name string, args []string, code int, texts ...string) {
	t.Helper()
	log := filepath.Join(c.config.Dir, name+".log")
	p, err := StartProcess(c.config.Host, nil, name, log, append(append([]string(nil), c.config.Program...), args...))
	if err != nil {
		t.Fatal(err)
	}
	defer p.Kill()
	got, err := p.Ended(15 * time.Second)
	out, readErr := os.ReadFile(log)
	if err = errors.Join(err, readErr); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if got != code {
		t.Errorf("exit code %d, want %d:\n%s", got, code, out)
	}
	for _, text := range texts {
		if !strings.Contains(string(out), text) {
			t.Errorf("no %q in\n%s", text, out)
		}
	}
	if bytes.Contains(out, []byte("panic:")) || bytes.Contains(out, []byte("goroutine ")) {
		t.Errorf("it panics:\n%s", out)
	}
}

// extra is the spec of one more node next to those of c.
func extra(c *Cluster, name, dir string) NodeSpec {
	host := fmt.Sprintf("127.200.0.%d", len(name))
	return NodeSpec{Name: name, Dir: dir, Host: host, API: host + ":4700", Link: host + ":4701", Gossip: host + ":4702",
		Voters: len(c.Nodes), Engine: c.config.Engine, Join: []string{c.Nodes[0].Gossip}}
}

func TestTheSameDirectoryTwiceIsRefused(t *testing.T) {
	c := smallCluster(t, 1, nil)
	spec := extra(c, "twice", c.Nodes[0].Dir)
	spec.Name = c.Nodes[0].Name
	refused(t, c, "twice", NodeArguments(spec), 1, "E-LOCKED", c.Nodes[0].Dir)
	write(t, c, "after", "1", 10*time.Second)
}

func TestTakenPortsAreRefused(t *testing.T) {
	c := smallCluster(t, 1, nil)
	spec := extra(c, "port", filepath.Join(c.config.Dir, "port"))
	spec.Host = c.Nodes[0].Host
	refused(t, c, "port", NodeArguments(spec), 1, "E-PORT", "4701", "--link-port")
}

func TestAWideAddressNeedsPermission(t *testing.T) {
	c := smallCluster(t, 1, nil)
	spec := extra(c, "wide", filepath.Join(c.config.Dir, "wide"))
	spec.Host = "10.99.0.1"
	refused(t, c, "wide", NodeArguments(spec), 2, "E-INSECURE", "--insecure")
}

func TestANewerDirectoryIsRefused(t *testing.T) {
	c := smallCluster(t, 1, nil)
	if err := c.Stop(0, 15*time.Second); err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(c.Nodes[0].Dir, "identity")
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	binary.LittleEndian.PutUint32(data[8:], 99)
	table := crc32.MakeTable(crc32.Castagnoli)
	binary.LittleEndian.PutUint32(data[12:], crc32.Update(crc32.Checksum(data[:12], table), table, data[16:]))
	if err := os.WriteFile(name, data, 0o600); err != nil {
		t.Fatal(err)
	}
	refused(t, c, "newer", NodeArguments(c.Nodes[0].NodeSpec), 1, "E-FORMAT", "99")
}

func TestADirectoryOfAnotherNodeIsRefused(t *testing.T) {
	c := smallCluster(t, 1, nil)
	if err := c.Stop(0, 15*time.Second); err != nil {
		t.Fatal(err)
	}
	spec := c.Nodes[0].NodeSpec
	spec.Name = "other"
	refused(t, c, "other", NodeArguments(spec), 1, "E-CLUSTER", "other")
}

func TestDamagedIdentityIsRefused(t *testing.T) {
	c := smallCluster(t, 1, nil)
	if err := c.Stop(0, 15*time.Second); err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(c.Nodes[0].Dir, "identity")
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	data[20] ^= 1
	if err := os.WriteFile(name, data, 0o600); err != nil {
		t.Fatal(err)
	}
	refused(t, c, "damaged", NodeArguments(c.Nodes[0].NodeSpec), 1, "E-DAMAGE")
}

func TestAReadOnlyDirectoryIsRefused(t *testing.T) {
	needs(t, true, "mkfs.ext4", "mount")
	c := smallCluster(t, 1, func(c *ClusterConfig) { c.Disk = "ext4" })
	if err := c.Stop(0, 15*time.Second); err != nil {
		t.Fatal(err)
	}
	if err := c.Nodes[0].Disk.ReadOnly(); err != nil {
		t.Fatal(err)
	}
	refused(t, c, "readonly", NodeArguments(c.Nodes[0].NodeSpec), 1, "E-DATA")
}

func TestANodeOfAnotherClusterStaysOut(t *testing.T) {
	c := smallCluster(t, 3, nil)
	// It founds a cluster of its own, then is told to join this one.
	foreign := extra(c, "foreign", filepath.Join(c.config.Dir, "foreign"))
	foreign.Bootstrap, foreign.Join, foreign.Voters = true, nil, 1
	argv := append(append([]string(nil), c.config.Program...), NodeArguments(foreign)...)
	p, err := StartProcess(c.config.Host, nil, "foreign", filepath.Join(c.config.Dir, "foreign.log"), argv)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Kill()
	err = poll(15*time.Second, func() error {
		status, err := c.HTTP.Status(t.Context(), foreign.API)
		if err == nil && status.Role != "leader" {
			err = errors.New("it does not lead itself yet")
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	p.Kill()
	foreign.Bootstrap, foreign.Join = false, []string{c.Nodes[0].Gossip}
	argv = append(append([]string(nil), c.config.Program...), NodeArguments(foreign)...)
	again, err := StartProcess(c.config.Host, nil, "foreign", filepath.Join(c.config.Dir, "foreign.log"), argv)
	if err != nil {
		t.Fatal(err)
	}
	defer again.Kill()
	for _, log := range []string{again.Log, c.Nodes[0].Log} {
		err := poll(15*time.Second, func() error {
			out, err := os.ReadFile(log)
			if err == nil && !bytes.Contains(out, []byte("node of another cluster")) {
				err = fmt.Errorf("%s does not say that two clusters meet", log)
			}
			return err
		})
		if err != nil {
			t.Error(err)
		}
	}
	for n := range 200 {
		write(t, c, "during", fmt.Sprint(n), 10*time.Second)
	}
	for n := range c.Nodes {
		status, err := c.Status(t.Context(), n)
		if err != nil || status.Voters != 3 {
			t.Errorf("%s counts %d voters, %v", c.Nodes[n].Name, status.Voters, err)
		}
	}
	var members struct {
		Members []struct {
			Name string `json:"name"`
		} `json:"members"`
	}
	if err := c.HTTP.JSON(t.Context(), c.Nodes[0].API, "/v1/members?local", &members); err != nil {
		t.Fatal(err)
	}
	for _, m := range members.Members {
		if m.Name == "foreign" {
			t.Errorf("the foreign node is a member: %+v", members)
		}
	}
	if err := c.Unplanned(); err != nil {
		t.Error(err)
	}
}

// Two clusters with keys and certificates of their own on one network.
func TestWrongKeysStayOut(t *testing.T) {
	needs(t, true)
	argv, err := program()
	if err != nil {
		t.Fatal(err)
	}
	host, err := NewHost(true)
	if err != nil {
		t.Skipf("needs namespaces: %v", err)
	}
	defer host.Close()
	dir := runDir(t)
	tool := func(args ...string) {
		t.Helper()
		if err := host.Do(func() error { return command(argv[0], args...) }); err != nil {
			t.Fatal(err)
		}
	}
	for _, set := range []string{"right", "wrong"} {
		tool("tls", "init", "--dir", filepath.Join(dir, set), "--cluster", "demo")
		for _, node := range []string{"n1", "stranger"} {
			tool("tls", "issue", node, "--dir", filepath.Join(dir, set), "--host", "127.200.0.1")
		}
	}
	arguments := func(certificates, key, name, host string) []string {
		spec := NodeSpec{Name: name, Dir: filepath.Join(dir, name+certificates+key), Host: host, Voters: 3, Engine: *engineFlag, Join: []string{"127.200.0.1:4702"}}
		if name == "n1" {
			spec.Bootstrap, spec.Join = true, nil
		}
		at := func(file string) string { return filepath.Join(dir, certificates, file) }
		return append(NodeArguments(spec), "--tls-ca", at("ca.pem"), "--tls-cert", at(name+".pem"), "--tls-key", at(name+"-key.pem"),
			"--gossip-key", filepath.Join(dir, key, "gossip.key"))
	}
	first, err := StartProcess(host, nil, "n1", filepath.Join(dir, "n1.log"), append([]string{argv[0]}, arguments("right", "right", "n1", "127.200.0.1")...))
	if err != nil {
		t.Fatal(err)
	}
	defer first.Kill()
	var strangers []*Process
	wrong := []struct{ certificates, key string }{{"wrong", "wrong"}, {"wrong", "right"}, {"right", "wrong"}}
	for i, c := range wrong {
		log := filepath.Join(dir, fmt.Sprintf("stranger%d.log", i))
		stranger, err := StartProcess(host, nil, "stranger", log, append([]string{argv[0]}, arguments(c.certificates, c.key, "stranger", fmt.Sprintf("127.200.0.%d", i+2))...))
		if err != nil {
			t.Fatal(err)
		}
		defer stranger.Kill()
		strangers = append(strangers, stranger)
	}
	for i, stranger := range strangers {
		err := poll(20*time.Second, func() error {
			out, err := os.ReadFile(stranger.Log)
			if err == nil && !bytes.Contains(out, []byte("not ready yet")) && !bytes.Contains(out, []byte("error E-")) {
				err = errors.New("it does not say that it has no place")
			}
			return err
		})
		out, _ := os.ReadFile(stranger.Log)
		if err != nil {
			t.Errorf("%+v: %v\n%s", wrong[i], err, out)
		}
		if bytes.Contains(out, []byte(`"msg":"ready"`)) || bytes.Contains(out, []byte("panic:")) {
			t.Errorf("%+v: it is ready, or panics:\n%s", wrong[i], out)
		}
	}
	if !first.Alive() {
		t.Fatal("the node with the right keys ended")
	}
	out, _ := os.ReadFile(first.Log)
	if bytes.Contains(out, []byte(`"member":"stranger"`)) {
		t.Errorf("a stranger was let in:\n%s", out)
	}
}
