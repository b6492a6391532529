package cluster

import (
	"bytes"
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// holder is who keeps a TLS in files.
type holder struct {
	files TLSFiles
	tls   *TLS
}

func newHolder(t *testing.T, authorities []byte, ca *CA, o IssueOptions) *holder {
	t.Helper()
	dir := t.TempDir()
	h := &holder{files: TLSFiles{filepath.Join(dir, "ca"), filepath.Join(dir, "cert"), filepath.Join(dir, "key")}}
	h.write(t, authorities, ca, o)
	var err error
	if h.tls, err = LoadTLS(h.files); err != nil {
		t.Fatal(err)
	}
	return h
}

// write replaces the files, and leaves alone what is nil.
func (h *holder) write(t *testing.T, authorities []byte, ca *CA, o IssueOptions) {
	t.Helper()
	contents := map[string][]byte{}
	if authorities != nil {
		contents[h.files.Authorities] = authorities
	}
	if ca != nil {
		certificate, key, err := ca.Issue(o)
		if err != nil {
			t.Fatal(err)
		}
		contents[h.files.Certificate], contents[h.files.Key] = certificate, key
	}
	for name, data := range contents {
		if err := os.WriteFile(name, data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// meets makes a connection from one to the other, both by the configurations that they had from the start.
func meets(t *testing.T, server, client *tls.Config) error {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	failed := make(chan error, 1)
	go func() {
		conn, err := listener.Accept()
		if err == nil {
			err = tls.Server(conn, server).Handshake()
			conn.Close()
		}
		failed <- err
	}()
	conn, err := net.Dial("tcp", listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	err = tls.Client(conn, client).Handshake()
	if err != nil {
		conn.Close()
	}
	return errors.Join(err, <-failed)
}

func TestAnAuthorityIsReplacedWhileAllMeet(t *testing.T) {
	old, fresh := authority(t, "prod"), authority(t, "prod")
	both, swapped := slices.Concat(old.CertificatePEM, fresh.CertificatePEM), slices.Concat(fresh.CertificatePEM, old.CertificatePEM)
	nodes := []*holder{newHolder(t, old.CertificatePEM, old, nodeOptions("n1")), newHolder(t, old.CertificatePEM, old, nodeOptions("n2"))}
	server, client := nodes[0].tls.ServerConfig(RoleNode), nodes[1].tls.ClientConfig(RoleNode)
	for i, step := range []struct {
		authorities []byte
		ca          *CA
	}{{old.CertificatePEM, nil}, {both, nil}, {swapped, nil}, {nil, fresh}, {fresh.CertificatePEM, nil}} {
		for j, n := range nodes { // one after the other: between them they differ
			n.write(t, step.authorities, step.ca, IssueOptions{Role: RoleNode, Name: n.tls.Identity().Name})
			if err := n.tls.Refresh(); err != nil {
				t.Fatalf("step %d of node %d: %v", i, j, err)
			}
			if err := meets(t, server, client); err != nil {
				t.Fatalf("after step %d of node %d they do not meet: %v", i, j, err)
			}
		}
	}
	if got := nodes[0].tls.State().Authorities; len(got) != 1 || got[0] != Fingerprint(fresh.certificate.Raw) {
		t.Errorf("it trusts %v, want the new authority alone", got)
	}
	if err := meets(t, server, material(t, old, nodeOptions("late")).ClientConfig()); err == nil {
		t.Error("a certificate of the authority that was taken away is let in")
	}
}

func TestFilesThatDoNotFitChangeNothing(t *testing.T) {
	ca, other := authority(t, "prod"), authority(t, "staging")
	h := newHolder(t, ca.CertificatePEM, ca, nodeOptions("n1"))
	var text bytes.Buffer
	h.tls.LogTo(slog.New(slog.NewTextHandler(&text, nil)))
	peer := material(t, ca, nodeOptions("n2"))
	for name, spoil := range map[string]func(){
		"another name":     func() { h.write(t, nil, ca, nodeOptions("n9")) },
		"another cluster":  func() { h.write(t, nil, other, nodeOptions("n1")) },
		"half a file":      func() { os.WriteFile(h.files.Certificate, []byte("-----BEGIN CERT"), 0o600) },
		"no authority":     func() { os.WriteFile(h.files.Authorities, nil, 0o600) },
		"a key of another": func() { os.WriteFile(h.files.Key, ca.KeyPEM, 0o600) },
		"an endless file":  func() { os.WriteFile(h.files.Certificate, make([]byte, maxPEM+1), 0o600) },
		"no file":          func() { os.Remove(h.files.Key) },
	} {
		spoil()
		for range 2 { // the second time the log is told
			if err := h.tls.Refresh(); err == nil {
				t.Errorf("%s is taken", name)
			}
		}
		if err := meets(t, h.tls.ServerConfig(RoleNode), peer.ClientConfig(RoleNode)); err != nil {
			t.Errorf("%s: what held before is gone: %v", name, err)
		}
		h.write(t, ca.CertificatePEM, ca, nodeOptions("n1"))
		if err := h.tls.Refresh(); err != nil {
			t.Fatal(err)
		}
	}
	if !strings.Contains(text.String(), "is not used") || !strings.Contains(text.String(), "certificate replaced") {
		t.Errorf("the log tells %q, want both what was refused and what was taken", text.String())
	}
}
