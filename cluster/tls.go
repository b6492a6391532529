package cluster

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
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
	if !id.Role.known() {
		return fmt.Errorf("cluster: role %q: want %q, %q or one of %q", id.Role, RoleNode, RoleAgent, ClientRoles())
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

// TLS is a node's or client's certificate with the authorities it trusts. One that
// was loaded from files takes up what replaces them: see LoadTLS. It is safe for
// concurrent use.
type TLS struct {
	identity Identity
	now      atomic.Pointer[tlsMaterial]
	files    *tlsFiles // nil: it was not loaded from files
}

// tlsMaterial is what a TLS holds at a time.
type tlsMaterial struct {
	certificate tls.Certificate
	roots       *x509.CertPool
	authorities []*x509.Certificate

	mu      sync.Mutex
	vouched map[vouched]time.Time // until when
}

// NewTLS reads PEM: the authorities' certificates, the own certificate with
// its chain, and its key.
func NewTLS(authorities, certificate, key []byte) (*TLS, error) {
	m, identity, err := newMaterial(authorities, certificate, key)
	if err != nil {
		return nil, err
	}
	t := &TLS{identity: identity}
	t.now.Store(m)
	return t, nil
}

func newMaterial(authorities, certificate, key []byte) (*tlsMaterial, Identity, error) {
	pair, err := tls.X509KeyPair(certificate, key)
	if err != nil {
		return nil, Identity{}, fmt.Errorf("cluster: certificate: %w", err)
	}
	identity, err := identityOf(pair.Leaf)
	if err != nil {
		return nil, Identity{}, err
	}
	m := &tlsMaterial{certificate: pair, roots: x509.NewCertPool()}
	for block, rest := pem.Decode(authorities); block != nil; block, rest = pem.Decode(rest) {
		authority, err := x509.ParseCertificate(block.Bytes)
		if err != nil || block.Type != "CERTIFICATE" {
			continue
		}
		m.authorities = append(m.authorities, authority)
		m.roots.AddCert(authority)
	}
	if len(m.authorities) == 0 {
		return nil, Identity{}, errors.New("cluster: no authority's certificate in the file")
	}
	return m, identity, nil
}

// TLSFiles names PEM files. Key must be readable by its owner alone (0600).
type TLSFiles struct{ Authorities, Certificate, Key string }

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
		MinVersion: tls.VersionTLS13,
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
			return &t.current().certificate, nil
		},
		GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			return &t.current().certificate, nil
		},
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
	if err := t.current().holds(state.PeerCertificates, usage); err != nil {
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
