package cluster

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// material is a TLS for one holder.
func material(t testing.TB, ca *CA, o IssueOptions) *TLS {
	t.Helper()
	certificate, key, err := ca.Issue(o)
	if err != nil {
		t.Fatal(err)
	}
	m, err := NewTLS(ca.CertificatePEM, certificate, key)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func authority(t testing.TB, cluster string) *CA {
	t.Helper()
	ca, err := NewCA(cluster, 0)
	if err != nil {
		t.Fatal(err)
	}
	return ca
}

func nodeOptions(name string) IssueOptions { return IssueOptions{Role: RoleNode, Name: name} }

// secure gives each node of the world a certificate of ca.
func (w *world) secure(ca *CA) {
	w.tweak = func(c *LinkConfig) { c.TLS = material(w.t, ca, nodeOptions(c.Name)) }
}

func TestNodesWithCertificatesTalk(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		w.secure(authority(t, "prod")) // made in the bubble, whose clock stands in 2000
		a, b := w.start(1), w.start(2)
		b.echo.Store(true)
		a.send(2, 1)
		a.sendBulk(2, 2, 1<<20)
		settle()
		want(t, "received", b.terms(), []uint64{1, 2})
		w.kill(b)
		time.Sleep(time.Millisecond)
		want(t, "events", a.log(), []string{"up node2", "down node2"})
	})
}

func TestWhoHasNoNodeCertificateIsRefused(t *testing.T) {
	ca, foreign, stranger := authority(t, "prod"), authority(t, "staging"), authority(t, "prod")
	old := time.Now().Add(-48 * time.Hour)
	trusting := func(m *TLS) *TLS { m.now.Load().roots = material(t, ca, nodeOptions("x")).now.Load().roots; return m }
	for _, test := range []struct {
		name string
		tls  *TLS
	}{
		{"client certificate", material(t, ca, IssueOptions{Role: RoleClient, Name: "stranger"})},
		{"wrong authority", trusting(material(t, stranger, nodeOptions("stranger")))},
		{"other cluster and authority", trusting(material(t, foreign, nodeOptions("stranger")))},
		{"other cluster, same authority", otherCluster(t, ca)},
		{"expired", material(t, ca, IssueOptions{Role: RoleNode, Name: "stranger", Start: old, Life: time.Hour})},
		{"not yet valid", material(t, ca, IssueOptions{Role: RoleNode, Name: "stranger", Start: time.Now().Add(time.Hour)})},
		{"other name", material(t, ca, nodeOptions("somebody"))},
	} {
		t.Run(test.name, func(t *testing.T) {
			w := newWorld(t)
			w.secure(ca)
			n := w.start(1)
			// The stranger itself lets anyone in.
			config := test.tls.ClientConfig()
			config.VerifyConnection = nil
			s := dialRaw(t, w, n)
			s.conn = tls.Client(s.conn, config)
			err := writeHandshake(s.conn, kindHello, helloOf(66))
			if err == nil {
				_, err = readHello(s.conn)
			}
			if err == nil {
				t.Fatal("the stranger was let in")
			}
			w.close()
			if got := n.link.Stats().Refused[RefusedHandshake]; got != 1 {
				t.Fatalf("%d handshakes refused, want 1", got)
			}
		})
	}
}

func TestAForeignClusterIsBelievedOnlyUnderTheCertificatesName(t *testing.T) {
	ca := authority(t, "prod")
	for name, want := range map[string]int{"stranger": 1, "somebody": 0} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.secure(ca)
			n := w.start(1)
			told := 0
			n.link.config.OnForeign = func(string, string) { told++ }
			s := dialRaw(t, w, n)
			s.conn = tls.Client(s.conn, material(t, ca, nodeOptions(name)).ClientConfig(RoleNode))
			h := helloOf(66)
			h.Cluster = "other"
			refused := s.greet(h)
			w.close()
			if refused == "" || told != want {
				t.Fatalf("refused with %q, told %d times, want %d", refused, told, want)
			}
		})
	}
}

