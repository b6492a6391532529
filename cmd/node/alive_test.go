package main

import (
	"context"
	"crypto/tls"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/synod-go/synod/cluster"
)

// identity makes the certificate of an agent and reads it.
func identity(t *testing.T, ca *cluster.CA, name string) *cluster.TLS {
	t.Helper()
	dir := t.TempDir()
	certificate, key, err := ca.Issue(cluster.IssueOptions{Role: cluster.RoleAgent, Name: name})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := writeSecrets(dir, map[string][]byte{"ca.pem": ca.CertificatePEM, "c.pem": certificate, "k.pem": key}); err != nil {
		t.Fatal(err)
	}
	material, err := cluster.LoadTLS(cluster.TLSFiles{Authorities: filepath.Join(dir, "ca.pem"), Certificate: filepath.Join(dir, "c.pem"), Key: filepath.Join(dir, "k.pem")})
	if err != nil {
		t.Fatal(err)
	}
	return material
}

// TestAlive has an agent's port asked by itself, by another agent and without TLS, and then when
// it is closed.
func TestAlive(t *testing.T) {
	ca, err := cluster.NewCA("alive", 0)
	if err != nil {
		t.Fatal(err)
	}
	a1, a2 := identity(t, ca, "a1"), identity(t, ca, "a2")
	l, err := tls.Listen("tcp", "127.0.0.1:0", a1.ServerConfig(cluster.RoleNode)) // for nodes alone, as an agent's
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			_ = conn.(*tls.Conn).Handshake() // refuses agents
			_ = conn.Close()
		}
	}()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	addr := l.Addr().String()
	if err := greet(ctx, addr, a1); err != nil {
		t.Errorf("a1 finds itself dead: %v", err)
	}
	if err := greet(ctx, addr, a2); err == nil || !strings.Contains(err.Error(), "it is a1, and not a2") {
		t.Errorf("a2 takes a1 for itself: %v", err)
	}
	if err := greet(ctx, addr, nil); err != nil {
		t.Errorf("the port is closed: %v", err)
	}
	_ = l.Close()
	<-done
	for _, material := range []*cluster.TLS{a1, nil} {
		if err := greet(ctx, addr, material); err == nil {
			t.Error("a closed port is alive")
		}
	}
	// A process that hangs accepts, by the kernel, and never says who it is.
	hung, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer hung.Close()
	short, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := greet(short, hung.Addr().String(), a1); err == nil {
		t.Error("a process that says nothing is alive")
	}
}
