package doctor

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"
)

var portFlags = [3]string{"--api-port", "--link-port", "--gossip-port"}

// ports listens at each port for a moment. That gossip has its port by UDP too is for datagrams to find out: both
// run at once, and each would take the other for another process.
func ports(_ context.Context, m Machine) Finding {
	list := fmt.Sprintf("%d, %d and %d", m.Ports[0], m.Ports[1], m.Ports[2])
	if m.Running != "" {
		return Finding{State: OK, Value: list + " are those of " + m.Running + ", which runs"}
	}
	for i, port := range m.Ports {
		address := net.JoinHostPort(m.Listen, strconv.Itoa(port))
		l, err := net.Listen("tcp", address)
		if err == nil {
			l.Close()
		}
		switch {
		case errors.Is(err, syscall.EADDRINUSE):
			return Finding{State: Fail, Value: address + " is taken by another process", Do: takenDo(port, portFlags[i])}
		case errors.Is(err, syscall.EADDRNOTAVAIL):
			return Finding{State: Fail, Value: m.Listen + " is not an address of this machine", Do: "--listen ADDRESS, one of  ip address"}
		case err != nil:
			return Finding{State: Fail, Value: address + ": " + reason(err), Do: "choose another with  " + portFlags[i]}
		}
	}
	return Finding{State: OK, Value: list + " at " + m.Listen + " are free"}
}

func takenDo(port int, flag string) string {
	return fmt.Sprintf("ss -lntup 'sport = :%d'  tells whose, or choose another with  %s", port, flag)
}

// datagrams sends one from the port of gossip to the address that the others are told.
func datagrams(ctx context.Context, m Machine) Finding {
	port := strconv.Itoa(m.Ports[2])
	to := net.JoinHostPort(cmp.Or(m.Advertise, m.Listen), port)
	if m.Running != "" {
		return Finding{State: OK, Value: "port " + port + " is that of " + m.Running + ": node members  tells whom it hears"}
	}
	do := "look for a rule that drops it:  nft list ruleset"
	own, err := net.ListenPacket("udp", net.JoinHostPort(m.Listen, port))
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return Finding{State: Fail, Value: "UDP port " + port + " is taken by another process", Do: takenDo(m.Ports[2], portFlags[2])}
	case err != nil:
		return Finding{State: Fail, Value: "UDP port " + port + ": " + reason(err), Do: "choose another with  --gossip-port"}
	}
	defer own.Close()
	address, err := net.ResolveUDPAddr("udp", to)
	if err == nil {
		_, err = own.WriteTo([]byte("synod doctor"), address)
	}
	if err != nil {
		return Finding{State: Fail, Value: to + ": " + reason(err), Do: do}
	}
	if deadline, ok := ctx.Deadline(); ok {
		_ = own.SetReadDeadline(deadline) // it is open
	}
	if _, _, err := own.ReadFrom(make([]byte, 64)); err != nil {
		return Finding{State: Warn, Value: "a datagram to " + to + " did not come back", Do: do}
	}
	return Finding{State: OK, Value: "a datagram to " + to + " arrives"}
}

var proxyVariables = []string{"HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"}

// proxies looks where a program that heeds the variables would send requests to nodes. Ours do not heed
// them; curl and the tasks do, and curl also for loopback.
func proxies(_ context.Context, m Machine) Finding {
	set := slices.DeleteFunc(slices.Clone(proxyVariables), func(name string) bool { return os.Getenv(name) == "" })
	if len(set) == 0 {
		return Finding{State: OK, Value: "no proxy is set"}
	}
	hosts := []string{"127.0.0.1", "localhost"}
	for _, peer := range m.Peers {
		if host, _, err := net.SplitHostPort(peer); err == nil {
			hosts = append(hosts, host)
		}
	}
	spared := strings.Split(cmp.Or(os.Getenv("NO_PROXY"), os.Getenv("no_proxy")), ",")
	var caught []string
	for _, host := range hosts {
		if !slices.Contains(caught, host) && !spares(spared, host) {
			caught = append(caught, host)
		}
	}
	if len(caught) == 0 {
		return Finding{State: OK, Value: strings.Join(set, ", ") + ", and NO_PROXY spares the nodes"}
	}
	return Finding{State: Warn, Value: strings.Join(set, ", ") + " catch requests to " + strings.Join(caught, ", "),
		Do: "export NO_PROXY=" + strings.Join(caught, ",")}
}

// spares reports whether an entry of NO_PROXY, as curl reads it, spares a host.
func spares(list []string, host string) bool {
	for _, entry := range list {
		entry = strings.TrimSpace(entry)
		suffix := strings.TrimPrefix(entry, "*")
		_, network, err := net.ParseCIDR(entry)
		switch {
		case entry == "":
		case entry == "*" || entry == host || strings.HasPrefix(suffix, ".") && strings.HasSuffix(host, suffix):
			return true
		case err == nil && network.Contains(net.ParseIP(host)):
			return true
		}
	}
	return false
}

// names resolves the advertised address, and those of the others.
func names(ctx context.Context, m Machine) Finding {
	advertised := cmp.Or(m.Advertise, m.Listen)
	ips, err := net.DefaultResolver.LookupHost(ctx, advertised)
	if err != nil {
		return Finding{State: Fail, Value: advertised + " has no address: " + reason(err), Do: "put it into /etc/hosts or the DNS, or  --advertise  an IP address"}
	}
	if !loopback(m.Listen) && loopback(ips[0]) {
		return Finding{State: Fail, Value: advertised + " is " + ips[0] + ", where other machines find themselves",
			Do: "take the name out of the line 127.0.1.1 of /etc/hosts, or  --advertise  an IP address"}
	}
	resolved := 0
	for _, peer := range m.Peers {
		host, _, err := net.SplitHostPort(peer)
		if net.ParseIP(host) != nil {
			continue
		}
		if err == nil {
			_, err = net.DefaultResolver.LookupHost(ctx, host)
			resolved++
		}
		if err != nil {
			return Finding{State: Fail, Value: peer + " has no address: " + reason(err), Do: "put it into /etc/hosts or the DNS, or give its IP address"}
		}
	}
	value := advertised
	if ips[0] != advertised {
		value += " is " + strings.Join(ips, ", ")
	}
	if resolved > 0 {
		value += ", and the others' names resolve"
	}
	return Finding{State: OK, Value: value}
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}
