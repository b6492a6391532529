package main

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/synod-go/synod/cluster"
)

// certified writes a certificate of a cluster with its authority and key; life and start are its own.
func certified(t *testing.T, ca *cluster.CA, o cluster.IssueOptions) cluster.TLSFiles {
	t.Helper()
	dir := t.TempDir()
	certificate, key, err := ca.Issue(o)
	if err != nil {
		t.Fatal(err)
	}
	files := cluster.TLSFiles{Authorities: filepath.Join(dir, "ca.pem"), Certificate: filepath.Join(dir, "n1.pem"), Key: filepath.Join(dir, "n1-key.pem")}
	for name, text := range map[string][]byte{files.Authorities: ca.CertificatePEM, files.Certificate: certificate, files.Key: key} {
		if err := os.WriteFile(name, text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return files
}

func testAuthority(t *testing.T, life time.Duration) *cluster.CA {
	t.Helper()
	ca, err := cluster.NewCA("demo", life)
	if err != nil {
		t.Fatal(err)
	}
	return ca
}

func TestAnExpiredCertificateIsToldWithItsFileItsDateAndWhatToType(t *testing.T) {
	start := time.Now().Add(-72 * time.Hour)
	date := start.Add(24 * time.Hour).UTC().Format(time.DateOnly)
	ca := testAuthority(t, 0)
	for _, test := range []struct {
		role cluster.Role
		args []string
		code int
	}{
		{cluster.RoleNode, []string{"start", "--name", "n1", "--data", filepath.Join(t.TempDir(), "d")}, 1},
		{cluster.RoleAgent, []string{"agent", "--name", "n1", "--work", filepath.Join(t.TempDir(), "w")}, 1},
		{cluster.RoleUse, []string{"status"}, 1},
		{cluster.RoleNode, []string{"doctor"}, 8},
	} {
		files := certified(t, ca, cluster.IssueOptions{Role: test.role, Name: "n1", Start: start, Life: 24 * time.Hour})
		code, out, text := runNode(append(test.args, "--tls-ca", files.Authorities, "--tls-cert", files.Certificate, "--tls-key", files.Key)...)
		said := out + text
		for _, want := range []string{"the certificate in " + files.Certificate + " has expired on " + date, "node tls renew n1"} {
			if !strings.Contains(said, want) {
				t.Errorf("%s: exit %d, %s; want %q", test.args[0], code, said, want)
			}
		}
		if code != test.code || test.code == 1 && !strings.Contains(said, "E-TLS") {
			t.Errorf("%s: exit %d, want %d with E-TLS: %s", test.args[0], code, test.code, said)
		}
	}
}

func TestAnExpiredAuthorityIsToldAsSuch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ca := testAuthority(t, 48*time.Hour)
		files := certified(t, ca, cluster.IssueOptions{Role: cluster.RoleNode, Name: "n1"})
		material, err := cluster.LoadTLS(files)
		if err != nil {
			t.Fatal(err)
		}
		if err := expiredError(files, material, time.Now()); err != nil {
			t.Fatalf("it holds still: %v", err)
		}
		time.Sleep(49 * time.Hour)
		err = expiredError(files, material, time.Now())
		if err == nil || !strings.Contains(err.Error(), "the authority in "+files.Authorities+" has expired on ") {
			t.Errorf("it has expired: %v", err)
		}
	})
}

// TestTheLogWarnsInTimeOfACertificateThatExpires lets a year go by in a moment.
func TestTheLogWarnsInTimeOfACertificateThatExpires(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ca := testAuthority(t, 0)
		files := certified(t, ca, cluster.IssueOptions{Role: cluster.RoleNode, Name: "n1", Start: time.Now(), Life: 31*24*time.Hour + time.Hour})
		material, err := cluster.LoadTLS(files)
		if err != nil {
			t.Fatal(err)
		}
		var text lockedFile
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan struct{})
		e := &expiry{log: slog.New(slog.NewTextHandler(&text, nil))}
		go func() {
			defer close(ended)
			for ctx.Err() == nil { // as takeUpCertificates, by the hour
				e.look(material.State(), time.Now())
				time.Sleep(time.Hour)
			}
		}()
		said := func(days int) string {
			before := len(text.String())
			time.Sleep(time.Duration(days) * 24 * time.Hour)
			synctest.Wait()
			return text.String()[before:]
		}
		for _, step := range []struct {
			days, lines int
			want        string
		}{{1, 0, ""}, {1, 1, "level=WARN msg=\"certificate expires soon\""}, {10, 10, "level=WARN"}, {15, 16, "level=ERROR msg=\"certificate expires soon\""}, {6, 6, "level=ERROR msg=\"certificate has expired\""}} {
			got := said(step.days)
			if n := strings.Count(got, "\n"); n < step.lines-1 || n > step.lines+2 || !strings.Contains(got, step.want) {
				t.Errorf("within %d days %d lines, want about %d and %q:\n%s", step.days, n, step.lines, step.want, got)
			}
		}
		cancel()
		time.Sleep(time.Hour)
		<-ended
	})
}
