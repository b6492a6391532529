package cluster

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"
)

// Role is what a certificate allows its holder to be.
type Role string

const (
	// RoleNode may speak on the link.
	RoleNode Role = "node"
	// RoleClient may speak to the API only.
	RoleClient Role = "client"
)

// Identity is what a certificate says in its URI, synod://CLUSTER/ROLE/NAME.
// CLUSTER is the name people gave the cluster when they made its certificates.
type Identity struct {
	Cluster string
	Role    Role
	Name    string
}

func (id Identity) uri() *url.URL {
	return &url.URL{Scheme: "synod", Host: id.Cluster, Path: "/" + string(id.Role) + "/" + id.Name}
}

// String returns the URI.
func (id Identity) String() string { return id.uri().String() }

func (id Identity) check() error {
	if id.Role != RoleNode && id.Role != RoleClient {
		return fmt.Errorf("cluster: role %q: want %q or %q", id.Role, RoleNode, RoleClient)
	}
	for _, part := range []string{id.Cluster, id.Name} {
		if part == "" || len(part) > maxName || strings.Trim(strings.ToLower(part), "abcdefghijklmnopqrstuvwxyz0123456789-_.") != "" {
			return fmt.Errorf("cluster: %q cannot stand in a certificate: want letters, digits, '-', '_' and '.'", part)
		}
	}
	return nil
}

// identityOf reads the one synod URI of a certificate.
func identityOf(c *x509.Certificate) (Identity, error) {
	var found []Identity
	for _, u := range c.URIs {
		role, name, ok := strings.Cut(strings.TrimPrefix(u.Path, "/"), "/")
		if u.Scheme == "synod" && ok {
			found = append(found, Identity{Cluster: u.Host, Role: Role(role), Name: name})
		}
	}
	if len(found) != 1 {
		return Identity{}, fmt.Errorf("cluster: certificate %q names %d synod identities, want one", c.Subject.CommonName, len(found))
	}
	return found[0], found[0].check()
}

// TLS is a node's or client's certificate with the authorities it trusts.
type TLS struct {
	certificate tls.Certificate
	roots       *x509.CertPool
	identity    Identity
}

// NewTLS reads PEM: the authorities' certificates, the own certificate with
// its chain, and its key.
func NewTLS(authorities, certificate, key []byte) (*TLS, error) {
	pair, err := tls.X509KeyPair(certificate, key)
	if err != nil {
		return nil, fmt.Errorf("cluster: certificate: %w", err)
	}
	identity, err := identityOf(pair.Leaf)
	if err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(authorities) {
		return nil, errors.New("cluster: no authority's certificate in the file")
	}
	return &TLS{certificate: pair, roots: roots, identity: identity}, nil
}

// TLSFiles names PEM files. Key must be readable by its owner alone (0600).
type TLSFiles struct{ Authorities, Certificate, Key string }

// LoadTLS reads the files.
func LoadTLS(f TLSFiles) (*TLS, error) {
	info, err := os.Stat(f.Key)
	if err != nil {
		return nil, fmt.Errorf("cluster: key: %w", err)
	}
	if info.Mode().Perm()&0o077 != 0 {
		return nil, fmt.Errorf("cluster: key %s may be read by others (mode %v): want 0600", f.Key, info.Mode().Perm())
	}
	var pems [3][]byte
	for i, name := range []string{f.Authorities, f.Certificate, f.Key} {
		if pems[i], err = os.ReadFile(name); err != nil {
			return nil, fmt.Errorf("cluster: TLS: %w", err)
		}
	}
	return NewTLS(pems[0], pems[1], pems[2])
}

// Identity returns what the own certificate says.
func (t *TLS) Identity() Identity { return t.identity }

// ServerConfig returns a TLS 1.3 configuration that lets in peers of the same
// cluster with one of the roles. With no roles any holder of a certificate of
// the cluster gets in.
func (t *TLS) ServerConfig(roles ...Role) *tls.Config {
	c := t.config(roles, x509.ExtKeyUsageClientAuth)
	c.ClientAuth = tls.RequireAnyClientCert // verified in VerifyConnection
	return c
}

// ClientConfig returns a TLS 1.3 configuration that accepts servers of the
// same cluster with one of the roles. The host's name plays no part: the
// certificate names a node, not a machine.
func (t *TLS) ClientConfig(roles ...Role) *tls.Config {
	c := t.config(roles, x509.ExtKeyUsageServerAuth)
	c.InsecureSkipVerify = true // verified in VerifyConnection
	return c
}

func (t *TLS) serverConfig(r Role) *tls.Config { return t.ServerConfig(r) }
func (t *TLS) clientConfig(r Role) *tls.Config { return t.ClientConfig(r) }

func (t *TLS) config(roles []Role, usage x509.ExtKeyUsage) *tls.Config {
	return &tls.Config{
		MinVersion:             tls.VersionTLS13,
		Certificates:           []tls.Certificate{t.certificate},
		SessionTicketsDisabled: true,
		VerifyConnection: func(state tls.ConnectionState) error {
			return t.verify(state, roles, usage)
		},
	}
}

func (t *TLS) verify(state tls.ConnectionState, roles []Role, usage x509.ExtKeyUsage) error {
	if len(state.PeerCertificates) == 0 {
		return errors.New("cluster: the peer sent no certificate")
	}
	chain := x509.NewCertPool()
	for _, c := range state.PeerCertificates[1:] {
		chain.AddCert(c)
	}
	_, err := state.PeerCertificates[0].Verify(x509.VerifyOptions{
		Roots: t.roots, Intermediates: chain, CurrentTime: time.Now(), KeyUsages: []x509.ExtKeyUsage{usage},
	})
	if err != nil {
		return fmt.Errorf("cluster: the peer's certificate: %w", err)
	}
	id, err := peerIdentity(state)
	switch {
	case err != nil:
		return err
	case id.Cluster != t.identity.Cluster:
		return fmt.Errorf("cluster: the peer's certificate is for cluster %q, ours for %q", id.Cluster, t.identity.Cluster)
	case len(roles) > 0 && !slices.Contains(roles, id.Role):
		return fmt.Errorf("cluster: the peer's certificate is for a %s", id.Role)
	}
	return nil
}

// PeerIdentity returns who is at the other end of a connection that a
// configuration of TLS has let through.
func PeerIdentity(state tls.ConnectionState) (Identity, error) { return peerIdentity(state) }

func peerIdentity(state tls.ConnectionState) (Identity, error) {
	if len(state.PeerCertificates) == 0 {
		return Identity{}, errors.New("cluster: the peer sent no certificate")
	}
	return identityOf(state.PeerCertificates[0])
}

func encodePEM(kind string, der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
}
