package main

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"regexp"
	"strings"
	"syscall"

	"github.com/synod-go/synod/api"
	"github.com/synod-go/synod/cluster"
)

// portFlags name the ports of startFlags, in its order.
var portFlags = [3]string{"--api-port", "--link-port", "--gossip-port"}

// check finds what would keep the node from starting, or let it wait for ever,
// before anything is written.
func (f *startFlags) check(material *cluster.TLS, log *slog.Logger) error {
	if err := firstError(append(f.wrongAddresses(), f.checkCertificate(material))); err != nil {
		return err
	}
	return f.checkMachine(log)
}

// wrongAddresses are the ports and addresses that cannot be meant.
func (f *startFlags) wrongAddresses() (wrong []error) {
	for i, port := range f.ports {
		for j := range i {
			if port == f.ports[j] {
				wrong = append(wrong, &api.Error{Code: api.CodeUsage, Message: fmt.Sprintf("%s and %s are both %d", portFlags[j], portFlags[i], port),
					Why: "each needs a port of its own", Do: []string{"node start --help"}})
				break
			}
		}
	}
	for _, address := range f.join {
		if host, port, err := net.SplitHostPort(address); err != nil || host == "" || port == "" || strings.ContainsAny(address, " /") {
			wrong = append(wrong, &api.Error{Code: api.CodeUsage, Message: fmt.Sprintf("--join %q is not an address", address),
				Why: "it is HOST:PORT, the gossip address of a node of the cluster", Do: []string{"--join 127.0.0.1:4702"}})
		}
	}
	return wrong
}

// checkMachine finds what the machine has against the node, and says that it may wait for ever.
func (f *startFlags) checkMachine(log *slog.Logger) error {
	if err := f.checkPorts(); err != nil {
		return err
	}
	if files, err := os.ReadDir(cmp.Or(f.data, "data/"+f.name)); !f.bootstrap && len(f.join) == 0 && (err != nil || len(files) == 0) {
		log.Warn("no cluster to join: with neither --bootstrap nor --join this node waits until another one finds it", "node", f.name)
	}
	return closeDirectory(f.dir(), dataMode, log)
}

// firstError is the first that is not nil.
func firstError(all []error) error {
	for _, err := range all {
		if err != nil {
			return err
		}
	}
	return nil
}

func (f *startFlags) checkCertificate(material *cluster.TLS) error {
	if material == nil {
		return nil
	}
	if id := material.Identity(); id.Name != f.name || id.Role != cluster.RoleNode {
		return &api.Error{Code: api.CodeTLS, Message: fmt.Sprintf("node %s cannot use that certificate", f.name),
			Why: fmt.Sprintf("it is for the %s %s", id.Role, id.Name), Do: []string{"node tls issue " + f.name}}
	}
	return nil
}

// checkPorts tries the addresses of link and gossip: what memberlist says of a port in
// use has no type, and by then the data directory is made.
func (f *startFlags) checkPorts() error {
	addresses := f.addresses(f.listen)
	for i, address := range []string{addresses.Link, addresses.Gossip} {
		l, err := net.Listen("tcp", address)
		if err == nil && i == 1 {
			var p net.PacketConn
			if p, err = net.ListenPacket("udp", address); err == nil {
				p.Close()
			}
		}
		if l != nil {
			l.Close()
		}
		if err != nil {
			return listenError(address, portFlags[i+1], err)
		}
	}
	return nil
}

func listenError(addr, flag string, err error) error {
	e := &api.Error{Code: api.CodePort, Message: "cannot listen on " + addr, Why: plain(err), Do: []string{"choose another with " + flag}}
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		e.Why = "another process listens there"
		e.Do = append(e.Do, "or find who it is:  ss -lntup")
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		e.Why, e.Do = "that is not an address of this machine", []string{"--listen ADDRESS, one of this machine's"}
	}
	return e
}

var configField = regexp.MustCompile(`Config\.(Name|ClusterName|Voters|Priority|Heartbeat|Election|Lease|Join|Bootstrap|PaxosRoles)\b`)

// fieldFlags are the flags that are not called as their field.
var fieldFlags = map[string]string{"ClusterName": "--cluster", "PaxosRoles": "--roles"}

// configWords puts flags in the place of fields of synod.Config.
func configWords(text string) string {
	return configField.ReplaceAllStringFunc(text, func(field string) string {
		field = strings.TrimPrefix(field, "Config.")
		return cmp.Or(fieldFlags[field], "--"+strings.ToLower(field))
	})
}