// otherCluster has a certificate of ca, but for a cluster that is not ca's.
func otherCluster(t *testing.T, ca *CA) *TLS {
	renamed := *ca
	renamed.cluster = "staging"
	return material(t, &renamed, nodeOptions("stranger"))
}

func TestADiallerRefusesAServerThatIsNoNode(t *testing.T) {
	ca := authority(t, "prod")
	for name, server := range map[string]*TLS{
		"client certificate": material(t, ca, IssueOptions{Role: RoleClient, Name: "x"}),
		"wrong authority":    material(t, authority(t, "prod"), nodeOptions("x")),
		"other cluster":      otherCluster(t, ca),
	} {
		t.Run(name, func(t *testing.T) {
			network := NewMemoryNetwork()
			listener, err := network.Host("b").Listen("b")
			if err != nil {
				t.Fatal(err)
			}
			client, err := network.Host("a").Dial(t.Context(), "b")
			if err != nil {
				t.Fatal(err)
			}
			conn, err := listener.Accept()
			if err != nil {
				t.Fatal(err)
			}
			go func() {
				config := server.ServerConfig()
				config.VerifyConnection = nil
				_ = tls.Server(conn, config).Handshake()
				_ = conn.Close()
			}()
			if err := tls.Client(client, material(t, ca, nodeOptions("a")).ClientConfig(RoleNode)).Handshake(); err == nil {
				t.Fatal("the server was accepted")
			}
			_ = client.Close()
		})
	}
}

func TestPlainTextAndNoiseOnATLSPort(t *testing.T) {
	noise := make([]byte, 4<<10)
	_, _ = rand.Read(noise)
	hello, _ := appendFrame(nil, kindHello, "", helloOf(66), maxHello)
	for name, data := range map[string][]byte{"plain text": hello, "noise": noise, "zeros": make([]byte, 4<<10)} {
		t.Run(name, func(t *testing.T) {
			ca := authority(t, "prod")
			w := newWorld(t)
			w.secure(ca)
			n := w.start(1)
			s := dialRaw(t, w, n)
			s.write(data)
			buffer := make([]byte, 1<<10)
			for {
				if _, err := s.conn.Read(buffer); err != nil {
					break // closed by the node
				}
			}
			w.close()
			if got := n.link.Stats().Refused[RefusedHandshake]; got != 1 {
				t.Fatalf("%d handshakes refused, want 1", got)
			}
		})
	}
}

func TestAPlainNodeCannotTalkToASecureOne(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		ca := authority(t, "prod")
		w.secure(ca)
		a := w.start(1)
		w.tweak = nil
		b := w.start(2)
		a.send(2, 1)
		b.send(1, 1)
		time.Sleep(10 * time.Second)
		if len(a.terms())+len(b.terms())+len(a.log())+len(b.log()) != 0 {
			t.Fatal("a message or an event passed between plain text and TLS")
		}
	})
}

