package main

import (
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/synod-go/synod/api"
	"github.com/synod-go/synod/cluster"
)

// Files that tell how far a rotation is, beside ca.pem, ca-key.pem and gossip.key. The next key is there from add until
// use is done, the former one from use until remove. gossipNextFile holds the fingerprint of a gossip key that was
// added and does not encrypt yet.
const (
	nextKeyFile    = "ca-next-key.pem"
	formerKeyFile  = "ca-former-key.pem"
	gossipNextFile = "gossip-next"
)

// change is what one step does to one file: it gets a content, or with none is removed.
type change struct {
	file    string
	content []byte
}

// rotationSteps are the steps by what is said to take them. Each reads a directory and tells what is to change in it, in
// an order in which whatever was done before a crash is finished by the same step said again: no key is overwritten or
// removed before it is held elsewhere or of no use, and what tells that a step is not done goes last.
func rotationSteps() map[string]func(dir string) ([]change, error) {
	return map[string]func(string) ([]change, error){
		"authority add": addAuthority, "authority use": useAuthority, "authority remove": removeAuthority,
		"gossip add": addGossipKey, "gossip use": useGossipKey, "gossip remove": removeGossipKey}
}

// makeChanges makes one change after the other, durably, and stops at the first that fails.
func makeChanges(changes []change) error {
	for _, c := range changes {
		verb, err := "written", error(nil)
		if c.content != nil {
			err = replaceSecret(c.file, c.content)
		} else if verb, err = "removed", os.Remove(c.file); errors.Is(err, fs.ErrNotExist) {
			err = nil
		} else if err == nil {
			err = syncDir(filepath.Dir(c.file))
		}
		if err != nil {
			return &api.Error{Code: api.CodeData, Message: c.file + " cannot be " + verb, Why: plain(err), Do: []string{"mend that, then say the same again: it goes on where it was"}}
		}
	}
	return nil
}

// writtenBy are the files that changes leave there.
func writtenBy(changes []change) (files []string) {
	for _, c := range changes {
		if c.content != nil {
			files = append(files, c.file)
		}
	}
	return files
}

// authorityFiles are what a directory has of an authority and of the one that takes its place.
type authorityFiles struct {
	dir       string
	parts     [][]byte // the certificates in ca.pem, each as PEM
	key, next []byte   // next is nil but between add and the end of use
}

func (f authorityFiles) in(name string) string { return filepath.Join(f.dir, name) }

// readAuthority reads the authority of a directory, for a step that wants so many certificates in ca.pem.
func readAuthority(dir string, want int) (f authorityFiles, err error) {
	f.dir = dir
	if f.parts, f.key, err = readSigner(dir); err != nil {
		return f, err
	}
	if f.next, err = readSecret(f.in(nextKeyFile), maxCAKeyBytes); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return f, &api.Error{Code: api.CodeTLS, Message: f.in(nextKeyFile) + " cannot be read", Why: plain(err)}
	}
	return f, wrongStep(f.in("ca.pem"), "authorities", len(f.parts), want)
}

func splitPEM(text []byte) (parts [][]byte) {
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		parts = append(parts, pem.EncodeToMemory(block))
	}
	return parts
}

// signerIn is which of the certificates of a directory's ca.pem a key belongs to.
func signerIn(dir string, parts [][]byte, key []byte) (int, error) {
	err := errors.New("ca.pem has no certificate")
	for i := range parts {
		if _, err = cluster.LoadCA(parts[i], key); err == nil {
			return i, nil
		}
	}
	return -1, &api.Error{Code: api.CodeTLS, Message: "the authority in " + dir + " cannot be used", Why: plain(err)}
}

// wrongStep says that a step is not the next one.
func wrongStep(file, things string, have, want int) error {
	if have == want {
		return nil
	}
	verb := "add"
	if have > want {
		verb = "remove"
	}
	what := map[string]string{"authorities": "authority", "gossip keys": "gossip"}[things]
	return notNext(fmt.Sprintf("%s has %d %s, and this step wants %d", file, have, things, want), what+" "+verb+"  comes first")
}

func notNext(why, step string) error {
	return &api.Error{Code: api.CodeConflict, Message: "that is not the next step", Why: why, Do: []string{"node tls rotate " + step}}
}

func addAuthority(dir string) ([]change, error) {
	f, err := readAuthority(dir, 1)
	if err != nil {
		return nil, err
	}
	old, err := loadCA(dir)
	if err != nil {
		return nil, err
	}
	next, err := old.Next()
	if err != nil {
		return nil, err
	}
	return []change{{f.in(nextKeyFile), next.KeyPEM}, {f.in("ca.pem"), slices.Concat(f.parts[0], next.CertificatePEM)}}, nil
}

