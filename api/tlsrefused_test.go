package api

import (
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/synod-go/synod/cluster"
)

// answering listens with a certificate, and answers everything.
func answering(t *testing.T, material *cluster.TLS) (addr string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, `{"healthy":true}`) })}
	go s.Serve(cluster.NewListener(l, material.ServerConfig(), nil))
	t.Cleanup(func() { s.Close() })
	return l.Addr().String()
}

// A node whose certificate has expired, or that has not got its new one yet, is not all there is.
func TestAClientGoesOnWithTheNodesWhoseCertificatesHold(t *testing.T) {
	ours, others := newTestCA(t, "ours"), newTestCA(t, "ours")
	bad, good := answering(t, issued(t, others, cluster.RoleNode)), answering(t, issued(t, ours, cluster.RoleNode))
	for _, test := range []struct {
		addrs []string
		code  Code
	}{{[]string{bad, good}, ""}, {[]string{good, bad}, ""}, {[]string{bad}, CodeTLS}} {
		client, err := NewClient(ClientConfig{Addrs: test.addrs, TLS: issued(t, ours, cluster.RoleUse).ClientConfig(cluster.RoleNode)})
		if err != nil {
			t.Fatal(err)
		}
		if status, err := client.Status(t.Context(), false); CodeOf(err) != test.code || err == nil && !status.Healthy {
			t.Errorf("%v: %+v, %v; want code %q", test.addrs, status, err, test.code)
		}
		if _, err := client.Put(t.Context(), "k", nil, WriteOptions{}); CodeOf(err) != test.code {
			t.Errorf("a write at %v: %v; want code %q", test.addrs, err, test.code)
		}
		client.Close()
	}
}

func TestAClientTellsOfANodesExpiredCertificate(t *testing.T) {
	ca, start := newTestCA(t, "ours"), time.Now().Add(-72*time.Hour)
	certificate, key, err := ca.Issue(cluster.IssueOptions{Role: cluster.RoleNode, Name: "n7", Start: start, Life: 24 * time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	expired, err := cluster.NewTLS(ca.CertificatePEM, certificate, key)
	if err != nil {
		t.Fatal(err)
	}
	client, err := NewClient(ClientConfig{Addrs: []string{answering(t, expired)}, TLS: issued(t, ca, cluster.RoleUse).ClientConfig(cluster.RoleNode)})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	_, err = client.Status(t.Context(), false)
	e, is := errors.AsType[*Error](err)
	if !is || e.Code != CodeTLS || !strings.Contains(e.Why, start.Add(24*time.Hour).UTC().Format(time.DateOnly)) || !strings.Contains(strings.Join(e.Do, " "), "node tls renew n7") {
		t.Errorf("%v: want E-TLS with the date and the command", err)
	}
}
