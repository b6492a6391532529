package main

import (
	"cmp"
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"time"

	"github.com/spf13/cobra"

	"github.com/synod-go/synod/api"
	"github.com/synod-go/synod/cluster"
)

// aliveCommand is the health check of an agent in a container. The agent's port is for nodes
// alone, so nothing is asked: that it accepts, and proves to be who this is, says enough.
func (a *app) aliveCommand() *cobra.Command {
	return &cobra.Command{
		Use: "alive [HOST:PORT]", Short: "the health check of an agent in a container: does it accept connections", Args: cobra.MaximumNArgs(1), Hidden: true,
		Example: a.example("alive 127.0.0.1:4705"),
		RunE: func(c *cobra.Command, args []string) error {
			addr := "127.0.0.1:4705"
			if len(args) == 1 {
				addr = args[0]
			}
			return a.alive(c.Context(), addr)
		},
	}
}

func (a *app) alive(ctx context.Context, addr string) error {
	material, err := a.loadTLS()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, cmp.Or(a.timeout, time.Second))
	defer cancel()
	if err := greet(ctx, addr, material); err != nil {
		return &api.Error{Code: api.CodeReach, Message: "no agent is alive at " + addr, Why: plain(err)}
	}
	return nil
}

// greet opens a connection to the process that has our own certificate.
func greet(ctx context.Context, addr string, material *cluster.TLS) error {
	if material == nil {
		conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", addr)
		if err != nil {
			return err
		}
		return conn.Close()
	}
	self := material.Identity()
	conn, err := (&tls.Dialer{Config: material.ClientConfig(self.Role)}).DialContext(ctx, "tcp", addr)
	if err != nil {
		return err
	}
	defer conn.Close()
	other, err := cluster.PeerIdentity(conn.(*tls.Conn).ConnectionState())
	if err == nil && other.Name != self.Name {
		err = fmt.Errorf("it is %s, and not %s", other.Name, self.Name)
	}
	return err
}
