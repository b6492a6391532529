package cluster

import (
	"context"
	"log"
	"net"
	"sync/atomic"
	"time"

	"github.com/hashicorp/memberlist"
)

// maxLatePackets bounds the packets of gossip that wait for their time; more are lost, as on
// a network.
const maxLatePackets = 1024

// faultyTransport is memberlist's transport with faults: packets to a cut address are lost,
// those to a slow one late.
type faultyTransport struct {
	*memberlist.NetTransport
	faults *Faults
	late   atomic.Int64
}

// transport is what gossip sends by; nil is memberlist's own.
func (f *Faults) transport(c *memberlist.Config, logger *log.Logger) (memberlist.Transport, error) {
	if f == nil {
		return nil, nil
	}
	inner, err := memberlist.NewNetTransport(&memberlist.NetTransportConfig{BindAddrs: []string{c.BindAddr}, BindPort: c.BindPort, Logger: logger})
	if err != nil {
		return nil, err
	}
	if c.BindPort == 0 {
		c.BindPort = inner.GetAutoBindPort()
		c.AdvertisePort = c.BindPort
	}
	return &faultyTransport{NetTransport: inner, faults: f}, nil
}

func (t *faultyTransport) WriteTo(b []byte, addr string) (time.Time, error) {
	return t.WriteToAddress(b, memberlist.Address{Addr: addr})
}

func (t *faultyTransport) WriteToAddress(b []byte, to memberlist.Address) (time.Time, error) {
	fault, _ := t.faults.of(to.Addr)
	switch {
	case fault.Cut:
		return time.Now(), nil
	case fault.Delay <= 0:
		return t.NetTransport.WriteToAddress(b, to)
	case t.late.Add(1) > maxLatePackets:
		t.late.Add(-1)
		return time.Now(), nil
	}
	b = append([]byte(nil), b...)
	time.AfterFunc(fault.Delay, func() {
		t.late.Add(-1)
		_, _ = t.NetTransport.WriteToAddress(b, to) // one that is lost is one that is lost
	})
	return time.Now(), nil
}

func (t *faultyTransport) DialTimeout(addr string, timeout time.Duration) (net.Conn, error) {
	return t.DialAddressTimeout(memberlist.Address{Addr: addr}, timeout)
}

func (t *faultyTransport) DialAddressTimeout(to memberlist.Address, timeout time.Duration) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	return t.faults.dial(ctx, to.Addr, func(ctx context.Context, _ string) (net.Conn, error) {
		deadline, _ := ctx.Deadline()
		return t.NetTransport.DialAddressTimeout(to, time.Until(deadline))
	})
}
