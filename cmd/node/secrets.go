package main

import (
	"bytes"
	"context"
	"encoding/base64"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/synod-go/synod"
	"github.com/synod-go/synod/api"
	"github.com/synod-go/synod/cluster"
)

const (
	// maxKeys and maxKeyBytes bound what a file of gossip keys may hold.
	maxKeys, maxKeyBytes = 8, 4096
	// takeUpEvery is how often a node looks at its files.
	takeUpEvery = time.Second
)

// gossipKeys are the keys of a file: the first encrypts, all of them are understood.
type gossipKeys [][]byte

func (k gossipKeys) first() []byte {
	if len(k) == 0 {
		return nil
	}
	return k[0]
}

func (k gossipKeys) also() [][]byte {
	if len(k) == 0 {
		return nil
	}
	return k[1:]
}

// keysOf are those that a configuration has.
func keysOf(c synod.Config) gossipKeys {
	if c.GossipKey == nil {
		return nil
	}
	return slices.Concat(gossipKeys{c.GossipKey}, c.GossipAlso)
}

// loadGossipKeys reads keys of 16, 24 or 32 bytes, one a line in base64, or one that is raw. nil: no file.
func loadGossipKeys(file string) (gossipKeys, error) {
	if file == "" {
		return nil, nil
	}
	content, err := readSecret(file, maxKeyBytes+1)
	if err != nil {
		return nil, &api.Error{Code: api.CodeTLS, Message: "the gossip key cannot be used", Why: plain(err),
			Do: secretDo(err, "node tls rotate gossip add", "make one:  node tls init")}
	}
	keys, err := parseGossipKeys(content)
	if err != nil {
		return nil, &api.Error{Code: api.CodeTLS, Message: fmt.Sprintf("the gossip key in %s cannot be used", file), Why: plain(err), Do: []string{"make one:  node tls init"}}
	}
	return keys, nil
}

func parseGossipKeys(content []byte) (keys gossipKeys, err error) {
	for line := range bytes.Lines(content) {
		if line = bytes.TrimSpace(line); len(line) == 0 {
			continue
		}
		key := make([]byte, base64.StdEncoding.DecodedLen(len(line)))
		n, wrong := base64.StdEncoding.Decode(key, line)
		if key = key[:n]; wrong != nil || !keyLength(len(key)) {
			if keyLength(len(content)) {
				return gossipKeys{content}, nil // raw
			}
			return nil, fmt.Errorf("it has %d bytes, want 16, 24 or 32, or lines of base64 of as many", len(content))
		}
		if !slices.ContainsFunc(keys, func(k []byte) bool { return bytes.Equal(k, key) }) {
			keys = append(keys, key)
		}
	}
	if len(keys) == 0 || len(keys) > maxKeys {
		return nil, fmt.Errorf("it has %d keys, want 1 to %d", len(keys), maxKeys)
	}
	return keys, nil
}

func keyLength(n int) bool { return n == 16 || n == 24 || n == 32 }

// keyTaker is a node that can replace its gossip keys: *synod.Node.
type keyTaker interface {
	SetGossipKeys([][]byte) error
	Done() <-chan struct{}
}

// takeUpKeys looks at the file of the gossip key again and again, and has the node use what replaces the keys that it
// was started with, also if that came while it started.
func (f *startFlags) takeUpKeys(ctx context.Context, node keyTaker, used gossipKeys, log *slog.Logger) {
	if f.gossipKey == "" {
		return
	}
	told := ""
	ticks := time.NewTicker(takeUpEvery)
	defer ticks.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-node.Done():
			return
		case <-ticks.C:
		}
		keys, err := loadGossipKeys(f.gossipKey)
		if err == nil && len(keys) > 0 && !slices.EqualFunc(keys, used, bytes.Equal) {
			if err = node.SetGossipKeys(keys); err == nil {
				log.Info("gossip keys replaced", "sends_with", cluster.Fingerprint(keys[0]), "understands", len(keys))
				used = keys
			}
		}
		if reason := plain(err); reason != told {
			if told = reason; err != nil {
				log.Warn("the new gossip key is not used: the one before is", "reason", reason)
			}
		}
	}
}
