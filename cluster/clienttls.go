package cluster

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
)

// LoadAuthorities returns a TLS 1.3 configuration for a client without a certificate of its own, as one that
// shows a token instead: it accepts the nodes that an authority of the PEM file has certified.
func LoadAuthorities(file string) (*tls.Config, error) {
	content, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("cluster: TLS: %w", err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(content) {
		return nil, errors.New("cluster: no authority's certificate in the file")
	}
	return &tls.Config{
		MinVersion:             tls.VersionTLS13,
		SessionTicketsDisabled: true,
		InsecureSkipVerify:     true, // verified in VerifyConnection: the certificate names a node, not a machine
		VerifyConnection:       func(state tls.ConnectionState) error { return verifyNode(state, roots) },
	}, nil
}

// verifyNode checks that the server is a node that one of the authorities has certified.
func verifyNode(state tls.ConnectionState, roots *x509.CertPool) error {
	id, err := peerIdentity(state)
	if err != nil {
		return err
	}
	chain := x509.NewCertPool()
	for _, c := range state.PeerCertificates[1:] {
		chain.AddCert(c)
	}
	if _, err := state.PeerCertificates[0].Verify(x509.VerifyOptions{Roots: roots, Intermediates: chain}); err != nil {
		return fmt.Errorf("cluster: the peer's certificate: %w", err)
	}
	if id.Role != RoleNode {
		return fmt.Errorf("cluster: the peer's certificate is for a %s", id.Role)
	}
	return nil
}