func useAuthority(dir string) ([]change, error) {
	f, err := readAuthority(dir, 2)
	if err != nil {
		return nil, err
	}
	signs, err := signerIn(dir, f.parts, f.key)
	if err != nil {
		return nil, err
	}
	if f.next == nil && signs == 0 {
		return nil, notNext("the new authority signs already", "authority remove  comes next")
	}
	key := f.next
	if key == nil {
		key = f.key // it was put there, and ca.pem does not tell yet
	}
	wanted, err := signerIn(dir, f.parts, key)
	if err != nil {
		return nil, err
	}
	var changes []change
	if signs != wanted {
		changes = []change{{f.in(formerKeyFile), f.key}}
	}
	return append(changes, change{f.in("ca.pem"), slices.Concat(f.parts[wanted], f.parts[1-wanted])},
		change{f.in("ca-key.pem"), key}, change{f.in(nextKeyFile), nil}), nil
}

func removeAuthority(dir string) ([]change, error) {
	f, err := readAuthority(dir, 2)
	if err != nil {
		return nil, err
	}
	signs, err := signerIn(dir, f.parts, f.key)
	if err != nil {
		return nil, err
	}
	if f.next != nil || signs != 0 {
		return nil, notNext("the old authority still signs", "authority use  comes first")
	}
	if err := allSignedBy(dir, f.parts[0]); err != nil {
		return nil, err
	}
	return []change{{f.in(formerKeyFile), nil}, {f.in("ca.pem"), f.parts[0]}}, nil
}

// allSignedBy refuses as long as a certificate of a directory is not signed by an authority.
func allSignedBy(dir string, authority []byte) error {
	signer, err := cluster.ReadCertificates(authority, nil)
	if err != nil {
		return err
	}
	list, err := showCertificates(dir)
	if err != nil {
		return err
	}
	for _, s := range list {
		if s.Role != "authority" && s.SignedBy != signer[0].Fingerprint {
			return &api.Error{Code: api.CodeConflict, Message: s.File + " is not signed by the new authority yet", Why: "without the old one it would be refused",
				Do: []string{"node tls renew " + strings.TrimSuffix(s.File, ".pem") + " --dir " + dir}}
		}
	}
	return nil
}

// gossipFiles are the gossip keys of a directory, and the fingerprint of one that does not encrypt yet.
type gossipFiles struct {
	file, nextFile string
	keys           gossipKeys
	next           string
}

// readGossip reads the gossip keys of a directory, for a step that wants so many.
func readGossip(dir string, want int) (g gossipFiles, err error) {
	g = gossipFiles{file: filepath.Join(dir, "gossip.key"), nextFile: filepath.Join(dir, gossipNextFile)}
	if g.keys, err = loadGossipKeys(g.file); err != nil {
		return g, err
	}
	next, err := os.ReadFile(g.nextFile)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return g, &api.Error{Code: api.CodeData, Message: g.nextFile + " cannot be read", Why: plain(err)}
	}
	g.next = strings.TrimSpace(string(next))
	return g, wrongStep(g.file, "gossip keys", len(g.keys), want)
}

// awaits reports whether a key was added and does not encrypt yet.
func (g gossipFiles) awaits(key []byte) bool { return g.next == cluster.Fingerprint(key) }

// holding is the change after which the file has these keys.
func (g gossipFiles) holding(keys ...[]byte) change {
	var text bytes.Buffer
	for _, key := range keys {
		text.WriteString(base64.StdEncoding.EncodeToString(key) + "\n")
	}
	return change{g.file, text.Bytes()}
}

func addGossipKey(dir string) ([]change, error) {
	g, err := readGossip(dir, 1)
	if err != nil {
		return nil, err
	}
	key := make([]byte, 32)
	_, _ = rand.Read(key) // never fails
	return []change{{g.nextFile, []byte(cluster.Fingerprint(key) + "\n")}, g.holding(g.keys[0], key)}, nil
}

func useGossipKey(dir string) ([]change, error) {
	g, err := readGossip(dir, 2)
	if err != nil {
		return nil, err
	}
	done := change{g.nextFile, nil}
	switch {
	case g.awaits(g.keys[1]):
		return []change{g.holding(g.keys[1], g.keys[0]), done}, nil
	case g.awaits(g.keys[0]): // it was broken off before it was done
		return []change{g.holding(g.keys...), done}, nil
	}
	return nil, notNext("the new key encrypts already", "gossip remove  comes next")
}

func removeGossipKey(dir string) ([]change, error) {
	g, err := readGossip(dir, 2)
	if err != nil {
		return nil, err
	}
	if g.awaits(g.keys[1]) {
		return nil, notNext("the old key still encrypts", "gossip use  comes first")
	}
	return []change{g.holding(g.keys[0])}, nil
}
