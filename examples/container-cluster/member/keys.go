package main

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/json"
	"encoding/pem"
	"os"
	"path/filepath"
	"strings"

	xssh "golang.org/x/crypto/ssh"
)

// keys are those of one member: its server's, and that with which it logs in elsewhere.
type keys struct{ host, user xssh.Signer }

// makeKeys makes new keys as files in dir, where OpenSSH can use them too.
func makeKeys(dir string) (k keys, err error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return k, err
	}
	if err := os.Chmod(dir, 0o755); err != nil { // what is mounted in memory anybody may write
		return k, err
	}
	if k.host, err = makeKey(filepath.Join(dir, "host_ed25519")); err != nil {
		return k, err
	}
	k.user, err = makeKey(filepath.Join(dir, "id_ed25519"))
	return k, err
}

func makeKey(file string) (xssh.Signer, error) {
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, err
	}
	block, err := xssh.MarshalPrivateKey(private, "")
	if err != nil {
		return nil, err
	}
	if err := os.WriteFile(file, pem.EncodeToMemory(block), 0o600); err != nil {
		return nil, err
	}
	return xssh.NewSignerFromKey(private)
}

// announcement is what the others are told of a member's keys, from which they make their
// known_hosts and authorized_keys.
func (k keys) announcement(addr string) string {
	text := func(s xssh.Signer) string { return strings.TrimSpace(string(xssh.MarshalAuthorizedKey(s.PublicKey()))) }
	data, _ := json.Marshal(map[string]string{"addr": addr, "host": text(k.host), "user": text(k.user)}) // cannot fail
	return string(data)
}
