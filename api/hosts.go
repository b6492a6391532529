package api

import (
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"sync/atomic"
)

// hosts decides for which Host a server answers. A web page can point its own name at this machine, and what the browser
// of somebody who may connect sends here then looks as if it were from a page of ours: but for its Host. Who has to say who it
// is cannot be had so.
type hosts struct {
	what  string   // the server, in words
	names []string // that are let in too
	open  bool     // nobody has to say who it is
	at    atomic.Int32
}

// Where a server listens.
const (
	nowhere    int32 = iota // on a listener of the caller's own, who checks
	atLoopback              // it answers for names of loopback
	atNetwork               // if it is open, it answers for addresses and names of its own
)

// listensAt notes where the server listens.
func (h *hosts) listensAt(addr net.Addr) {
	at := atNetwork
	if host, _, err := net.SplitHostPort(addr.String()); err != nil {
		at = nowhere
	} else if isLoopback(host) {
		at = atLoopback
	}
	h.at.Store(at)
}

// loopback reports whether the server listens there alone.
func (h *hosts) loopback() bool { return h.at.Load() == atLoopback }

// refuse says why the server does not answer a request to a host, nil if it does.
func (h *hosts) refuse(r *http.Request) *Error {
	host := hostOf(r.Host)
	e := &Error{Code: CodeHost, Message: fmt.Sprintf("this %s does not answer for the host %.200q", h.what, r.Host)}
	switch at := h.at.Load(); {
	case at == nowhere, isLoopback(host), slices.ContainsFunc(h.names, func(name string) bool { return strings.EqualFold(host, name) }):
		return nil
	case at == atLoopback:
		e.Why, e.Do = "it listens on loopback only", []string{"use 127.0.0.1 or localhost in the address"}
		return e
	case !h.open || isAddress(host) || isShort(host):
		return nil
	}
	e.Why = "nobody has to say who it is here, and a web page may have pointed its own name at this machine"
	e.Do = []string{"use the address of the machine", "or start the " + h.what + " with that name:  --advertise " + host}
	return e
}

// hostOf is the host of an address that may have a port.
func hostOf(hostport string) string {
	host, _, err := net.SplitHostPort(hostport)
	if err != nil {
		host = strings.Trim(hostport, "[]")
	}
	return strings.TrimSuffix(host, ".")
}

func isAddress(host string) bool {
	_, err := netip.ParseAddr(host)
	return err == nil
}

// isShort reports whether a name has one part, as machines of one network call each other, or none: no page of the web has
// such a name.
func isShort(host string) bool { return !strings.ContainsAny(host, ".:") }

func isLoopback(host string) bool {
	if strings.EqualFold(host, "localhost") {
		return true
	}
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback()
}
