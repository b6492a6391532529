package api

import (
	"bufio"
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/synod-go/synod/cluster"
)

const (
	// tokenPrefix is what a token begins with: so those who look for secrets in files find it.
	tokenPrefix = "synod_"
	// maxTokens and maxTokensBytes bound a file of tokens.
	maxTokens      = 4096
	maxTokensBytes = 1 << 20
	// tokensAge is how long a file of tokens is not looked at again.
	tokensAge = time.Second
	// tokensPatience is how long who asks first waits for the look: a disk may hang.
	tokensPatience = 100 * time.Millisecond
)

// NewToken returns a token, which is secret, and the line for the file of [OpenTokens] by which it is known.
// It has 32 random bytes. It fails if name or role cannot stand there.
func NewToken(name string, role cluster.Role) (token, line string, err error) {
	if err := checkTokenOf(name, role); err != nil {
		return "", "", err
	}
	var secret [32]byte
	_, _ = rand.Read(secret[:]) // never fails
	token = tokenPrefix + base64.RawURLEncoding.EncodeToString(secret[:])
	sum := sha256.Sum256([]byte(token))
	return token, fmt.Sprintf("%s %s %x", name, role, sum), nil
}

// checkTokenOf checks the name and role of a token.
func checkTokenOf(name string, role cluster.Role) error {
	if name == "" || len(name) > 64 || strings.Trim(strings.ToLower(name), "abcdefghijklmnopqrstuvwxyz0123456789-_.@") != "" {
		return fmt.Errorf("the name %.80q is not 1 to 64 of letters, digits, '-', '_', '.' and '@'", name)
	}
	if role != cluster.RoleAgent && !slices.Contains(tokenRoles, role) {
		return fmt.Errorf("the role %.80q is not view, use, operate, admin or agent", role)
	}
	return nil
}

var tokenRoles = []cluster.Role{cluster.RoleView, cluster.RoleUse, cluster.RoleOperate, cluster.RoleAdmin}

// Tokens are the tokens that a server takes. It is safe for concurrent use.
type Tokens struct {
	file string
	log  *slog.Logger
	age  time.Duration // see tokensAge; tests want less
	wait time.Duration // see tokensPatience; tests want more

	mu      sync.Mutex
	looked  time.Time // when the file was looked at last
	looking bool      // somebody looks
	list    *tokenList

	seen os.FileInfo // the file as it was looked at last; of who looks
}

// tokenList is what a file has said. It does not change.
type tokenList []knownToken

type tokenSum [sha256.Size]byte

type knownToken struct {
	sum      tokenSum
	identity cluster.Identity
}

// OpenTokens reads a file of tokens, which nobody but its owner may read (mode 0600). A line is NAME ROLE SHA256,
// as NewToken makes it; empty lines, and those that begin with #, say nothing. The file is read again when it has
// changed, within a second of the next request; if it cannot be read then, log is told why, and what it said before holds.
func OpenTokens(file string, log *slog.Logger) (*Tokens, error) {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	t := &Tokens{file: file, log: log, age: tokensAge, wait: tokensPatience}
	list, seen, err := readTokens(file)
	if err != nil {
		return nil, err
	}
	t.list, t.seen, t.looked = &list, seen, time.Now()
	return t, nil
}

// find returns whose token it is.
func (t *Tokens) find(token string) (found cluster.Identity, ok bool) {
	return t.now().find(sha256.Sum256([]byte(token)))
}

// find compares a digest with all that there are, whatever it finds, so that its time tells nothing about them.
func (l *tokenList) find(sum tokenSum) (found cluster.Identity, ok bool) {
	for _, known := range *l {
		if subtle.ConstantTimeCompare(sum[:], known.sum[:]) == 1 {
			found, ok = known.identity, true
		}
	}
	return found, ok
}

// now returns the tokens of the file as it is now, or was a moment ago. One call has it looked at and waits for that a
// little; the others take what there is.
func (t *Tokens) now() *tokenList {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.looking || time.Since(t.looked) < t.age {
		return t.list
	}
	t.looking = true
	done := make(chan struct{})
	go func() {
		defer close(done)
		t.look()
	}()
	t.mu.Unlock()
	patience := time.NewTimer(t.wait)
	defer patience.Stop()
	select {
	case <-done:
	case <-patience.C:
	}
	t.mu.Lock()
	return t.list
}

// look reads the file if it has changed.
func (t *Tokens) look() {
	list := t.list // only who looks replaces it
	defer func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		t.list, t.looked, t.looking = list, time.Now(), false
	}()
	seen, err := os.Stat(t.file)
	if err == nil && sameFile(seen, t.seen) {
		return
	}
	next, seen, err := readTokens(t.file)
	if err != nil {
		if t.seen != nil { // once for each change
			t.log.Error("tokens not read again: those from before hold", "file", t.file, "reason", err)
		}
		t.seen = nil
		return
	}
	list, t.seen = &next, seen
	t.log.Info("tokens read again", "file", t.file, "tokens", len(next))
}

func sameFile(a, b os.FileInfo) bool {
	return a != nil && b != nil && os.SameFile(a, b) && a.ModTime().Equal(b.ModTime()) && a.Size() == b.Size()
}

func readTokens(file string) (tokenList, os.FileInfo, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	switch {
	case err != nil:
		return nil, nil, err
	case !info.Mode().IsRegular():
		return nil, nil, errors.New("it is no file")
	case info.Mode().Perm()&0o077 != 0:
		return nil, nil, fmt.Errorf("others may read it (mode %v): want 0600", info.Mode().Perm())
	}
	content, err := io.ReadAll(io.LimitReader(f, maxTokensBytes+1))
	if err != nil {
		return nil, nil, err
	}
	list, err := parseTokens(content)
	return list, info, err
}

func parseTokens(content []byte) (list tokenList, err error) {
	if len(content) > maxTokensBytes {
		return nil, fmt.Errorf("it is longer than %d bytes", maxTokensBytes)
	}
	lines := bufio.NewScanner(bytes.NewReader(content))
	for number := 1; lines.Scan(); number++ {
		fields := strings.Fields(lines.Text())
		if len(fields) == 0 || strings.HasPrefix(fields[0], "#") {
			continue
		}
		token, err := parseToken(fields)
		switch {
		case err != nil:
			return nil, fmt.Errorf("line %d: %w", number, err)
		case len(list) == maxTokens:
			return nil, fmt.Errorf("it has more than %d tokens", maxTokens)
		case slices.ContainsFunc(list, func(other knownToken) bool { return other.sum == token.sum }):
			return nil, fmt.Errorf("line %d: the same token is there twice", number)
		}
		list = append(list, token)
	}
	return list, lines.Err()
}

// parseToken does not repeat what stands in the place of the digest: it may be a token.
func parseToken(fields []string) (t knownToken, err error) {
	if len(fields) != 3 {
		return t, fmt.Errorf("it has %d words, want NAME ROLE SHA256", len(fields))
	}
	t.identity = cluster.Identity{Name: fields[0], Role: cluster.Role(fields[1])}
	if err := checkTokenOf(fields[0], t.identity.Role); err != nil {
		return t, err
	}
	sum, err := hex.DecodeString(fields[2])
	if err != nil || len(sum) != len(t.sum) {
		return t, errors.New("the third word is not the 64 hexadecimal digits of a SHA-256")
	}
	copy(t.sum[:], sum)
	return t, nil
}