func TestLoadTLSWantsAPrivateKey(t *testing.T) {
	ca, dir := authority(t, "prod"), t.TempDir()
	certificate, key, err := ca.Issue(IssueOptions{Role: RoleNode, Name: "n1", Hosts: []string{"localhost", "127.0.0.1"}})
	if err != nil {
		t.Fatal(err)
	}
	files := TLSFiles{filepath.Join(dir, "ca"), filepath.Join(dir, "cert"), filepath.Join(dir, "key")}
	for name, data := range map[string][]byte{files.Authorities: ca.CertificatePEM, files.Certificate: certificate, files.Key: key} {
		if err := os.WriteFile(name, data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	loaded, err := LoadTLS(files)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := loaded.Identity().String(), "synod://prod/node/n1"; got != want {
		t.Fatalf("identity %s, want %s", got, want)
	}
	if err := os.Chmod(files.Key, 0o640); err != nil {
		t.Fatal(err)
	}
	if _, err := LoadTLS(files); err == nil {
		t.Fatal("a key that a group may read was loaded")
	}
}

func TestBadTLSInput(t *testing.T) {
	ca := authority(t, "prod")
	certificate, key, err := ca.Issue(nodeOptions("n1"))
	if err != nil {
		t.Fatal(err)
	}
	for i, f := range []func() error{
		func() error { _, err := NewTLS(nil, certificate, key); return err },
		func() error { _, err := NewTLS(ca.CertificatePEM, nil, key); return err },
		func() error { _, err := NewTLS(ca.CertificatePEM, certificate, ca.KeyPEM); return err },
		func() error { _, err := NewTLS(ca.CertificatePEM, ca.CertificatePEM, ca.KeyPEM); return err },
		func() error { _, err := LoadCA(certificate, key); return err },
		func() error { _, err := NewCA("a b", 0); return err },
		func() error { _, _, err := ca.Issue(nodeOptions("a/b")); return err },
		func() error { _, _, err := ca.Issue(IssueOptions{Role: "root", Name: "a"}); return err },
	} {
		if f() == nil {
			t.Errorf("case %d gave no error", i)
		}
	}
	if again, err := LoadCA(ca.CertificatePEM, ca.KeyPEM); err != nil || again.cluster != "prod" {
		t.Fatalf("LoadCA: %+v, %v", again, err)
	}
}

func TestALinkWantsItsOwnNodeCertificate(t *testing.T) {
	ca := authority(t, "prod")
	w := newWorld(t)
	n := w.start(1)
	config := n.link.config
	config.Name = "n1"
	for _, o := range []IssueOptions{nodeOptions("n2"), {Role: RoleClient, Name: "n1"}} {
		config.TLS = material(t, ca, o)
		if _, err := NewLink(config); err == nil {
			t.Errorf("a link took the certificate of %+v", o)
		}
	}
}

func TestMemoryNetworkDialsNeedAListener(t *testing.T) {
	n := NewMemoryNetwork()
	if _, err := n.Host("a").Dial(t.Context(), "b"); err == nil {
		t.Fatal("dialled nobody")
	}
	if _, err := n.Host("b").Listen("b"); err != nil {
		t.Fatal(err)
	}
	if _, err := n.Host("c").Listen("b"); err == nil {
		t.Fatal("two listeners at one address")
	}
	n.CutOneWay("b", "a")
	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	if _, err := n.Host("a").Dial(ctx, "b"); err == nil {
		t.Fatal("dialled across a cut")
	}
	n.HealAll()
	if _, err := n.Host("a").Dial(t.Context(), "b"); err != nil {
		t.Fatal(err)
	}
	n.Kill("b")
	if _, err := n.Host("a").Dial(t.Context(), "b"); err == nil {
		t.Fatal("dialled a killed host")
	}
}

// Reconsider is called in a turn of a group, which must not wait for a peer that
// does not read.
func TestConnectionsEndWithoutWaitingForAPeerThatDoesNotRead(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		ca := authority(t, "prod")
		var known names
		w.tweak = func(c *LinkConfig) { c.Admit = known.admit }
		p := newPeer(w.start(1).link, 66)
		p.setName("stranger")
		secured := func() net.Conn {
			here, there := net.Pipe()
			t.Cleanup(func() { _ = there.Close() })
			client := tls.Client(there, material(t, ca, nodeOptions("stranger")).ClientConfig(RoleNode))
			server := tls.Server(here, material(t, ca, nodeOptions("node1")).ServerConfig(RoleNode))
			shaken := make(chan error)
			go func() { shaken <- client.Handshake() }()
			if err := errors.Join(server.Handshake(), <-shaken); err != nil {
				t.Fatal(err)
			}
			return server
		}
		up := func(epoch uint64) {
			p.outgoingUp(&outgoing{conn: secured(), name: "stranger", epoch: epoch})
			if !p.incomingUp(&incoming{link: p.link, peer: p, conn: secured(), name: "stranger", epoch: epoch}) {
				t.Fatalf("process %d is not let in", epoch)
			}
		}
		begun := time.Now()
		up(1)
		up(2)
		known.learn(66, "n66")
		p.reconsider()
		if took := time.Since(begun); took > 0 {
			t.Errorf("four connections have ended after %v", took)
		}
		if p.presence.out != nil || p.in != nil {
			t.Error("a connection is still known")
		}
	})
}
