package chaos

import (
	"fmt"
	"os"
	"os/exec"
	"strings"

	"golang.org/x/sys/unix"
)

// Network is a switch in the host with one network namespace for each node, and
// for each guest: a client that can be cut off too, numbered behind the nodes.
// Rules cut nodes and guests off from each other; other clients, who sit at the
// switch, reach every node always, so that they can ask a deposed leader.
type Network struct {
	host   *Host
	spaces []*os.File // by number
}

// Rule says what of one direction between two of them is lost.
type Rule struct {
	From, To int
	Loss     int // percent, 1 to 100
}

// clientAddress is where clients sit on the switch.
const clientAddress = "10.47.0.254"

// NewNetwork makes a switch with namespaces for nodes and guests.
func NewNetwork(host *Host, members int) (*Network, error) {
	n := &Network{host: host}
	return n, host.Do(func() error {
		if err := command("ip", "link", "add", "switch", "type", "bridge"); err != nil {
			return err
		}
		if err := command("ip", "address", "add", clientAddress+"/24", "dev", "switch"); err != nil {
			return err
		}
		if err := command("ip", "link", "set", "switch", "up"); err != nil {
			return err
		}
		for node := range members {
			if err := n.attach(node); err != nil {
				return err
			}
		}
		return nil
	})
}

// attach makes the namespace of a node; it runs on the host's thread.
func (n *Network) attach(node int) error {
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		return fmt.Errorf("chaos: new network namespace: %w", err)
	}
	space, err := openNetwork()
	if back := unix.Setns(int(n.host.inside.Fd()), unix.CLONE_NEWNET); back != nil {
		panic(fmt.Sprintf("chaos: cannot return to the host's network: %v", back))
	}
	if err != nil {
		return err
	}
	n.spaces = append(n.spaces, space)
	outer, path := fmt.Sprintf("port%d", node), fmt.Sprintf("/proc/%d/fd/%d", os.Getpid(), space.Fd())
	for _, line := range []string{
		"link add " + outer + " type veth peer name eth0 netns " + path,
		"link set " + outer + " master switch up",
	} {
		if err := command("ip", strings.Fields(line)...); err != nil {
			return err
		}
	}
	return n.within(node, func() error {
		for _, line := range []string{
			"link set lo up",
			"address add " + n.Address(node) + "/24 dev eth0",
			"link set eth0 up",
		} {
			if err := command("ip", strings.Fields(line)...); err != nil {
				return err
			}
		}
		return nil
	})
}

// within runs f on the host's thread inside a node's namespace.
func (n *Network) within(node int, f func() error) error {
	if err := unix.Setns(int(n.spaces[node].Fd()), unix.CLONE_NEWNET); err != nil {
		return fmt.Errorf("chaos: enter network of node %d: %w", node, err)
	}
	err := f()
	if back := unix.Setns(int(n.host.inside.Fd()), unix.CLONE_NEWNET); back != nil {
		panic(fmt.Sprintf("chaos: cannot return to the host's network: %v", back))
	}
	return err
}

// Address is the IP address of a node.
func (n *Network) Address(node int) string { return fmt.Sprintf("10.47.0.%d", node+1) }

// Space is the network namespace of a node.
func (n *Network) Space(node int) *os.File { return n.spaces[node] }

// Apply replaces all rules by the given ones: none heals the network. Packets are
// dropped where they arrive, without a word to the sender.
func (n *Network) Apply(rules []Rule) error {
	return n.host.Do(func() error {
		for node := range n.spaces {
			if err := n.within(node, func() error { return n.load(node, rules) }); err != nil {
				return err
			}
		}
		return nil
	})
}

// load installs the rules about what node receives, in one transaction.
func (n *Network) load(node int, rules []Rule) error {
	var script strings.Builder
	script.WriteString("table ip chaos\ndelete table ip chaos\ntable ip chaos {\n chain in {\n  type filter hook input priority 0;\n")
	for _, rule := range rules {
		switch {
		case rule.To != node:
		case rule.Loss >= 100:
			fmt.Fprintf(&script, "  ip saddr %s drop\n", n.Address(rule.From))
		default:
			fmt.Fprintf(&script, "  ip saddr %s numgen random mod 100 < %d drop\n", n.Address(rule.From), rule.Loss)
		}
	}
	script.WriteString(" }\n}\n")
	nft := exec.Command("nft", "-f", "-")
	nft.Stdin = strings.NewReader(script.String())
	if out, err := nft.CombinedOutput(); err != nil {
		return fmt.Errorf("chaos: nft: %w: %s\n%s", err, out, script.String())
	}
	return nil
}

// Close forgets the namespaces; the kernel removes them with their last process.
func (n *Network) Close() {
	for _, space := range n.spaces {
		space.Close()
	}
}

// boundsResending reports whether the kernel can be told how long TCP may wait until
// it sends again (Linux 6.15).
func boundsResending() bool {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return false
	}
	defer unix.Close(fd)
	return unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_RTO_MAX_MS, 1000) == nil
}
