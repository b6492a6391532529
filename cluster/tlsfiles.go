package cluster

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// lookEvery is how often the files of a TLS are looked at, while connections are made.
	lookEvery = time.Second
	// lookPatience is how long a new connection waits for that: a disk may hang.
	lookPatience = 100 * time.Millisecond
	// maxPEM is as long as one of the files may be, in bytes.
	maxPEM = 1 << 20
)

// tlsFiles are where a TLS came from.
type tlsFiles struct {
	names TLSFiles
	next  atomic.Int64 // when to look again, in Unix nanoseconds
	busy  atomic.Bool  // somebody looks

	mu      sync.Mutex // held while the files are read
	read    [3][]byte  // what the present material was made of
	refused [3][]byte  // what could not be used, when it was last looked at
	told    bool       // the log has been told of refused
	log     *slog.Logger
}

// LoadTLS reads the files. They are looked at again, once a second at most, when
// connections are made: new ones that fit together and are for the same identity hold
// from there on, and what does not is refused, with a warning, and changes nothing.
// Connections that are open go on while they hold: see [Server].
func LoadTLS(f TLSFiles) (*TLS, error) {
	pems, err := f.read()
	if err != nil {
		return nil, err
	}
	t, err := NewTLS(pems[0], pems[1], pems[2])
	if err != nil {
		return nil, err
	}
	t.files = &tlsFiles{names: f, read: pems, log: slog.New(slog.DiscardHandler)}
	t.files.next.Store(time.Now().Add(lookEvery).UnixNano())
	return t, nil
}

// KeyModeError says that others than its owner may read a file with a secret key.
type KeyModeError struct {
	File string
	Mode fs.FileMode
}

func (e *KeyModeError) Error() string {
	return fmt.Sprintf("cluster: key %s may be read by others (mode %v): want 0600", e.File, e.Mode)
}

// read returns the authorities, the certificate and the key.
func (f TLSFiles) read() (pems [3][]byte, err error) {
	info, err := os.Stat(f.Key)
	if err != nil {
		return pems, fmt.Errorf("cluster: key: %w", err)
	}
	if mode := info.Mode().Perm(); mode&0o077 != 0 {
		return pems, &KeyModeError{f.Key, mode}
	}
	for i, name := range []string{f.Authorities, f.Certificate, f.Key} {
		if pems[i], err = readSmall(name); err != nil {
			return pems, fmt.Errorf("cluster: TLS: %w", err)
		}
	}
	return pems, nil
}

func readSmall(name string) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxPEM+1))
	if err == nil && len(text) > maxPEM {
		err = fmt.Errorf("%s is longer than %d bytes", name, maxPEM)
	}
	return text, err
}

// LogTo has log told when the files have been replaced, and when what replaced them is
// of no use.
func (t *TLS) LogTo(log *slog.Logger) {
	if t.files != nil {
		t.files.mu.Lock()
		defer t.files.mu.Unlock()
		t.files.log = log
	}
}

// current is what holds for a connection that is made now.
func (t *TLS) current() *tlsMaterial {
	f := t.files
	if f == nil || time.Now().UnixNano() < f.next.Load() || !f.busy.CompareAndSwap(false, true) {
		return t.now.Load()
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer f.busy.Store(false)
		_ = t.Refresh() // the log tells
	}()
	patience := time.NewTimer(lookPatience)
	defer patience.Stop()
	select {
	case <-done:
	case <-patience.C:
	}
	return t.now.Load()
}

// Refresh looks at the files now. Its error says why what is there is not used; what
// held before goes on then.
func (t *TLS) Refresh() error {
	f := t.files
	if f == nil {
		return nil
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	defer func() { f.next.Store(time.Now().Add(lookEvery).UnixNano()) }()
	pems, err := f.names.read()
	if err == nil && equalPEMs(pems, f.read) {
		f.refused, f.told = [3][]byte{}, false
		return nil
	}
	var m *tlsMaterial
	if err == nil {
		var identity Identity
		if m, identity, err = newMaterial(pems[0], pems[1], pems[2]); err == nil && identity != t.identity {
			err = fmt.Errorf("cluster: the new certificate is for %s, ours is for %s", identity, t.identity)
		}
	}
	if err != nil {
		f.refuse(pems, err)
		return err
	}
	t.now.Store(m)
	f.read, f.refused, f.told = pems, [3][]byte{}, false
	state := m.state()
	f.log.Info("certificate replaced", "until", state.Until.Format(time.DateOnly), "authorities", len(state.Authorities))
	return nil
}

// refuse tells the log once of what has not changed since the last look: who replaces
// several files does so one after the other.
func (f *tlsFiles) refuse(pems [3][]byte, err error) {
	if equalPEMs(pems, f.refused) && !f.told {
		f.told = true
		f.log.Warn("the new certificate is not used: the one before is", "reason", err)
	} else if !equalPEMs(pems, f.refused) {
		f.refused, f.told = pems, false
	}
}

func equalPEMs(a, b [3][]byte) bool {
	return bytes.Equal(a[0], b[0]) && bytes.Equal(a[1], b[1]) && bytes.Equal(a[2], b[2])
}

// TLSState says what a TLS holds now.
type TLSState struct {
	// Until is when the certificate, or the authority that signed it, expires.
	Until time.Time
	// OfAuthority: it is the authority that expires then, and the certificate would hold for longer.
	OfAuthority bool
	// SignedBy is the fingerprint of that authority, "" if it is none of those that are trusted.
	SignedBy string
	// Authorities are the fingerprints of those that are trusted, in their order in the file.
	Authorities []string
}

// State looks at the files, if it is time, and returns what holds.
func (t *TLS) State() TLSState { return t.current().state() }

func (m *tlsMaterial) state() TLSState {
	s := TLSState{Until: m.certificate.Leaf.NotAfter}
	for _, a := range m.authorities {
		s.Authorities = append(s.Authorities, Fingerprint(a.Raw))
		if s.SignedBy == "" && m.certificate.Leaf.CheckSignatureFrom(a) == nil {
			s.SignedBy = Fingerprint(a.Raw)
			if a.NotAfter.Before(s.Until) {
				s.Until, s.OfAuthority = a.NotAfter, true
			}
		}
	}
	return s
}

// Fingerprint is the first 32 bits of the SHA-256 of a certificate or a key, in hexadecimal: by
// it people tell apart those of one cluster.
func Fingerprint(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:4])
}
