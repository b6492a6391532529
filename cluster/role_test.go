package cluster

import (
	"crypto/tls"
	"os"
	"path/filepath"
	"testing"
)

func TestARoleMayDoWhatTheOnesBelowItMay(t *testing.T) {
	all := []Role{"", RoleNode, RoleAgent, RoleView, RoleUse, RoleOperate, RoleAdmin, RoleClient, "king"}
	may := map[Role][]Role{
		RoleView:    {RoleView},
		RoleUse:     {RoleView, RoleUse},
		RoleOperate: {RoleView, RoleUse, RoleOperate},
		RoleAdmin:   {RoleView, RoleUse, RoleOperate, RoleAdmin},
		RoleClient:  {RoleView, RoleUse, RoleOperate, RoleAdmin, RoleClient},
		RoleNode:    {RoleView, RoleUse, RoleOperate, RoleAdmin, RoleNode},
		RoleAgent:   {RoleAgent},
	}
	for _, role := range all {
		for _, need := range all {
			want := false
			for _, r := range may[role] {
				want = want || r == need
			}
			if got := role.May(need); got != want {
				t.Errorf("%q may do what takes %q: %v, want %v", role, need, got, want)
			}
		}
	}
}

// No role of a client opens the link, whatever it may do at the API.
func TestNoClientSpeaksOnTheLink(t *testing.T) {
	ca := authority(t, "prod")
	for _, role := range append(ClientRoles(), RoleAgent) {
		t.Run(string(role), func(t *testing.T) {
			w := newWorld(t)
			w.secure(ca)
			n := w.start(1)
			config := material(t, ca, IssueOptions{Role: role, Name: "stranger"}).ClientConfig()
			s := dialRaw(t, w, n)
			s.conn = tls.Client(s.conn, config)
			err := writeHandshake(s.conn, kindHello, helloOf(66))
			if err == nil {
				_, err = readHello(s.conn)
			}
			if err == nil {
				t.Fatalf("a certificate of role %s was let in", role)
			}
			w.close()
		})
	}
}

func TestAClientWithoutACertificateTrustsNodesOfItsAuthorityOnly(t *testing.T) {
	ca, other := authority(t, "prod"), authority(t, "prod")
	file := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(file, ca.CertificatePEM, 0o600); err != nil {
		t.Fatal(err)
	}
	config, err := LoadAuthorities(file)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		server *TLS
		in     bool
	}{
		"a node":                      {material(t, ca, nodeOptions("n1")), true},
		"an agent":                    {material(t, ca, IssueOptions{Role: RoleAgent, Name: "a1"}), false},
		"a client":                    {material(t, ca, IssueOptions{Role: RoleAdmin, Name: "eve"}), false},
		"a node of another authority": {material(t, other, nodeOptions("n1")), false},
	} {
		server := c.server.ServerConfig()
		server.ClientAuth, server.VerifyConnection = tls.NoClientCert, nil
		l, err := tls.Listen("tcp", "127.0.0.1:0", server)
		if err != nil {
			t.Fatal(err)
		}
		go func() {
			if conn, err := l.Accept(); err == nil {
				_ = conn.(*tls.Conn).HandshakeContext(t.Context())
				conn.Close()
			}
		}()
		conn, err := (&tls.Dialer{Config: config}).DialContext(t.Context(), "tcp", l.Addr().String())
		if (err == nil) != c.in {
			t.Errorf("%s: %v", name, err)
		}
		if err == nil {
			conn.Close()
		}
		l.Close()
	}
	if _, err := LoadAuthorities(filepath.Join(t.TempDir(), "nosuch")); err == nil {
		t.Error("a file that is not there is taken")
	}
}
