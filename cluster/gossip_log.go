package cluster

import (
	"bytes"
	"context"
	"log/slog"
	"strings"
	"sync"
	"time"
)

// keyErrors are memberlist's words for what two nodes that do not have the same
// key see of each other.
var keyErrors = []string{
	"no installed keys could decrypt the message",
	"remote state is encrypted and encryption is not configured",
	"encryption is configured but remote state is not encrypted",
}

// warnOfKeysEvery is how often the log tells that a key is wrong.
const warnOfKeysEvery = 10 * time.Second

// warnOfKeys tells that a node is not joined for its key: it is there, so that
// trying again does not help.
func (g *Gossip) warnOfKeys(addrs []string, err error) {
	for _, reason := range keyErrors {
		if !strings.Contains(err.Error(), reason) {
			continue
		}
		g.mu.Lock()
		now := time.Now()
		due := !now.Before(g.keysAt)
		if due {
			g.keysAt = now.Add(warnOfKeysEvery)
		}
		g.mu.Unlock()
		if due {
			g.log.Warn("a node to join has another gossip key, or none: give all nodes the same one", "nodes", addrs, "reason", reason)
		}
		return
	}
}

const (
	// gossipLogEvery is how often one of memberlist's texts becomes a warning.
	gossipLogEvery = time.Second
	// maxTexts bounds what gossipLog remembers; further texts count as one.
	maxTexts = 64
)

// gossipLog turns memberlist's lines into records: its errors and warnings
// become warnings, the rest debug. Whoever can send a packet can cause a line, so
// that warnings of one text are counted while they come too often.
type gossipLog struct {
	log     *slog.Logger
	closing <-chan struct{} // closed when the gossip ends

	mu   sync.Mutex
	told map[string]*told // by constantText
}

type told struct {
	next       time.Time
	suppressed int
}

func (l *gossipLog) Write(line []byte) (int, error) {
	text, warning := string(bytes.TrimSpace(line)), false
	for _, level := range []string{"[ERR]", "[ERROR]", "[WARN]", "[INFO]", "[DEBUG]"} {
		if rest, ok := strings.CutPrefix(text, level); ok {
			text, warning = strings.TrimSpace(rest), level[1] == 'E' || level[1] == 'W'
		}
	}
	switch {
	case strings.Contains(text, "use of closed network connection") && l.ends():
	case !warning || strings.HasPrefix(text, "memberlist: Refuting a"): // which a node does after each restart
		l.log.Log(context.Background(), slog.LevelDebug, "gossip", "text", text)
	default:
		l.warn(text)
	}
	return len(line), nil
}

func (l *gossipLog) ends() bool {
	select {
	case <-l.closing:
		return true
	default:
		return false
	}
}

func (l *gossipLog) warn(text string) {
	due, suppressed := l.due(constantText(text), time.Now())
	switch {
	case !due:
	case suppressed > 0:
		l.log.Warn("gossip", "text", text, "suppressed", suppressed)
	default:
		l.log.Warn("gossip", "text", text)
	}
}

// due reports whether a text may be told, and how often it was not before.
func (l *gossipLog) due(text string, now time.Time) (due bool, suppressed int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.told[text] == nil && len(l.told) >= maxTexts {
		text = ""
	}
	t := l.told[text]
	if t == nil {
		t = &told{}
		l.told[text] = t
	}
	if now.Before(t.next) {
		t.suppressed++
		return false, 0
	}
	suppressed = t.suppressed
	*t = told{next: now.Add(gossipLogEvery)}
	return true, suppressed
}

// constantText is the beginning of a line without what a sender can vary:
// numbers, quoted names, addresses and errors.
func constantText(text string) string {
	text = strings.TrimPrefix(text, "memberlist: ")
	if end := strings.IndexAny(text, `:='"(0123456789`); end >= 0 {
		text = text[:end]
	}
	return text
}
