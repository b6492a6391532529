package cluster

import (
	"cmp"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"net/url"
	"strings"
	"time"
)

// CA is a cluster's certificate authority. Its key signs everything: keep it
// off the nodes.
type CA struct {
	cluster     string
	certificate *x509.Certificate
	key         crypto.Signer
	// CertificatePEM is what nodes and clients need to trust the authority.
	CertificatePEM []byte
	// KeyPEM is secret.
	KeyPEM []byte
}

// IssueOptions says what a certificate is for.
type IssueOptions struct {
	Role Role
	Name string
	// Hosts are names and addresses under which browsers reach the node's API;
	// the link does not look at them.
	Hosts []string
	// Start and Life bound its validity. Defaults: an hour ago, 365 days.
	Start time.Time
	Life  time.Duration
}

// NewCA makes an authority for a cluster, valid for life (0: ten years), with
// an ECDSA P-256 key.
func NewCA(cluster string, life time.Duration) (*CA, error) {
	if err := (Identity{Cluster: cluster, Role: RoleNode, Name: "ca"}).check(); err != nil {
		return nil, err
	}
	now := time.Now()
	template := &x509.Certificate{
		Subject:               pkix.Name{CommonName: "synod " + cluster},
		NotBefore:             now.Add(-time.Hour),
		NotAfter:              now.Add(cmp.Or(life, 10*365*24*time.Hour)),
		IsCA:                  true,
		BasicConstraintsValid: true,
		MaxPathLenZero:        true,
		KeyUsage:              x509.KeyUsageCertSign,
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("cluster: key: %w", err)
	}
	certificate, keyPEM, err := sign(template, template, key, key)
	if err != nil {
		return nil, err
	}
	return LoadCA(certificate, keyPEM)
}

// LoadCA reads an authority from PEM.
func LoadCA(certificatePEM, keyPEM []byte) (*CA, error) {
	pair, err := tls.X509KeyPair(certificatePEM, keyPEM)
	if err != nil {
		return nil, fmt.Errorf("cluster: authority: %w", err)
	}
	key, ok := pair.PrivateKey.(crypto.Signer)
	var cluster string
	if n, _ := fmt.Sscanf(pair.Leaf.Subject.CommonName, "synod %s", &cluster); n != 1 || !ok || !pair.Leaf.IsCA {
		return nil, fmt.Errorf("cluster: %q is no authority of a cluster", pair.Leaf.Subject.CommonName)
	}
	return &CA{cluster: cluster, certificate: pair.Leaf, key: key, CertificatePEM: certificatePEM, KeyPEM: keyPEM}, nil
}

// Issue makes a certificate with a new ECDSA P-256 key, both as PEM.
func (ca *CA) Issue(o IssueOptions) (certificatePEM, keyPEM []byte, err error) {
	id := Identity{Cluster: ca.cluster, Role: o.Role, Name: o.Name}
	if err := id.check(); err != nil {
		return nil, nil, err
	}
	start := o.Start
	if start.IsZero() {
		start = time.Now().Add(-time.Hour)
	}
	template := &x509.Certificate{
		Subject:     pkix.Name{CommonName: o.Name},
		URIs:        []*url.URL{id.uri()},
		NotBefore:   start,
		NotAfter:    start.Add(cmp.Or(o.Life, 365*24*time.Hour)),
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	if o.Role == RoleNode || o.Role == RoleAgent {
		template.ExtKeyUsage = append(template.ExtKeyUsage, x509.ExtKeyUsageServerAuth)
	}
	for _, host := range o.Hosts {
		if ip := net.ParseIP(host); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else {
			template.DNSNames = append(template.DNSNames, host)
		}
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, fmt.Errorf("cluster: key: %w", err)
	}
	return sign(template, ca.certificate, key, ca.key)
}

// Renew makes a certificate with a new key for whom a certificate of this cluster is, valid
// from now on for as long as that one was. Whoever signed it, this authority signs the new one.
func (ca *CA) Renew(certificatePEM []byte) (newCertificatePEM, keyPEM []byte, err error) {
	old, err := firstCertificate(certificatePEM)
	if err != nil {
		return nil, nil, err
	}
	id, err := identityOf(old)
	switch {
	case err != nil:
		return nil, nil, err
	case id.Cluster != ca.cluster:
		return nil, nil, fmt.Errorf("cluster: the certificate is for cluster %q, the authority for %q", id.Cluster, ca.cluster)
	}
	start := time.Now().Add(-time.Hour)
	template := &x509.Certificate{Subject: old.Subject, URIs: old.URIs, DNSNames: old.DNSNames, IPAddresses: old.IPAddresses,
		NotBefore: start, NotAfter: start.Add(old.NotAfter.Sub(old.NotBefore)), KeyUsage: old.KeyUsage, ExtKeyUsage: old.ExtKeyUsage}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, fmt.Errorf("cluster: key: %w", err)
	}
	return sign(template, ca.certificate, key, ca.key)
}

// Next makes another authority for the same cluster.
func (ca *CA) Next() (*CA, error) {
	return NewCA(ca.cluster, ca.certificate.NotAfter.Sub(ca.certificate.NotBefore))
}

// Certificate is what a certificate of a cluster, or an authority's, says.
type Certificate struct {
	// Identity is whose it is; of an authority, only Cluster is set.
	Identity Identity
	Until    time.Time
	// Fingerprint and SignedBy are an authority's; SignedBy is "" if it is none of those that were given.
	Fingerprint, SignedBy string
	Authority             bool
}

// ReadCertificates reads the certificates of a PEM file, of which authorities may have signed some.
func ReadCertificates(text, authorities []byte) (list []Certificate, err error) {
	var signers []*x509.Certificate
	for block, rest := pem.Decode(authorities); block != nil; block, rest = pem.Decode(rest) {
		if c, err := x509.ParseCertificate(block.Bytes); err == nil {
			signers = append(signers, c)
		}
	}
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		if block.Type != "CERTIFICATE" {
			continue
		}
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("cluster: certificate: %w", err)
		}
		one := Certificate{Until: c.NotAfter, Authority: c.IsCA, Fingerprint: Fingerprint(c.Raw)}
		for _, signer := range signers {
			if c.CheckSignatureFrom(signer) == nil {
				one.SignedBy = Fingerprint(signer.Raw)
				break
			}
		}
		if c.IsCA {
			_, one.Identity.Cluster, _ = strings.Cut(c.Subject.CommonName, "synod ")
		} else if one.Identity, err = identityOf(c); err != nil {
			return nil, err
		}
		list = append(list, one)
	}
	return list, nil
}

func firstCertificate(text []byte) (*x509.Certificate, error) {
	block, _ := pem.Decode(text)
	if block == nil || block.Type != "CERTIFICATE" {
		return nil, errors.New("cluster: there is no certificate in it")
	}
	c, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("cluster: certificate: %w", err)
	}
	return c, nil
}

func sign(template, parent *x509.Certificate, key, parentKey crypto.Signer) (certificatePEM, keyPEM []byte, err error) {
	if template.SerialNumber, err = rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120)); err != nil {
		return nil, nil, fmt.Errorf("cluster: serial number: %w", err)
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), parentKey)
	if err != nil {
		return nil, nil, fmt.Errorf("cluster: sign certificate: %w", err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, nil, fmt.Errorf("cluster: encode key: %w", err)
	}
	return encodePEM("CERTIFICATE", der), encodePEM("PRIVATE KEY", keyDER), nil
}
