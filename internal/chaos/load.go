package chaos

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// LoadConfig is a crowd of clients that each put one value after the other, wait
// for the answer, and never slow down, whatever it is.
type LoadConfig struct {
	Dial       Dial
	Addresses  []string // dealt out to the clients in turn
	Clients    int
	Keys       int // written over and over
	ValueBytes int
	Prefix     string
}

// Load is such a crowd. It keeps counts, not a history: what it is for is what
// the nodes need while it runs.
type Load struct {
	config LoadConfig
	client *http.Client
	value  []byte
	done   atomic.Int64 // acknowledged
	next   atomic.Int64 // key
	group  sync.WaitGroup

	mu      sync.Mutex
	refused map[string]int // by status and code of the answer
	rude    int            // refusals that say "later" and not when
	unknown map[string]int // by what went wrong
}

// StartLoad starts the clients; they end with ctx.
func StartLoad(ctx context.Context, config LoadConfig) *Load {
	l := &Load{
		config: config, refused: make(map[string]int), unknown: make(map[string]int),
		value: bytes.Repeat([]byte("v"), config.ValueBytes),
		client: &http.Client{Transport: &http.Transport{
			DialContext: config.Dial, MaxIdleConnsPerHost: config.Clients, DisableCompression: true,
		}},
	}
	for n := range config.Clients {
		address := config.Addresses[n%len(config.Addresses)]
		l.group.Go(func() {
			for ctx.Err() == nil {
				l.put(ctx, address)
			}
		})
	}
	return l
}

// Wait waits until all clients have ended.
func (l *Load) Wait() {
	l.group.Wait()
	l.client.CloseIdleConnections()
}

// Acknowledged is how many writes have been acknowledged so far.
func (l *Load) Acknowledged() int { return int(l.done.Load()) }

// loadTimeout bounds one request: more than the longest that a node works on one
// that does not say.
const loadTimeout = 15 * time.Second

func (l *Load) put(load context.Context, address string) {
	ctx, cancel := context.WithTimeout(load, loadTimeout)
	defer cancel()
	key := l.next.Add(1) % int64(l.config.Keys)
	target := fmt.Sprintf("http://%s%s%s/%d", address, pathKV, l.config.Prefix, key)
	request, err := http.NewRequestWithContext(ctx, http.MethodPut, target, bytes.NewReader(l.value))
	if err != nil {
		panic(fmt.Sprintf("chaos: load makes no request of %s: %v", target, err))
	}
	response, err := l.client.Do(request)
	if err != nil {
		l.failed(load, err)
		return
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, maxAnswerBytes))
	switch {
	case err != nil:
		l.failed(load, err)
	case response.StatusCode == http.StatusOK || response.StatusCode == http.StatusCreated:
		l.done.Add(1)
	default:
		l.refuse(response, body)
	}
}

// failed notes a request without an answer. Those that the end of the load has
// cut off say nothing about the node.
func (l *Load) failed(load context.Context, err error) {
	if load.Err() != nil {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	text := err.Error()
	l.unknown[text[strings.LastIndex(text, ": ")+1:]]++
}

func (l *Load) refuse(response *http.Response, body []byte) {
	var failure wireError
	_ = json.Unmarshal(body, &failure) // no code at all is counted as such
	l.mu.Lock()
	defer l.mu.Unlock()
	l.refused[fmt.Sprintf("%d %s", response.StatusCode, failure.Code)]++
	later := response.StatusCode == http.StatusTooManyRequests || response.StatusCode == http.StatusServiceUnavailable
	if later && response.Header.Get("Retry-After") == "" {
		l.rude++
	}
}

// LoadResult is what came of a load.
type LoadResult struct {
	Acknowledged int
	Refused      map[string]int // by HTTP status and code
	Rude         int            // of them with status 429 or 503 and no Retry-After
	Unknown      map[string]int // requests without an answer, by reason
}

// Result is what came of the load so far.
func (l *Load) Result() LoadResult {
	l.mu.Lock()
	defer l.mu.Unlock()
	return LoadResult{Acknowledged: l.Acknowledged(), Refused: maps.Clone(l.refused), Rude: l.rude, Unknown: maps.Clone(l.unknown)}
}

func (r LoadResult) String() string {
	text := fmt.Sprintf("%d acknowledged", r.Acknowledged)
	for what, counts := range map[string]map[string]int{"refused": r.Refused, "without an answer": r.Unknown} {
		for _, key := range slices.Sorted(maps.Keys(counts)) {
			text += fmt.Sprintf(", %d %s (%s)", counts[key], what, key)
		}
	}
	return text
}
